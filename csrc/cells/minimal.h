// minGRU and minLSTM: gates that do not look at the state, so that no step waits for a product.  Source: Feng et al.
// 2024, arXiv:2410.01201, sections 3.1 and 3.2 (the candidate is linear; not the log-space form of their appendix).
//
//   min_gru:   z = σ(W x + b);  n = W x + b;  h' = (1 − z)∘n + z∘h         (z keeps, as in the GRU; theirs is 1 − z)
//   min_lstm:  i, f = σ(W x + b);  g = W x + b;  h' = (f∘h + i∘g) / (i + f)
#pragma once

#include "cells/gru.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

struct MinGru {
  static constexpr CellInfo info{
      .name = "min_gru",
      .num_gates = 2,
      .gates = {"z", "n"},
      .num_parts = 1,
      .parts = {"h"},
      .num_slots = 2,
      .input_gates = {0, 1},
      .num_products = 0,
  };

  template <int kProduct, class V>
  static RNNKIT_INLINE void forward(const ForwardBlock<V>& at) {
    const V z = sigmoid(at.slot(0));
    at.set_slot(0, z);
    store(gru::mix(z, at.slot(1), load<V>(at.h_before, at.lanes)), at.h, at.lanes);
  }

  template <int kProduct, class V>
  static RNNKIT_INLINE void backward(const BackwardBlock<V>& at) {
    const V z = at.slot(0), n = at.slot(1), dh = at.total_dh(), h = load<V>(at.h_before, at.lanes);
    at.set_slot(0, through_sigmoid(gru::mix_dz(dh, n, h), z));
    at.set_slot(1, gru::mix_dn(dh, z));
    gru::mix_dh(dh, z).store(at.dh);
  }
};

struct MinLstm {
  // Slots, once the equations have run: the shares i / (i + f) and f / (i + f), g, and the sum i + f.
  static constexpr CellInfo info{
      .name = "min_lstm",
      .num_gates = 3,
      .gates = {"i", "f", "g"},
      .num_parts = 1,
      .parts = {"h"},
      .num_slots = 4,
      .input_gates = {0, 1, 2},
      .num_products = 0,
  };

  // Both shares from e^-x, all scaled by the largest: i = f = 0 in float32 would make 0 / 0 of two gates nearly shut.
  template <int kProduct, class V>
  static RNNKIT_INLINE void forward(const ForwardBlock<V>& at) {
    const V lowest = V::broadcast(typename V::Scalar(-1e38f)), a = max(lowest, at.slot(0)), b = max(lowest, at.slot(1));
    const V top = max(V::zero(), max(V::zero() - a, V::zero() - b)), one = exp(V::zero() - top);
    const V open_i = one + exp(V::zero() - a - top), open_f = one + exp(V::zero() - b - top);  // both times e^-top
    const V total = open_i + open_f, i = open_f / total, f = open_i / total, g = at.slot(2);
    at.set_slot(3, sigmoid(at.slot(0)) + sigmoid(at.slot(1)));
    at.set_slot(0, i);
    at.set_slot(1, f);
    store(fma(f, load<V>(at.h_before, at.lanes), i * g), at.h, at.lanes);
  }

  template <int kProduct, class V>
  static RNNKIT_INLINE void backward(const BackwardBlock<V>& at) {
    const V i = at.slot(0), f = at.slot(1), g = at.slot(2), sum = at.slot(3), one = V::broadcast(1);
    const V dh = at.total_dh(), d_share = dh * (load<V>(at.h_before, at.lanes) - g) * (i * f);
    const V own = planted(Bug::shares_of_two_gates_taken_for_gates) ? one : sum;
    at.set_slot(0, V::zero() - d_share * (one - i * own));
    at.set_slot(1, d_share * (one - f * own));
    at.set_slot(2, dh * i);
    (dh * f).store(at.dh);
  }
};

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
