// The LSTM that forgets as much as it writes.  Source: Greff et al. 2017, "LSTM: a search space odyssey", variant CIFG.
//
//   i, o = σ(W x + b_ih + U h + b_hh);  g = tanh(…);  c' = (1 − i)∘c + i∘g;  h' = o∘tanh(c')
#pragma once

#include "cells/block.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

struct LstmCoupled {
  static constexpr CellInfo info{
      .name = "lstm_coupled",
      .num_gates = 3,
      .gates = {"i", "g", "o"},
      .num_parts = 2,
      .parts = {"h", "c"},
      .num_slots = 3,
      .input_gates = {0, 1, 2},
      .num_products = 1,
      .products = {{Source::hidden, 0, 3, {0, 1, 2}}},
  };

  static constexpr int kOutputGate = 2;  // the slot of o

  // As Lstm's.
  template <class V>
  static RNNKIT_INLINE V remember(const ForwardBlock<V>& at, V& c) {
    const V i = sigmoid(at.slot(0)), g = tanh(at.slot(1)), o = sigmoid(at.slot(2));
    c = fma(i, g, (V::broadcast(1) - i) * V::load(at.memory_before));  // exact at i = 0 and i = 1
    at.set_slot(0, i);
    at.set_slot(1, g);
    at.set_slot(2, o);
    c.store(at.memory);
    return o;
  }

  template <int kProduct, class V>
  static RNNKIT_INLINE void forward(const ForwardBlock<V>& at) {
    V c;
    const V o = remember(at, c);
    store(o * tanh(c), at.h, at.lanes);
  }

  template <class V>
  static RNNKIT_INLINE void remember_back(const BackwardBlock<V>& at, V dh, V squashed, V from_h) {
    const V i = at.slot(0), g = at.slot(1), o = at.slot(2), before = V::load(at.memory_before);
    const V dc = V::load(at.d_memory) + from_h;
    at.set_slot(0, through_sigmoid(dc * (planted(Bug::coupled_gate_forgets_nothing) ? g : g - before), i));
    at.set_slot(1, through_tanh(dc * i, g));
    at.set_slot(2, through_sigmoid(dh * squashed, o));
    (dc * (V::broadcast(1) - i)).store(at.d_memory);
    V::zero().store(at.dh);
  }

  template <int kProduct, class V>
  static RNNKIT_INLINE void backward(const BackwardBlock<V>& at) {
    const V dh = at.total_dh(), squashed = tanh(V::load(at.memory));
    remember_back(at, dh, squashed, through_tanh(dh * at.slot(kOutputGate), squashed));
  }
};

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
