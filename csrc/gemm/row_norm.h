// Layer normalisation of one row of values, forward and backward.
//
//   n = (x − mean) / √(variance + ε);  the result is gain∘n
//   with d its gradient:  dx = (e − mean(e) − n mean(e∘n)) / √(variance + ε),  e = gain∘d;  dgain = Σ d∘n
//
// A row is [block of 16 units][slot][16]; its padding lanes are 0 and count for nothing. Every sum is some chains over
// the row's vectors in their order, so its bits depend on the row alone; the variance is taken about the mean in a
// second pass.  Source: Ba, Kiros and Hinton 2016, arXiv:1607.06450.
#pragma once

#include "isa/isa.h"
#include "simd/vec.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

inline constexpr double kNormEpsilon = 1e-5;

RNNKIT_INLINE float square_root(float x) { return __builtin_sqrtf(x); }
RNNKIT_INLINE double square_root(double x) { return __builtin_sqrt(x); }

// The sum of what add(chain, v) adds for the vectors v of [begin, end).
template <class V, class Add>
RNNKIT_INLINE V sum_vectors(int64_t begin, int64_t end, Add&& add) {
  constexpr int64_t kChains = 4;
  V chain[kChains] = {V::zero(), V::zero(), V::zero(), V::zero()};
  int64_t v = begin;
  for (; v + kChains <= end; v += kChains)
#pragma GCC unroll 4
    for (int64_t i = 0; i < kChains; ++i) add(chain[i], v + i);
  for (int64_t i = 0; v < end; ++v, ++i) add(chain[i], v);
  return (chain[0] + chain[1]) + (chain[2] + chain[3]);
}

// Mean and 1 / √(variance + ε) of the row x of `blocks` blocks with `slots` slots, into moments[0] and [1].
template <class V, class S = typename V::Scalar>
RNNKIT_INLINE void take_moments(const S* x, int64_t units, int64_t blocks, int64_t slots, S* moments) {
  const int64_t lanes = units - (blocks - 1) * kLanes;  // of the last block
  const int64_t vectors = blocks * slots, whole = lanes == kLanes ? vectors : vectors - slots;
  const S count = static_cast<S>(units * slots);
  const S mean =
      sum_lanes(sum_vectors<V>(0, vectors, [&](V& chain, int64_t v) { chain = chain + V::load(x + v * kLanes); })) /
      count;
  const auto squares = [&](int64_t begin, int64_t end, V from) {
    return sum_vectors<V>(begin, end, [&](V& chain, int64_t v) {
      const V off = V::load(x + v * kLanes) - from;
      chain = fma(off, off, chain);
    });
  };
  S lane[kLanes];  // the mean where there is a unit
  for (int64_t i = 0; i < kLanes; ++i) lane[i] = i < lanes || planted(Bug::norm_counts_padding_lanes) ? mean : S(0);
  const V spread = squares(0, whole, V::broadcast(planted(Bug::norm_variance_about_zero) ? S(0) : mean));
  const S variance = sum_lanes(spread + squares(whole, vectors, V::load(lane))) / count;
  moments[0] = mean;
  moments[1] = S(1) / square_root(variance + static_cast<S>(kNormEpsilon));
}

// One row's norm, once its moments are taken.
template <class V, class S = typename V::Scalar>
struct RowNorm {
  V mean, scale;
  explicit RNNKIT_INLINE RowNorm(const S* moments) : mean(V::broadcast(moments[0])), scale(V::broadcast(moments[1])) {}
  RNNKIT_INLINE V operator()(V x) const { return (x - mean) * scale; }
};

// The means of e and of e∘n into moments[2] and [3]. For slots `first` ... of a row of gates, which hold d, and the
// product x that they came from.
template <class V, int kSlots, class S = typename V::Scalar>
RNNKIT_INLINE void take_gradient_moments(const S* d, int64_t step, const S* x, const S* gain, int64_t units,
                                         int64_t blocks, S* moments) {
  const RowNorm<V> norm(moments);
  V sum[kSlots], product[kSlots];
#pragma GCC unroll 4
  for (int i = 0; i < kSlots; ++i) sum[i] = product[i] = V::zero();
  for (int64_t block = 0; block < blocks; ++block, d += step, x += kSlots * kLanes, gain += kSlots * kLanes)
#pragma GCC unroll 4
    for (int i = 0; i < kSlots; ++i) {
      const V e = V::load(gain + i * kLanes) * V::load(d + i * kLanes);
      sum[i] = sum[i] + e;
      product[i] = fma(e, norm(V::load(x + i * kLanes)), product[i]);
    }
#pragma GCC unroll 4
  for (int i = 1; i < kSlots; ++i) {
    sum[0] = sum[0] + sum[i];
    product[0] = product[0] + product[i];
  }
  const S count = static_cast<S>(units * kSlots);
  moments[2] = planted(Bug::norm_gradient_without_its_mean) ? S(0) : sum_lanes(sum[0]) / count;
  moments[3] = planted(Bug::norm_gradient_without_its_slope) ? S(0) : sum_lanes(product[0]) / count;
}

// The gradient of x, once all four moments are taken.
template <class V, class S = typename V::Scalar>
struct RowNormBack {
  RowNorm<V> norm;
  V mean, slope;
  explicit RNNKIT_INLINE RowNormBack(const S* moments)
      : norm(moments), mean(V::broadcast(moments[2])), slope(V::broadcast(moments[3])) {}
  RNNKIT_INLINE V operator()(V d, V x, V gain) const { return norm.scale * ((gain * d - mean) - norm(x) * slope); }
};

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
