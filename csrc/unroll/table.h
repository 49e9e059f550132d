// The recurrent functions of one instruction set.
#pragma once

#include "unroll/call.h"

namespace rnnkit {

template <class S, class T = S>
struct CellFunctions {
  const CellInfo* info;
  void (*forward)(const ForwardCall<S, T>&);
  void (*prepare_part)(const ForwardCall<S, T>&, int64_t s, int product, bool with_hidden);
  void (*forward_part)(const ForwardCall<S, T>&, int64_t s, int product, int64_t first_block, int64_t end_block);
  void (*backward)(const BackwardCall<S, T>&) = nullptr;  // where T has gradients
};

// T: the operands of the products.
template <class S, class T = S>
struct RecurrentTable {
  int num_cells;
  const CellFunctions<S, T>* cells;
  // Weights into panels (gemm/pack.h), by all workers; the table of one-hot inputs stays in S.
  void (*pack_rows)(const S* weight, int64_t inputs, const Place* places, const Packed<T>& packed, T* out);
  void (*pack_table)(const S* weight, int64_t inputs, const Place* places, const Packed<S>& packed, S* out);
  // where T has gradients
  void (*pack_columns)(const S* weight, int64_t columns, const Place* places, int64_t num_places,
                       const Packed<T>& packed, T* out) = nullptr;
};

// exp, log, sigmoid, tanh over arrays: what the accuracy tests call.
struct MathTable {
  void (*apply)(const char* function, const float* in, float* out, int64_t count);
};

}  // namespace rnnkit
