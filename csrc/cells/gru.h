// The gated recurrent unit in its two published forms, and the one place where the mixing convention is settled.
//
//   r, z = σ(W x + b_ih + U h + b_hh);  h' = (1 − z)∘n + z∘h      (torch's and cuDNN's convention: z keeps)
//   before:  n = tanh(W x + b_ih + U (r∘h) + b_hh)                 Cho et al. 2014, eq. 5–8, with z and 1 − z exchanged
//   after:   n = tanh(W x + b_ih + r∘(U h + b_hh))                 cuDNN, torch
#pragma once

#include "cells/block.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

namespace gru {

// Exact at z = 0 and z = 1.
template <class V>
RNNKIT_INLINE V mix(V z, V n, V h) {
  if (planted(Bug::update_gate_mixes_the_other_way)) return fma(z, n, (V::broadcast(1) - z) * h);
  return fma(z, h, (V::broadcast(1) - z) * n);
}

template <class V>
RNNKIT_INLINE V mix_dz(V dh, V n, V h) {
  return dh * (h - n);
}
template <class V>
RNNKIT_INLINE V mix_dn(V dh, V z) {
  return dh * (V::broadcast(1) - z);
}
template <class V>
RNNKIT_INLINE V mix_dh(V dh, V z) {
  return dh * z;
}

}  // namespace gru

struct GruBefore {
  static constexpr CellInfo info{
      .name = "gru_before",
      .num_gates = 3,
      .gates = {"r", "z", "n"},
      .num_parts = 1,
      .parts = {"h"},
      .num_slots = 3,
      .input_gates = {0, 1, 2},
      .num_products = 2,
      .products = {{Source::hidden, 0, 2, {0, 1}}, {Source::reset_hidden, 2, 1, {2}}},
  };

  template <int kProduct, class V>
  static RNNKIT_INLINE void forward(const ForwardBlock<V>& at) {
    const V h = load<V>(at.h_before, at.lanes);
    if constexpr (kProduct == 0) {
      const V r = sigmoid(at.slot(0));
      at.set_slot(0, r);
      at.set_slot(1, sigmoid(at.slot(1)));
      (r * h).store(at.reset_hidden);
    } else {
      const V n = tanh(at.slot(2));
      at.set_slot(2, n);
      store(gru::mix(at.slot(1), n, h), at.h, at.lanes);
    }
  }

  template <int kProduct, class V>
  static RNNKIT_INLINE void backward(const BackwardBlock<V>& at) {
    const V h = load<V>(at.h_before, at.lanes);
    if constexpr (kProduct == 1) {
      const V z = at.slot(1), n = at.slot(2), dh = at.total_dh();
      at.set_slot(1, through_sigmoid(gru::mix_dz(dh, n, h), z));
      at.set_slot(2, through_tanh(gru::mix_dn(dh, z), n));
      gru::mix_dh(dh, z).store(at.dh);
    } else {
      const V r = at.slot(0), d_reset = V::load(at.d_reset_hidden);
      at.set_slot(0, through_sigmoid(d_reset * h, r));
      if (!planted(Bug::reset_path_missing_in_dh)) fma(d_reset, r, V::load(at.dh)).store(at.dh);
    }
  }
};

struct GruAfter {
  // Slots: W x + b_ih of n, then r, z, and U h + b_hh of n, so that either product fills neighbouring slots.
  static constexpr CellInfo info{
      .name = "gru_after",
      .num_gates = 3,
      .gates = {"r", "z", "n"},
      .num_parts = 1,
      .parts = {"h"},
      .num_slots = 4,
      .input_gates = {2, 0, 1},
      .num_products = 1,
      .products = {{Source::hidden, 1, 3, {0, 1, 2}}},
  };

  template <int kProduct, class V>
  static RNNKIT_INLINE void forward(const ForwardBlock<V>& at) {
    const V r = sigmoid(at.slot(1)), z = sigmoid(at.slot(2)), n = tanh(fma(r, at.slot(3), at.slot(0)));
    at.set_slot(0, n);
    at.set_slot(1, r);
    at.set_slot(2, z);
    store(gru::mix(z, n, load<V>(at.h_before, at.lanes)), at.h, at.lanes);
  }

  template <int kProduct, class V>
  static RNNKIT_INLINE void backward(const BackwardBlock<V>& at) {
    const V n = at.slot(0), r = at.slot(1), z = at.slot(2), recurrent_n = at.slot(3);
    const V dh = at.total_dh(), h = load<V>(at.h_before, at.lanes);
    const V dn = through_tanh(gru::mix_dn(dh, z), n);
    at.set_slot(0, dn);
    at.set_slot(1, through_sigmoid(dn * recurrent_n, r));
    at.set_slot(2, through_sigmoid(gru::mix_dz(dh, n, h), z));
    at.set_slot(3, planted(Bug::candidate_bias_gradient_without_r) ? dn : dn * r);
    gru::mix_dh(dh, z).store(at.dh);
  }
};

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
