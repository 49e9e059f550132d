// How the workers of one call share its rows or its units.
#pragma once

#include "cells/block.h"
#include "gemm/product.h"
#include "isa/isa.h"
#include "threads/team.h"
#include "unroll/call.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

// The rows, the blocks of units and the blocks of h that belong to one worker.
struct Share {
  Range rows, blocks, outputs;
};

// Rows so that every worker gets about the same number of steps; the rows are sorted, longest first.
inline Range share_rows(const Steps& steps, const threads::Worker& worker) {
  Range range{steps.batch, steps.batch};
  int64_t done = 0, s = steps.num_steps;
  const int64_t total = steps.num_rows();
  for (int64_t r = 0; r < steps.batch; ++r) {
    if (range.begin == steps.batch && done * worker.size >= total * worker.index) range.begin = r;
    if (done * worker.size >= total * (worker.index + 1)) {
      range.end = r;
      break;
    }
    while (s > 0 && steps.count(s - 1) <= r) --s;  // the length of row r
    done += s;
  }
  return range;
}

template <class S, class T>
Share share_call(const Steps& steps, Split split, const Weights<S, T>& weights, const threads::Worker& worker) {
  if (split == Split::rows) return {share_rows(steps, worker), {0, weights.blocks}, {0, weights.output_blocks}};
  const auto part = [&](int64_t blocks) {  // those that one panel holds stay together
    const Range panels = share(ceil_div(blocks, kPanel), worker.index, worker.size);
    return Range{smaller(blocks, panels.begin * kPanel), smaller(blocks, panels.end * kPanel)};
  };
  return {{0, steps.batch}, part(weights.blocks), part(weights.output_blocks)};
}

// The panels of a product that hold the blocks of a share, `vectors` to a block.
template <class T>
RNNKIT_INLINE Range panels_of(Range blocks, int64_t vectors, const Packed<T>& packed) {
  return {blocks.begin * vectors / packed.panel, ceil_div(blocks.end * vectors, packed.panel)};
}

// How many panels of a product to ask for at once: what a product of one row likes best, else `several`; all of them
// where x is split anew for every call.
template <class T>
RNNKIT_INLINE int64_t panels_together(Range panels, int64_t rows, int64_t several = 1) {
  if (kPlanes<T> > 1) return larger<int64_t>(1, panels.end - panels.begin);
  return rows == 1 ? kRowPanels : several;
}

// Calls body(some panels, the panel after them), forwards at even steps and backwards at odd ones: the panels used last
// are still in the cache when the next step begins.
template <class Body>
RNNKIT_INLINE void to_and_fro(Range panels, int64_t together, int64_t s, Body&& body) {
  const int64_t count = ceil_div(panels.end - panels.begin, together);
  const auto some = [&](int64_t i) {
    const int64_t begin = panels.begin + (s % 2 == 0 ? i : count - 1 - i) * together;
    return Range{begin, smaller(panels.end, begin + together)};
  };
  for (int64_t i = 0; i < count; ++i) body(some(i), some(i + 1 < count ? i + 1 : i).begin);
}

// Calls apply<W>(block) for all blocks, two by two (W = Wide<V>) where `in_twos` and there are two, else W = V.
template <class V, class Apply>
RNNKIT_INLINE void for_blocks(int64_t begin, int64_t end, bool in_twos, Apply&& apply) {
  int64_t block = begin;
  if constexpr (Wide<V>::kWidth > kLanes) {
    if (in_twos)
      for (; block + 2 <= end; block += 2) apply.template operator()<Wide<V>>(block);
  }
  for (; block < end; ++block) apply.template operator()<V>(block);
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
