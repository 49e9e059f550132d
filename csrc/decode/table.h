// The decoding functions of one instruction set.
#pragma once

#include <stdint.h>

namespace rnnkit {

struct DecodeTable {
  // weights[i] = exp((scores[i] - highest) / temperature), 0 where it would not be a normal number; no score above
  // `highest`. Each instruction set gives the same bits: a text must not depend on the machine.
  void (*weigh)(const double* scores, int64_t count, double highest, double temperature, double* weights);
};

}  // namespace rnnkit
