// Rows of floats as the left side of a product: as they are, or rounded to pairs by all workers.
#pragma once

#include "memory.h"
#include "simd/operand.h"
#include "threads/parallel.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

template <class T>
class OperandRows {
 public:
  OperandRows(const float* values, int64_t rows, int64_t width) : stride_(operand_row<T>(width)) {
    if constexpr (kPerOperand<T> == 1) {
      base_ = values;
    } else {
      rounded_ = memory::acquire<T>(rows * stride_);
      base_ = rounded_ + kOperandHeader<T>;
      parallel_for(rows, 1 + 65536 / (width + 1), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r)
          round_row(values + r * width, width, rounded_ + kOperandHeader<T> + r * stride_);
      });
    }
  }
  ~OperandRows() { memory::release(rounded_); }
  OperandRows(const OperandRows&) = delete;
  OperandRows& operator=(const OperandRows&) = delete;

  Rows<const Left<T>> rows() const { return {base_, stride_}; }

 private:
  const int64_t stride_;
  const Left<T>* base_;
  T* rounded_ = nullptr;
};

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
