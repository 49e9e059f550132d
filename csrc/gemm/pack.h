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
  constexpr int64_t kStep = kPerWord<T>;
  for (int64_t p = begin; p < end; ++p) {
    const int64_t first = p * packed.panel, width = smaller(packed.panel, packed.num_vectors - first) * kLanes;
    T* panel = out + first * packed.depth * kLanes;
    for (int64_t v = 0; v < width / kLanes; ++v) {
      const Place place = places[first + v];
      const auto store = [&](int64_t k, const V* values) {
        Operand<V, T>::store(values, panel + depth_of_word<T>(k / kStep) * width + v * kLanes, kLanes * width);
      };
      const S* from = weight + place.row * inputs;
      int64_t k = 0;
      if constexpr (kCanTranspose) {
        for (; k + kLanes <= inputs; k += kLanes) {
          V square[kLanes];
          for (int64_t lane = 0; lane < kLanes; ++lane)
            square[lane] = lane < place.lanes ? V::load(from + lane * inputs + k) : V::zero();
          transpose(square);
          for (int64_t i = 0; i < kLanes; i += kStep) store(k + i, square + i);
        }
      }
      for (; k < packed.depth / kPlanes<T> * kStep; k += kStep) {
        V values[kStep];
        for (int64_t i = 0; i < kStep; ++i) {
          S lanes[kLanes] = {};
          for (int64_t lane = 0; lane < place.lanes && k + i < inputs; ++lane)
            lanes[lane] = from[lane * inputs + k + i];
          values[i] = V::load(lanes);
        }
        store(k, values);
      }
    }
  }
}

// For dx = dy W: weight[O, columns]; vectors are plain columns; depth runs over the places' lanes in their order, the
// padding lanes included as zeros when `padded` (then dy's rows hold them too); pairs need that.
template <class V, class T, class S = typename V::Scalar>
void pack_columns(const S* weight, int64_t columns, const Place* places, int64_t num_places, bool padded,
                  const Packed<T>& packed, T* out, int64_t begin, int64_t end) {
  constexpr int64_t kStep = kPerWord<T>;
  for (int64_t p = begin; p < end; ++p) {
    const int64_t first = p * packed.panel, vectors = smaller(packed.panel, packed.num_vectors - first);
    T* const panel = out + first * packed.depth * kLanes;
    if (kStep > 1 && packed.depth > 0) {  // the last words may hold nothing
      const int64_t last = packed.depth - 16 * kPlanes<T>;
      memset(static_cast<void*>(panel + last * vectors * kLanes), 0,
             static_cast<size_t>((packed.depth - last) * vectors * kLanes) * sizeof(T));
    }
    int64_t word = 0;
    for (int64_t i = 0; i < num_places; ++i) {
      for (int64_t lane = 0; lane < (padded ? kLanes : places[i].lanes); lane += kStep, ++word) {
        const S* from = weight + (places[i].row + lane) * columns;
        T* to = panel + depth_of_word<T>(word) * vectors * kLanes;
        for (int64_t v = first; v < first + vectors; ++v, to += kLanes) {
          const int64_t valid = smaller(kLanes, columns - v * kLanes);
          V values[kStep];
          for (int64_t j = 0; j < kStep; ++j)
            values[j] = lane + j < places[i].lanes ? V::load_n(from + j * columns + v * kLanes, valid) : V::zero();
          Operand<V, T>::store(values, to, kLanes * vectors * kLanes);
        }
      }
    }
  }
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
