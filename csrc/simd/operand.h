// Operand<V, T>: how sixteen lanes of packed operands T are loaded, multiplied and made, one interface for all
// precisions.
//
// A plain operand is a value of V. A Pair is two bfloat16, rounded to nearest even; their products are exact in float32
// and are added there. Where one instruction multiplies pairs (AVX-512-BF16) an operand has one part; elsewhere its two
// halves are widened and multiplied one after the other, so that only the order of the additions differs.
#pragma once

#include "gemm/layout.h"
#include "simd/vec.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

template <class V, class T>
struct Operand {  // T is V's own scalar
  using Vector = V;
  static constexpr int kParts = 1;
  static RNNKIT_INLINE V load(const T* p, int) { return V::load(p); }
  static RNNKIT_INLINE V broadcast(T value, int) { return V::broadcast(value); }
  static RNNKIT_INLINE V dot(V a, V b, V sum) { return fma(a, b, sum); }
  // values[kPerWord<T>] -> sixteen words, and those of the other planes `plane` words apart.
  static RNNKIT_INLINE void store(const V* values, T* to, int64_t = 0) { values[0].store(to); }
};

#if defined(__AVX512BF16__)

template <>
struct Operand<F, Pair> {
  struct Vector {
    __m512bh r;
  };
  static constexpr int kParts = 1;
  static RNNKIT_INLINE Vector load(const Pair* p, int) { return {reinterpret_cast<__m512bh>(_mm512_loadu_si512(p))}; }
  static RNNKIT_INLINE Vector broadcast(Pair pair, int) {
    return {reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(pair.bits)))};
  }
  static RNNKIT_INLINE F dot(Vector a, Vector b, F sum) { return {_mm512_dpbf16_ps(sum.r, a.r, b.r)}; }
  static RNNKIT_INLINE void store(const F* values, Pair* to, int64_t = 0) {
    const __m512i low = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values[0].r)));
    const __m512i high = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values[1].r)));
    _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
  }
  // Sixteen neighbouring values -> their eight operands.
  static RNNKIT_INLINE void store_along(F values, Pair* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values.r)));
  }
};

// Three times eight bits with their signs hold all 24 of a float: the parts add up to it exactly, unless it is close to
// the ends of the range.
template <>
struct Operand<F, Triple> {
  static RNNKIT_INLINE void store(const F* values, Triple* to, int64_t plane) {
    F rest[2] = {values[0], values[1]};
    for (int64_t i = 0; i < kPlanes<Triple>; ++i, to += plane) {
      Operand<F, Pair>::store(rest, reinterpret_cast<Pair*>(to));
      for (F& value : rest) value = value - rounded(value);
    }
  }
  // Sixteen neighbouring values -> their eight words in each plane.
  static RNNKIT_INLINE void store_along(F values, Triple* to, int64_t plane) {
    for (int64_t i = 0; i < kPlanes<Triple>; ++i, to += plane) {
      Operand<F, Pair>::store_along(values, reinterpret_cast<Pair*>(to));
      values = values - rounded(values);
    }
  }

 private:
  static RNNKIT_INLINE F rounded(F value) {
    const __m512i half = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value.r)));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(half, 16))};
  }
};

#else

template <>
struct Operand<F, Pair> {
  using Vector = F;
  static constexpr int kParts = 2;
  static RNNKIT_INLINE F load(const Pair* p, int part) { return half(p, part); }
  static RNNKIT_INLINE F broadcast(Pair pair, int part) {
    return F::broadcast(__builtin_bit_cast(float, part == 0 ? pair.bits << 16 : pair.bits & 0xFFFF0000u));
  }
  static RNNKIT_INLINE F dot(F a, F b, F sum) { return fma(a, b, sum); }
  static RNNKIT_INLINE void store(const F* values, Pair* to, int64_t = 0) {
    float low[kLanes], high[kLanes];
    values[0].store(low);
    values[1].store(high);
    for (int64_t i = 0; i < kLanes; ++i) to[i].bits = rounded(low[i]) | rounded(high[i]) << 16;
  }
  static RNNKIT_INLINE void store_along(F values, Pair* to) {
    float lane[kLanes];
    values.store(lane);
    for (int64_t i = 0; i < kLanes / 2; ++i) to[i].bits = rounded(lane[2 * i]) | rounded(lane[2 * i + 1]) << 16;
  }

 private:
  // The bits of the nearest bfloat16, ties to even; a NaN stays one and a denormal becomes 0, as the instruction has
  // it.
  static RNNKIT_INLINE uint32_t rounded(float value) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, value), magnitude = bits & 0x7FFFFFFFu;
    const uint32_t nearest = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    return magnitude > 0x7F800000u ? bits >> 16 | 0x40u : magnitude < 0x00800000u ? bits >> 31 << 15 : nearest;
  }
};

#endif

// `count` values in a row -> stored<Pair>(count) operands.
RNNKIT_INLINE void round_row(const float* row, int64_t count, Pair* to) {
  Pair* const end = to + stored<Pair>(count);
  for (int64_t i = 0; i < count; i += kLanes, to += kLanes / 2)
    Operand<F, Pair>::store_along(count - i >= kLanes ? F::load(row + i) : F::load_n(row + i, count - i), to);
  memset(to, 0, static_cast<size_t>(end - to) * sizeof(Pair));
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
