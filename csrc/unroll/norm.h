// Layer normalisation in a step: of each product over its gates, and of the memory as h sees it (gemm/row_norm.h).
//
//   pre-activations = gain_ih∘norm(W x) + gain_hh∘norm(U h) + b;  h = o∘tanh(gain_c∘norm(c) + b_c), c itself is carried
//
// A row's products stand behind its slots as they were multiplied, with their moments, until backward has read them.
#pragma once

#include "cells/block.h"
#include "gemm/row_norm.h"
#include "unroll/call.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

// The slots that product kProduct completes, from the row's two products.
template <class Cell, int kProduct, class V, class T, class S = typename V::Scalar>
RNNKIT_INLINE void normalise_products(const Weights<S, T>& weights, S* row) {
  constexpr const CellInfo& kInfo = Cell::info;
  constexpr bool kMeets = kInfo.num_products > 0;
  constexpr RecurrentProduct kThis = kMeets ? kInfo.products[kProduct] : RecurrentProduct{Source::hidden, 0, 0, {}};
  constexpr int kLate = kInfo.num_slots - kInfo.num_gates;
  const NormedRow at = normed_row(kInfo, weights.blocks);
  S* const moments = row + at.moments;
  if (kProduct == 0)
    take_moments<V>(row + at.products[0], weights.hidden_size, weights.blocks, kInfo.num_gates, moments);
  const S* recurrent = row + at.products[kMeets ? kProduct + 1 : 0];
  S* const recurrent_moments = moments + (kMeets ? 4 * (kProduct + 1) : 0);
  if (kMeets) take_moments<V>(recurrent, weights.hidden_size, weights.blocks, kThis.num_slots, recurrent_moments);
  const RowNorm<V> of_input(moments), of_hidden(recurrent_moments);
  const S* input = row + at.products[0];
  const S* input_gain = weights.norms.products[0];
  const S* hidden_gain = weights.norms.products[kMeets ? kProduct + 1 : 0];
  for (int64_t block = 0; block < weights.blocks; ++block) {
#pragma GCC unroll 4
    for (int slot = 0; slot < kInfo.num_slots; ++slot) {
      const bool is_ours = slot >= kThis.first_slot && slot < kThis.first_slot + kThis.num_slots;
      bool is_anybodys = false;
      for (int p = 0; p < kInfo.num_products; ++p)
        is_anybodys |=
            slot >= kInfo.products[p].first_slot && slot < kInfo.products[p].first_slot + kInfo.products[p].num_slots;
      if (!is_ours && (is_anybodys || kProduct > 0)) continue;
      const int64_t i = (block * kInfo.num_gates + slot) * kLanes;
      const int64_t j = (block * kThis.num_slots + slot - kThis.first_slot) * kLanes;
      V sum = V::zero();
      if (slot < kInfo.num_gates)
        sum = fma(V::load(input_gain + i), of_input(V::load(input + i)), V::load(weights.input_bias + i));
      else
        sum = V::load(weights.late_bias + (block * kLate + slot - kInfo.num_gates) * kLanes);
      if (is_ours) sum = fma(V::load(hidden_gain + j), of_hidden(V::load(recurrent + j)), sum);
      sum.store(row + (block * kInfo.num_slots + slot) * kLanes);
    }
  }
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
