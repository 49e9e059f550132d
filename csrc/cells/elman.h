// The Elman network: h' = f(W x + b_ih + U h + b_hh), f = tanh or ReLU.  Source: Elman 1990.
#pragma once

#include "cells/block.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

struct Tanh {
  static constexpr const char* kCell = "elman_tanh";
  template <class V>
  static RNNKIT_INLINE V apply(V x) {
    return tanh(x);
  }
  template <class V>
  static RNNKIT_INLINE V backward(V d, V y) {
    return through_tanh(d, y);
  }
};

struct Relu {
  static constexpr const char* kCell = "elman_relu";
  template <class V>
  static RNNKIT_INLINE V apply(V x) {
    return max(V::zero(), x);  // in this order a NaN stays one
  }
  template <class V>
  static RNNKIT_INLINE V backward(V d, V y) {
    return select(less(V::zero(), y), d, V::zero());
  }
};

template <class Nonlinearity>
struct Elman {
  static constexpr CellInfo info{
      .name = Nonlinearity::kCell,
      .num_gates = 1,
      .gates = {"h"},
      .num_parts = 1,
      .parts = {"h"},
      .num_slots = 1,
      .input_gates = {0},
      .num_products = 1,
      .products = {{Source::hidden, 0, 1, {0}}},
  };

  template <int kProduct, class V>
  static RNNKIT_INLINE void forward(const ForwardBlock<V>& at) {
    const V h = Nonlinearity::apply(at.slot(0));
    at.set_slot(0, h);
    store(h, at.h, at.lanes);
  }

  template <int kProduct, class V>
  static RNNKIT_INLINE void backward(const BackwardBlock<V>& at) {
    at.set_slot(0, Nonlinearity::backward(at.total_dh(), at.slot(0)));
    V::zero().store(at.dh);
  }
};

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
