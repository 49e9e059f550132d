// The LSTM whose gates see the memory itself, each unit its own.  Source: Gers and Schmidhuber 2000.
//
//   i, f = σ(W x + b_ih + U h + b_hh + p∘c);  o = σ(… + p∘c');  g = tanh(W x + …);  c' = f∘c + i∘g;  h' = o∘tanh(c')
#pragma once

#include "cells/block.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

struct LstmPeephole {
  static constexpr CellInfo info{
      .name = "lstm_peephole",
      .num_gates = 4,
      .gates = {"i", "f", "g", "o"},
      .num_parts = 2,
      .parts = {"h", "c"},
      .num_slots = 4,
      .input_gates = {0, 1, 2, 3},
      .num_products = 1,
      .products = {{Source::hidden, 0, 4, {0, 1, 2, 3}}},
      .num_peepholes = 3,
      .peepholes = {{0, Source::memory_before}, {1, Source::memory_before}, {3, Source::memory}},
  };

  static constexpr int kOutputGate = 3;  // the slot of o

  // As Lstm's.
  template <class V>
  static RNNKIT_INLINE V remember(const ForwardBlock<V>& at, V& c) {
    const V before = V::load(at.memory_before);
    const V i = sigmoid(fma(at.peephole(0), before, at.slot(0))), f = sigmoid(fma(at.peephole(1), before, at.slot(1)));
    const V g = tanh(at.slot(2));
    c = fma(f, before, i * g);
    const V seen = planted(Bug::output_gate_peeps_at_the_memory_before) ? before : c;
    const V o = sigmoid(fma(at.peephole(2), seen, at.slot(3)));
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

  template <class V>
  static RNNKIT_INLINE void remember_back(const BackwardBlock<V>& at, V dh, V squashed, V from_h) {
    const V i = at.slot(0), f = at.slot(1), g = at.slot(2), o = at.slot(3), before = V::load(at.memory_before);
    const V d_o = through_sigmoid(dh * squashed, o);
    const V dc = fma(d_o, at.peephole(2), V::load(at.d_memory) + from_h);
    const V d_i = through_sigmoid(dc * g, i), d_f = through_sigmoid(dc * before, f);
    at.set_slot(0, d_i);
    at.set_slot(1, d_f);
    at.set_slot(2, through_tanh(dc * i, g));
    at.set_slot(3, d_o);
    const V peeped =
        planted(Bug::no_gradient_through_the_peepholes) ? V::zero() : fma(d_i, at.peephole(0), d_f * at.peephole(1));
    fma(dc, f, peeped).store(at.d_memory);
    V::zero().store(at.dh);
  }

  template <int kProduct, class V>
  static RNNKIT_INLINE void backward(const BackwardBlock<V>& at) {
    const V dh = at.total_dh(), squashed = tanh(V::load(at.memory));
    remember_back(at, dh, squashed, through_tanh(dh * at.slot(kOutputGate), squashed));
  }
};

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
