// The LSTM with a forget gate.  Sources: Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000.
//
//   i, f, o = σ(W x + b_ih + U h + b_hh);  g = tanh(…);  c' = f∘c + i∘g;  h' = o∘tanh(c')
#pragma once

#include "cells/block.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

struct Lstm {
  static constexpr CellInfo info{
      .name = "lstm",
      .num_gates = 4,
      .gates = {"i", "f", "g", "o"},
      .num_parts = 2,
      .parts = {"h", "c"},
      .num_slots = 4,
      .input_gates = {0, 1, 2, 3},
      .num_products = 1,
      .products = {{Source::hidden, 0, 4, {0, 1, 2, 3}}},
  };

  template <int kProduct, class V>
  static RNNKIT_INLINE void forward(const ForwardBlock<V>& at) {
    const V i = sigmoid(at.slot(0)), f = sigmoid(at.slot(1)), g = tanh(at.slot(2)), o = sigmoid(at.slot(3));
    const V c = fma(f, V::load(at.memory_before), i * g);
    at.set_slot(0, i);
    at.set_slot(1, f);
    at.set_slot(2, g);
    at.set_slot(3, o);
    c.store(at.memory);
    store(o * tanh(c), at.h, at.lanes);
  }

  template <int kProduct, class V>
  static RNNKIT_INLINE void backward(const BackwardBlock<V>& at) {
    const V i = at.slot(0), f = at.slot(1), g = at.slot(2), o = at.slot(3);
    const V dh = at.total_dh(), squashed = tanh(V::load(at.memory));
    const V dc = V::load(at.d_memory) + through_tanh(dh * o, squashed);
    at.set_slot(0, through_sigmoid(dc * g, i));
    at.set_slot(
        1, through_sigmoid(
               dc * V::load(planted(Bug::forget_gate_multiplies_the_new_memory) ? at.memory : at.memory_before), f));
    at.set_slot(2, through_tanh(dc * i, g));
    at.set_slot(3, through_sigmoid(dh * squashed, o));
    (planted(Bug::memory_gradient_not_carried) ? V::zero() : dc * f).store(at.d_memory);
    V::zero().store(at.dh);
  }
};

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
