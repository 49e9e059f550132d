// y = x W^T (+ bias) and everything of that form over packed weights: input projection, recurrence, dx, readouts.
#pragma once

#include "gemm/tile_product.h"
#include "gemm/vector_product.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

// Rows [row_begin, row_end) and panels [panel_begin, panel_end) of the product, in the calling thread. `next`: a panel
// that the caller will want afterwards, or -1.
template <class V, class T, class S = typename V::Scalar>
RNNKIT_INLINE void multiply(const Product<S, T>& product, int64_t row_begin, int64_t row_end, int64_t panel_begin,
                            int64_t panel_end, int64_t next = -1) {
  if constexpr (kHasTiles && kPerWord<T> > 1)
    multiply_on_tiles(product, row_begin, row_end, panel_begin, panel_end);
  else
    multiply_on_vectors<V>(product, row_begin, row_end, panel_begin, panel_end, next);
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
