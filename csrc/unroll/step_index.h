// The order of the rows of one call and where each step's input and output lie (unroll/call.h).
#pragma once

#include <stdint.h>

#include "memory.h"
#include "unroll/call.h"

namespace rnnkit {

class StepIndex {
 public:
  StepIndex() = default;
  // lengths: [B] in 0..T, or null for all T.
  StepIndex(int64_t num_steps, int64_t batch, const int64_t* lengths, bool reverse);

  Steps steps() const;
  int64_t row(int64_t r) const { return order_.get()[r]; }       // the batch row that is sorted row r
  int64_t length(int64_t r) const { return lengths_.get()[r]; }  // of sorted row r
  bool is_ragged() const { return is_ragged_; }

 private:
  int64_t batch_ = 0, num_steps_ = 0;
  bool is_ragged_ = false;
  Buffer<int64_t> order_, lengths_, offset_, position_, before_;
};

}  // namespace rnnkit
