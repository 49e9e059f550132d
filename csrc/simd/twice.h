// Twice<V>: two vectors side by side, thirty-two lanes, the same interface. Where one vector is one register, long
// chains of operations wait for themselves; two chains at once do not. Each half has the bits of V.
#pragma once

#include "simd/vec.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

template <class V>
struct Twice {
  using Scalar = typename V::Scalar;
  struct Mask {
    typename V::Mask a, b;
  };
  static constexpr int64_t kWidth = 2 * kLanes;
  V a, b;

  static RNNKIT_INLINE Twice zero() { return {V::zero(), V::zero()}; }
  static RNNKIT_INLINE Twice broadcast(Scalar s) { return {V::broadcast(s), V::broadcast(s)}; }
  static RNNKIT_INLINE Twice load(const Scalar* p) { return {V::load(p), V::load(p + kLanes)}; }
  static RNNKIT_INLINE Twice load_n(const Scalar* p, int64_t n) {
    return {V::load(p), V::load_n(p + kLanes, n - kLanes)};
  }
  RNNKIT_INLINE void store(Scalar* p) const {
    a.store(p);
    b.store(p + kLanes);
  }
  RNNKIT_INLINE void store_n(Scalar* p, int64_t n) const {
    a.store(p);
    b.store_n(p + kLanes, n - kLanes);
  }
};

#define RNNKIT_TWICE_1(name)                \
  template <class V>                        \
  RNNKIT_INLINE Twice<V> name(Twice<V> x) { \
    return {name(x.a), name(x.b)};          \
  }
#define RNNKIT_TWICE_2(name)                                  \
  template <class V>                                          \
  RNNKIT_INLINE auto name(Twice<V> x, Twice<V> y) {           \
    return RNNKIT_TWICE_TYPE{name(x.a, y.a), name(x.b, y.b)}; \
  }
#define RNNKIT_TWICE_TYPE Twice<V>
RNNKIT_TWICE_1(abs)
RNNKIT_TWICE_1(bits_to_exponent)
RNNKIT_TWICE_1(reciprocal)
RNNKIT_TWICE_2(operator+)
RNNKIT_TWICE_2(operator-)
RNNKIT_TWICE_2(operator*)
RNNKIT_TWICE_2(operator/)
RNNKIT_TWICE_2(min)
RNNKIT_TWICE_2(max)
RNNKIT_TWICE_2(copysign)
#undef RNNKIT_TWICE_TYPE
#define RNNKIT_TWICE_TYPE typename Twice<V>::Mask
RNNKIT_TWICE_2(less)
#undef RNNKIT_TWICE_TYPE
#undef RNNKIT_TWICE_1
#undef RNNKIT_TWICE_2
template <class V>
RNNKIT_INLINE Twice<V> fma(Twice<V> x, Twice<V> y, Twice<V> z) {
  return {fma(x.a, y.a, z.a), fma(x.b, y.b, z.b)};
}
template <class V>
RNNKIT_INLINE Twice<V> select(typename Twice<V>::Mask m, Twice<V> yes, Twice<V> no) {
  return {select(m.a, yes.a, no.a), select(m.b, yes.b, no.b)};
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
