// The recurrent functions of one instruction set.
#pragma once

#include <stdint.h>

namespace rnnkit {

// exp, log, sigmoid, tanh over arrays: what the accuracy tests call.
struct MathTable {
  void (*apply)(const char* function, const float* in, float* out, int64_t count);
};

}  // namespace rnnkit
