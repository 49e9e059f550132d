// What happens around a cell's equations on the sixteen units of a row: zoneout, the mask on the recurrent h, the
// trace.
//
// Zoneout blends after the equations, so an LSTM's h comes from the memory before the blend, as published. Backward
// parts the gradient of the blended state: z of it goes to the state before, past the equations, the rest into them.
#pragma once

#include "cells/block.h"
#include "unroll/call.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

// z of sixteen units; 0 in the padding lanes.
template <class V, class S = typename V::Scalar>
RNNKIT_INLINE V kept_share(const typename Options<S>::Zoneout& zoneout, int64_t at, int64_t lanes) {
  if (zoneout.mask == nullptr) return V::broadcast(zoneout.share);
  S lane[kLanes] = {};
  if (lanes == kLanes)
    for (int64_t i = 0; i < kLanes; ++i) lane[i] = static_cast<S>(zoneout.mask[at + i]);
  else
    for (int64_t i = 0; i < lanes; ++i) lane[i] = static_cast<S>(zoneout.mask[at + i]);
  return V::load(lane);
}

// Exact at z = 0 and z = 1.
template <class V>
RNNKIT_INLINE V blend(V z, V old, V fresh) {
  if (planted(Bug::zoneout_keeps_the_new)) return fma(z, fresh, (V::broadcast(1) - z) * old);
  return fma(z, old, (V::broadcast(1) - z) * fresh);
}

// What happens to the h of up to sixteen units: the blend with the one before, and a copy times the mask.
template <class V, class S = typename V::Scalar>
void around_hidden(const Options<S>& options, const S* h_before, S* h, int64_t lanes, int64_t at_output, const S* mask,
                   S* masked) {
  if (options.zoneout[0].is_on())
    store(blend(kept_share<V>(options.zoneout[0], at_output, lanes), load<V>(h_before, lanes), load<V>(h, lanes)), h,
          lanes);
  if (mask != nullptr) store(load<V>(h, lanes) * V::load(mask), masked, lanes);
}

// What follows one part of a cell's equations, but for the h that a projection gives. `at_output`: of these units in
// [T*B, H]; `old_memory`: before the step; `carried`: where the memory goes after the blend; `mask`, `masked`: of these
// units, or null.
template <class Cell, int kProduct, class V, class S = typename V::Scalar>
void after_equations(const Options<S>& options, const ForwardBlock<V>& at, int64_t at_output, V old_memory, S* carried,
                     const S* mask, S* masked) {
  constexpr bool kGivesState = kProduct == Cell::info.num_phases() - 1, kHasMemory = Cell::info.num_parts > 1;
  if constexpr (!kGivesState) {
    if (mask != nullptr && !planted(Bug::reset_hidden_not_masked))
      (V::load(at.reset_hidden) * V::load(mask)).store(at.reset_hidden);
  } else {
    if constexpr (!Cell::info.is_projected)
      around_hidden<V>(options, at.h_before, at.h, at.lanes, at_output, mask, masked);
    if constexpr (kHasMemory) {
      if (options.zoneout[1].is_on())
        blend(kept_share<V>(options.zoneout[1], at_output, at.lanes), old_memory, V::load(at.memory)).store(carried);
      if (options.trace[4] != nullptr) store(V::load(carried), options.trace[4] + at_output, at.lanes);
    }
    for (int slot = 0; slot < Cell::info.num_gates; ++slot)
      if (options.trace[slot] != nullptr) store(at.slot(slot), options.trace[slot] + at_output, at.lanes);
  }
}

// One part of a cell's equations with whatever the call does around them.
template <class Cell, int kProduct, class V, class S = typename V::Scalar>
void forward_around(const Options<S>& options, const ForwardBlock<V>& at, int64_t at_output, S* carried, const S* mask,
                    S* masked) {
  V old_memory = V::zero();  // read now: without a tape the new one takes its place
  if constexpr (Cell::info.num_parts > 1) old_memory = V::load(at.memory_before);
  Cell::template forward<kProduct>(at);
  after_equations<Cell, kProduct>(options, at, at_output, old_memory, carried, mask, masked);
}

// equations(at): the cell's, backward.
template <class Cell, int kProduct, class V, class Equations, class S = typename V::Scalar>
void backward_around(const Options<S>& options, BackwardBlock<V> at, int64_t at_output, S* d_reset_hidden,
                     const S* mask, Equations&& equations) {
  constexpr bool kGivesState = kProduct == Cell::info.num_phases() - 1, kHasMemory = Cell::info.num_parts > 1;
  if constexpr (!kGivesState) {
    if (mask != nullptr) (V::load(d_reset_hidden) * V::load(mask)).store(d_reset_hidden);
    equations(at);
  } else {
    const V one = V::broadcast(1);
    V dh_past = V::zero(), d_memory_past = V::zero();
    const bool blends_hidden = options.zoneout[0].is_on() && !Cell::info.is_projected;
    if (blends_hidden) {
      const V z = kept_share<V>(options.zoneout[0], at_output, at.lanes), dh = at.total_dh();
      dh_past = z * dh;
      ((one - z) * dh).store(at.dh);
      at.d_output = nullptr;
    }
    if constexpr (kHasMemory) {
      if (options.zoneout[1].is_on()) {
        const V z = kept_share<V>(options.zoneout[1], at_output, at.lanes), d = V::load(at.d_memory);
        d_memory_past = z * d;
        ((one - z) * d).store(at.d_memory);
      }
    }
    equations(at);
    if (planted(Bug::zoneout_gradient_not_passed_on)) return;
    if (blends_hidden) (V::load(at.dh) + dh_past).store(at.dh);
    if constexpr (kHasMemory) {
      if (options.zoneout[1].is_on()) (V::load(at.d_memory) + d_memory_past).store(at.d_memory);
    }
  }
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
