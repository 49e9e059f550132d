// Weights from torch's layout into panels.
#pragma once

#include "gemm/layout.h"
#include "isa/isa.h"
#include "simd/transpose.h"
#include "simd/vec.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

// The places of a plain matrix with `width` output columns.
RNNKIT_INLINE void plain_places(int64_t width, Place* places) {
  for (int64_t v = 0; v < ceil_div(width, kLanes); ++v)
    places[v] = {v * kLanes, smaller(kLanes, width - v * kLanes), v * kLanes};
}

// For y = x W^T: weight[O, K] with row stride `stride`; vector v holds rows places[v].row...; depth K. Panels [begin,
// end).
template <class S>
void pack_rows(const S* weight, int64_t stride, const Place* places, const Packed<S>& packed, S* out, int64_t begin,
               int64_t end) {
  const int64_t depth = packed.depth;
  for (int64_t p = begin; p < end; ++p) {
    const int64_t first = p * packed.panel, width = smaller(packed.panel, packed.num_vectors - first) * kLanes;
    S* panel = out + first * depth * kLanes;
    for (int64_t v = 0; v < width / kLanes; ++v) {
      const Place place = places[first + v];
      S* to = panel + v * kLanes;
      const S* from = weight + place.row * stride;
      int64_t k = 0;
      if constexpr (kCanTranspose) {
        for (; k + kLanes <= depth; k += kLanes) {
          Vec<S> square[kLanes];
          for (int64_t lane = 0; lane < kLanes; ++lane)
            square[lane] = lane < place.lanes ? Vec<S>::load(from + lane * stride + k) : Vec<S>::zero();
          transpose(square);
          for (int64_t i = 0; i < kLanes; ++i, to += width) square[i].store(to);
        }
      }
      for (; k < depth; ++k, to += width) {
        int64_t lane = 0;
        for (; lane < place.lanes; ++lane) to[lane] = from[lane * stride + k];
        for (; lane < kLanes; ++lane) to[lane] = S(0);
      }
    }
  }
}

// For dx = dy W: weight[O, I]; vectors are plain columns of I; depth runs over the places' lanes in their order, the
// padding lanes included as zeros when `padded` (then dy's rows hold them too).
template <class V, class S = typename V::Scalar>
void pack_columns(const S* weight, int64_t stride, int64_t columns, const Place* places, int64_t num_places,
                  bool padded, const Packed<S>& packed, S* out, int64_t begin, int64_t end) {
  for (int64_t p = begin; p < end; ++p) {
    const int64_t first = p * packed.panel, vectors = smaller(packed.panel, packed.num_vectors - first);
    S* to = out + first * packed.depth * kLanes;
    for (int64_t i = 0; i < num_places; ++i) {
      for (int64_t lane = 0; lane < (padded ? kLanes : places[i].lanes); ++lane) {
        const S* from = weight + (places[i].row + lane) * stride;
        for (int64_t v = first; v < first + vectors; ++v, to += kLanes) {
          const int64_t valid = smaller(kLanes, columns - v * kLanes);
          (lane < places[i].lanes ? V::load_n(from + v * kLanes, valid) : V::zero()).store(to);
        }
      }
    }
  }
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
