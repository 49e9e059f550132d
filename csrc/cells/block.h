// The units of one row that a cell's equations work on, a block of sixteen or two: pointers prepared by unroll/.
//
// `lanes` of the units exist; the others are padding that stays 0. "[16]" below is [32] for two blocks. Pointers marked
// [16] are padded and may be loaded whole, those marked [lanes] may not. Nothing aliases except where it says so.
#pragma once

#include "cells/info.h"
#include "isa/isa.h"
#include "simd/math.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

template <class V, class S = typename V::Scalar>
RNNKIT_INLINE V load(const S* p, int64_t lanes) {
  return lanes == V::kWidth ? V::load(p) : V::load_n(p, lanes);
}
template <class V, class S = typename V::Scalar>
RNNKIT_INLINE void store(V v, S* p, int64_t lanes) {
  lanes == V::kWidth ? v.store(p) : v.store_n(p, lanes);
}

// What equations are best run on: two neighbouring blocks where a vector is one register of thirty-two.
#if defined(RNNKIT_ISA_AVX512)
template <class V>
using Wide = Twice<V>;
#else
template <class V>
using Wide = V;
#endif

// A slot of the blocks that a V covers; from one block's to the next's it is `step` values.
template <class V, class S = typename V::Scalar>
RNNKIT_INLINE V load_slot(const S* p, int64_t step) {
  if constexpr (V::kWidth == kLanes)
    return V::load(p);
  else
    return {decltype(V::a)::load(p), decltype(V::b)::load(p + step)};
}
template <class V, class S = typename V::Scalar>
RNNKIT_INLINE void store_slot(V v, S* p, int64_t step) {
  if constexpr (V::kWidth == kLanes) {
    v.store(p);
  } else {
    v.a.store(p);
    v.b.store(p + step);
  }
}

template <class V, class S = typename V::Scalar>
struct ForwardBlock {
  S* gates;                // [num_slots][16]  pre-activations in, what backward needs out
  int64_t step;            // from one block's gates to the next one's
  const S* h_before;       // [lanes]
  const S* memory_before;  // [16]  the second part of the state; may be `memory` itself
  S* memory;               // [16]
  S* reset_hidden;         // [16]  source of the second product, for cells that have one
  S* h;                    // [lanes]
  const S* peepholes;      // [num_peepholes][16]
  int64_t peephole_step;   // from one block's peepholes to the next one's
  int64_t lanes;

  RNNKIT_INLINE V slot(int s) const { return load_slot<V>(gates + s * kLanes, step); }
  RNNKIT_INLINE V peephole(int p) const { return load_slot<V>(peepholes + p * kLanes, peephole_step); }
  RNNKIT_INLINE void set_slot(int s, V v) const { store_slot(v, gates + s * kLanes, step); }
};

template <class V, class S = typename V::Scalar>
struct BackwardBlock {
  S* gates;                 // [num_slots][16]  what forward left in, gradients of the pre-activations out
  int64_t step;             // from one block's gates to the next one's
  const S* h_before;        // [lanes]
  const S* memory_before;   // [16]
  const S* memory;          // [16]
  const S* d_output;        // [lanes] or null
  S* dh;                    // [16]  gradient from later steps in; the part that does not pass through a product out
  S* d_memory;              // [16]  likewise
  const S* d_reset_hidden;  // [16]  gradient of the second product's source
  const S* peepholes;       // [num_peepholes][16]
  int64_t peephole_step;    // from one block's peepholes to the next one's
  int64_t lanes;

  RNNKIT_INLINE V slot(int s) const { return load_slot<V>(gates + s * kLanes, step); }
  RNNKIT_INLINE V peephole(int p) const { return load_slot<V>(peepholes + p * kLanes, peephole_step); }
  RNNKIT_INLINE void set_slot(int s, V v) const { store_slot(v, gates + s * kLanes, step); }
  RNNKIT_INLINE V total_dh() const {
    const V later = V::load(dh);
    return d_output ? later + load<V>(d_output, lanes) : later;
  }
};

// Gradients through the nonlinearities, from their results.
template <class V>
RNNKIT_INLINE V through_sigmoid(V d, V y) {
  return d * (y * (V::broadcast(1) - y));
}
template <class V>
RNNKIT_INLINE V through_tanh(V d, V y) {
  if (planted(Bug::tanh_derivative_without_square)) return d * (V::broadcast(1) - y);
  return d * fma(V::zero() - y, y, V::broadcast(1));
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
