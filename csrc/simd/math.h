// exp, log, sigmoid and tanh of a vector's lanes, with errors stated here and held by tests/kernels/test_math.py.
//
// float, any instruction set, against exact arithmetic:  exp 2 ulp, log 2 ulp, sigmoid 3 ulp, tanh 2 ulp where the
// result is normal. Results below the smallest normal number are exactly 0 (exp below -86.98; sigmoid below -87.33);
// sigmoid and tanh of large arguments, infinities included, are exactly 0, 1 or -1; a NaN gives a NaN and nothing else
// does. double (portable build, tests only) calls the C library.
#pragma once

#include "simd/twice.h"

#if defined(RNNKIT_ISA_PORTABLE)
extern "C" {
double exp(double) noexcept;
double log(double) noexcept;
double tanh(double) noexcept;
}
#endif

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

// f x = n ln2 + f r, |f r| <= ln2/2: the pieces of e^(f x) = 2^n (1 + rest), with 2^(n + kBias - 127) as the scale.
// f is 1, -1 or -2, so that its multiples of the constants are exact; |f x| is below 89, or the scale is garbage.
template <class V>
struct ExpParts {
  V scale, rest;
};
template <int kBias, int f, class V>
RNNKIT_INLINE ExpParts<V> exp_parts(V x) {
  const V magic =
      V::broadcast(12582912.0f + kBias);  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const V shifted = fma(x, V::broadcast(f * 1.44269504f), magic);
  const V n = shifted - magic;
  V r = fma(n, V::broadcast(-0.693359375f / f), x);
  r = fma(n, V::broadcast(2.12194440e-4f / f), r);
  constexpr int f2 = f * f, f4 = f2 * f2;
  V p =
      V::broadcast(f4 * f2 * 1.3838812e-3f);  // (e^r - 1) / r, minimax; each coefficient rounded, then the next fitted
  p = fma(p, r, V::broadcast(f4 * f * 8.3691925e-3f));
  p = fma(p, r, V::broadcast(f4 * 4.1668102e-2f));
  p = fma(p, r, V::broadcast(f2 * f * 1.6666517e-1f));
  p = fma(p, r, V::broadcast(f2 * 4.9999994e-1f));
  p = fma(p, r, V::broadcast(f));
  return {bits_to_exponent(shifted), p * r};
}

template <class V>
RNNKIT_INLINE V exp(V x) {
  const V lowest = V::broadcast(-86.98f);  // the scale is 2^(n-1), so that e^x is finite up to the largest float
  const ExpParts<V> e = exp_parts<126, 1>(min(V::broadcast(88.8f), max(lowest, x)));
  return select(less(x, lowest), V::zero(), fma(e.scale, e.rest, e.scale) * V::broadcast(2.0f));
}

// 1 / (1 + e^-x). Where e^-x would overflow the result is 0; where its scale underflows to 0, 1.
template <class V>
RNNKIT_INLINE V sigmoid(V x) {
  const ExpParts<V> e = exp_parts<127, -1>(min(V::broadcast(88.0f), x));
  const V y = reciprocal(V::broadcast(1.0f) + fma(e.scale, e.rest, e.scale));
  return select(less(x, V::broadcast(-87.33f)), V::zero(), y);
}

// 1 - 2 e / (1 + e) with e = e^-2|x|, whose error shrinks with e; below 0.625 x + x^3 P(x^2) (Cephes, tanhf). With x's
// sign. Its last bit matters: backward multiplies by 1 - tanh^2, which magnifies it where the unit is nearly saturated.
template <class V>
RNNKIT_INLINE V tanh(V x) {
  const V one = V::broadcast(1.0f), a = abs(x), z = a * a;
  const ExpParts<V> parts = exp_parts<127, -2>(min(V::broadcast(44.0f), a));
  const V e = fma(parts.scale, parts.rest, parts.scale);
  const V large = fma(V::broadcast(-2.0f) * e, reciprocal(one + e), one);
  V p = V::broadcast(-5.70498872745e-3f);
  p = fma(p, z, V::broadcast(2.06390887954e-2f));
  p = fma(p, z, V::broadcast(-5.37397155531e-2f));
  p = fma(p, z, V::broadcast(1.33314422036e-1f));
  p = fma(p, z, V::broadcast(-3.33332819422e-1f));
  return copysign(select(less(a, V::broadcast(0.625f)), fma(p * z, a, a), large), x);
}

// The natural logarithm; 0 and denormals give -inf, negative numbers NaN.
RNNKIT_INLINE F log(F x) {
  F e = exponent(x), m = mantissa(x);
  const F::Mask small = less(m, F::broadcast(1.41421356f));
  e = select(small, e, e + F::broadcast(1.0f));
  const F f = select(small, m, m * F::broadcast(0.5f)) - F::broadcast(1.0f), z = f * f;
  F p = F::broadcast(7.0376836292e-2f);  // minimax on [sqrt(1/2), sqrt(2)] - 1 (Cephes, logf)
  p = fma(p, f, F::broadcast(-1.1514610310e-1f));
  p = fma(p, f, F::broadcast(1.1676998740e-1f));
  p = fma(p, f, F::broadcast(-1.2420140846e-1f));
  p = fma(p, f, F::broadcast(1.4249322787e-1f));
  p = fma(p, f, F::broadcast(-1.6668057665e-1f));
  p = fma(p, f, F::broadcast(2.0000714765e-1f));
  p = fma(p, f, F::broadcast(-2.4999993993e-1f));
  p = fma(p, f, F::broadcast(3.3333331174e-1f));
  F y = fma(e, F::broadcast(-2.12194440e-4f), p * f * z);
  y = fma(F::broadcast(-0.5f), z, y);
  y = fma(e, F::broadcast(0.693359375f), f + y);
  const F infinity = F::broadcast(__builtin_inff());
  y = select(less(x, F::broadcast(1.17549435e-38f)), F::zero() - infinity, y);
  y = select(less(x, F::zero()), F::broadcast(__builtin_nanf("")), y);
  return select(less(x, infinity), y, x);  // inf and NaN are their own logarithms
}

#if defined(RNNKIT_ISA_PORTABLE)
#define RNNKIT_LANEWISE(expression)        \
  double lane[kLanes];                     \
  v.store(lane);                           \
  for (double& x : lane) x = (expression); \
  return D::load(lane)
RNNKIT_INLINE D exp(D v) { RNNKIT_LANEWISE(::exp(x)); }
RNNKIT_INLINE D log(D v) { RNNKIT_LANEWISE(::log(x)); }
RNNKIT_INLINE D tanh(D v) { RNNKIT_LANEWISE(::tanh(x)); }
RNNKIT_INLINE D sigmoid(D v) { RNNKIT_LANEWISE(1.0 / (1.0 + ::exp(-x))); }
#undef RNNKIT_LANEWISE
#endif

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
