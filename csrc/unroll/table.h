// The recurrent functions of one instruction set.
#pragma once

#include "unroll/call.h"

namespace rnnkit {

template <class S>
struct CellFunctions {
  const CellInfo* info;
  void (*forward)(const ForwardCall<S>&);
  void (*backward)(const BackwardCall<S>&);
};

template <class S>
struct RecurrentTable {
  int num_cells;
  const CellFunctions<S>* cells;
  // Weights into panels (gemm/pack.h), by all workers.
  void (*pack_rows)(const S* weight, int64_t stride, const Place* places, const Packed<S>& packed, S* out);
  void (*pack_columns)(const S* weight, int64_t stride, int64_t columns, const Place* places, int64_t num_places,
                       const Packed<S>& packed, S* out);
};

// exp, log, sigmoid, tanh over arrays: what the accuracy tests call.
struct MathTable {
  void (*apply)(const char* function, const float* in, float* out, int64_t count);
};

}  // namespace rnnkit
