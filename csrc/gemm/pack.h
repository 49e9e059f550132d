// Weights from torch's layout into panels.
#pragma once

#include "gemm/layout.h"
#include "isa/isa.h"
#include "simd/operand.h"
#include "simd/transpose.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

// The places of a plain matrix with `width` output columns.
RNNKIT_INLINE void plain_places(int64_t width, Place* places) {
  for (int64_t v = 0; v < ceil_div(width, kLanes); ++v)
    places[v] = {v * kLanes, smaller(kLanes, width - v * kLanes), v * kLanes};
}

// For y = x W^T: weight[O, inputs]; vector v holds rows places[v].row...; depth runs over the inputs. Panels [begin,
// end).
template <class V, class T, class S = typename V::Scalar>
void pack_rows(const S* weight, int64_t inputs, const Place* places, const Packed<T>& packed, T* out, int64_t begin,
               int64_t end) {
  constexpr int64_t kStep = kPerOperand<T>;
  for (int64_t p = begin; p < end; ++p) {
    const int64_t first = p * packed.panel, width = smaller(packed.panel, packed.num_vectors - first) * kLanes;
    T* panel = out + first * packed.depth * kLanes;
    for (int64_t v = 0; v < width / kLanes; ++v) {
      const Place place = places[first + v];
      T* to = panel + v * kLanes;
      const S* from = weight + place.row * inputs;
      int64_t k = 0;
      if constexpr (kCanTranspose) {
        for (; k + kLanes <= inputs; k += kLanes) {
          V square[kLanes];
          for (int64_t lane = 0; lane < kLanes; ++lane)
            square[lane] = lane < place.lanes ? V::load(from + lane * inputs + k) : V::zero();
          transpose(square);
          for (int64_t i = 0; i < kLanes; i += kStep, to += width) Operand<V, T>::store(square + i, to);
        }
      }
      for (; k < packed.depth * kStep; k += kStep, to += width) {
        V values[kStep];
        for (int64_t i = 0; i < kStep; ++i) {
          S lanes[kLanes] = {};
          for (int64_t lane = 0; lane < place.lanes && k + i < inputs; ++lane)
            lanes[lane] = from[lane * inputs + k + i];
          values[i] = V::load(lanes);
        }
        Operand<V, T>::store(values, to);
      }
    }
  }
}

// For dx = dy W: weight[O, columns]; vectors are plain columns; depth runs over the places' lanes in their order, the
// padding lanes included as zeros when `padded` (then dy's rows hold them too); pairs need that.
template <class V, class T, class S = typename V::Scalar>
void pack_columns(const S* weight, int64_t columns, const Place* places, int64_t num_places, bool padded,
                  const Packed<T>& packed, T* out, int64_t begin, int64_t end) {
  constexpr int64_t kStep = kPerOperand<T>;
  for (int64_t p = begin; p < end; ++p) {
    const int64_t first = p * packed.panel, vectors = smaller(packed.panel, packed.num_vectors - first);
    T* to = out + first * packed.depth * kLanes;
    T* const end_of_panel = to + vectors * packed.depth * kLanes;
    for (int64_t i = 0; i < num_places; ++i) {
      for (int64_t lane = 0; lane < (padded ? kLanes : places[i].lanes); lane += kStep) {
        const S* from = weight + (places[i].row + lane) * columns;
        for (int64_t v = first; v < first + vectors; ++v, to += kLanes) {
          const int64_t valid = smaller(kLanes, columns - v * kLanes);
          V values[kStep];
          for (int64_t j = 0; j < kStep; ++j)
            values[j] = lane + j < places[i].lanes ? V::load_n(from + j * columns + v * kLanes, valid) : V::zero();
          Operand<V, T>::store(values, to);
        }
      }
    }
    memset(static_cast<void*>(to), 0, static_cast<size_t>(end_of_panel - to) * sizeof(T));
  }
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
