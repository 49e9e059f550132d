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

  static constexpr int kOutputGate = 3;  // the slot of o

  // The gates and the new memory, which is also left in `c`; returns o.
  template <class V>
  static RNNKIT_INLINE V remember(const ForwardBlock<V>& at, V& c) {
    const V i = sigmoid(at.slot(0)), f = sigmoid(at.slot(1)), g = tanh(at.slot(2)), o = sigmoid(at.slot(3));
    c = fma(f, V::load(at.memory_before), i * g);
    at.set_slot(0, i);
    at.set_slot(1, f);
    at.set_slot(2, g);
    at.set_slot(3, o);
    c.store(at.memory);
    return o;
  }

  template <int kProduct, class V>
  static RNNKIT_INLINE void forward(const ForwardBlock<V>& at) {
    V c;
    const V o = remember(at, c);
    store(o * tanh(c), at.h, at.lanes);
  }

  // `squashed`: what o multiplied; `from_h`: the gradient that the memory gets from h.
  template <class V>
  static RNNKIT_INLINE void remember_back(const BackwardBlock<V>& at, V dh, V squashed, V from_h) {
    const V i = at.slot(0), f = at.slot(1), g = at.slot(2), o = at.slot(3);
    const V dc = V::load(at.d_memory) + from_h;
    at.set_slot(0, through_sigmoid(dc * g, i));
    at.set_slot(
        1, through_sigmoid(
               dc * V::load(planted(Bug::forget_gate_multiplies_the_new_memory) ? at.memory : at.memory_before), f));
    at.set_slot(2, through_tanh(dc * i, g));
    at.set_slot(3, through_sigmoid(dh * squashed, o));
    (planted(Bug::memory_gradient_not_carried) ? V::zero() : dc * f).store(at.d_memory);
    V::zero().store(at.dh);
  }

  template <int kProduct, class V>
  static RNNKIT_INLINE void backward(const BackwardBlock<V>& at) {
    const V dh = at.total_dh(), squashed = tanh(V::load(at.memory));
    remember_back(at, dh, squashed, through_tanh(dh * at.slot(kOutputGate), squashed));
  }
};

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
