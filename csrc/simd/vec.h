// Vec<S>: sixteen lanes of S, the same interface on every instruction set; all kernels are written on it and know no
// width.
//
// float:  AVX-512 one register, AVX2 two, portable four 16-byte vectors (SSE2 or NEON). double: portable only, for
// gradcheck. fma() is the only fused operation (the build sets -ffp-contract=off), so equal source gives equal bits in
// every tile. min, max and less follow x86: with a NaN among the operands, min and max return the SECOND operand and
// less is false.
#pragma once

#include "isa/isa.h"

#if defined(RNNKIT_ISA_AVX512) || defined(RNNKIT_ISA_AVX2)
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

inline constexpr int64_t kLanes = 16;

// Into the second-level cache, for use some thousand cycles from now.
RNNKIT_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

template <class S>
struct Vec;

#if defined(RNNKIT_ISA_AVX512)

template <>
struct Vec<float> {
  using Scalar = float;
  using Mask = __mmask16;
  static constexpr int64_t kWidth = kLanes;
  __m512 r;

  static RNNKIT_INLINE Vec zero() { return {_mm512_setzero_ps()}; }
  static RNNKIT_INLINE Vec broadcast(float s) { return {_mm512_set1_ps(s)}; }
  static RNNKIT_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static RNNKIT_INLINE Vec load_n(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
  RNNKIT_INLINE void store(float* p) const { _mm512_storeu_ps(p, r); }
  RNNKIT_INLINE void store_n(float* p, int64_t n) const { _mm512_mask_storeu_ps(p, first(n), r); }

 private:
  static RNNKIT_INLINE __mmask16 first(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
};

using F = Vec<float>;
RNNKIT_INLINE F operator+(F a, F b) { return {_mm512_add_ps(a.r, b.r)}; }
RNNKIT_INLINE F operator-(F a, F b) { return {_mm512_sub_ps(a.r, b.r)}; }
RNNKIT_INLINE F operator*(F a, F b) { return {_mm512_mul_ps(a.r, b.r)}; }
RNNKIT_INLINE F operator/(F a, F b) { return {_mm512_div_ps(a.r, b.r)}; }
RNNKIT_INLINE F fma(F a, F b, F c) { return {_mm512_fmadd_ps(a.r, b.r, c.r)}; }
RNNKIT_INLINE F min(F a, F b) { return {_mm512_min_ps(a.r, b.r)}; }
RNNKIT_INLINE F max(F a, F b) { return {_mm512_max_ps(a.r, b.r)}; }
RNNKIT_INLINE F abs(F a) { return {_mm512_abs_ps(a.r)}; }
RNNKIT_INLINE F copysign(F a, F sign) {
  return {_mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_set1_epi32(INT32_MIN), _mm512_castps_si512(sign.r),
                                                        _mm512_castps_si512(a.r), 0xCA))};
}
RNNKIT_INLINE __mmask16 less(F a, F b) { return _mm512_cmp_ps_mask(a.r, b.r, _CMP_LT_OQ); }
RNNKIT_INLINE F select(__mmask16 m, F yes, F no) { return {_mm512_mask_blend_ps(m, no.r, yes.r)}; }
// The low bits of `a` moved into the exponent: 2^n when a = n + 127 + 1.5 * 2^23.
RNNKIT_INLINE F bits_to_exponent(F a) { return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a.r), 23))}; }
// a = m * 2^e with m in [1, 2); a normal and positive.
RNNKIT_INLINE F exponent(F a) { return {_mm512_getexp_ps(a.r)}; }
RNNKIT_INLINE F mantissa(F a) { return {_mm512_getmant_ps(a.r, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero)}; }
// 1 / a for a in [1, 2^126], within 1 ulp: half the cost of a division.
RNNKIT_INLINE F reciprocal(F a) {
  const __m512 guess = _mm512_rcp14_ps(a.r);
  return {_mm512_fmadd_ps(guess, _mm512_fnmadd_ps(a.r, guess, _mm512_set1_ps(1.0f)), guess)};
}
// The bfloat16 in the low (part 0) or high half of sixteen words, as floats.
RNNKIT_INLINE F half(const void* p, int part) {
  const __m512i words = _mm512_loadu_si512(p);
  return {_mm512_castsi512_ps(part == 0 ? _mm512_slli_epi32(words, 16)
                                        : _mm512_and_si512(words, _mm512_set1_epi32(static_cast<int>(0xFFFF0000))))};
}

#elif defined(RNNKIT_ISA_AVX2)

template <>
struct Vec<float> {
  using Scalar = float;
  struct Mask {
    __m256 lo, hi;
  };
  static constexpr int64_t kWidth = kLanes;
  __m256 lo, hi;

  static RNNKIT_INLINE Vec zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static RNNKIT_INLINE Vec broadcast(float s) { return {_mm256_set1_ps(s), _mm256_set1_ps(s)}; }
  static RNNKIT_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static RNNKIT_INLINE Vec load_n(const float* p, int64_t n) {
    return {_mm256_maskload_ps(p, first(n)), _mm256_maskload_ps(p + 8, first(n - 8))};
  }
  RNNKIT_INLINE void store(float* p) const {
    _mm256_storeu_ps(p, lo);
    _mm256_storeu_ps(p + 8, hi);
  }
  RNNKIT_INLINE void store_n(float* p, int64_t n) const {
    _mm256_maskstore_ps(p, first(n), lo);
    _mm256_maskstore_ps(p + 8, first(n - 8), hi);
  }

 private:
  static RNNKIT_INLINE __m256i first(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

using F = Vec<float>;
RNNKIT_INLINE F operator+(F a, F b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
RNNKIT_INLINE F operator-(F a, F b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
RNNKIT_INLINE F operator*(F a, F b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
RNNKIT_INLINE F operator/(F a, F b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
RNNKIT_INLINE F fma(F a, F b, F c) { return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)}; }
RNNKIT_INLINE F min(F a, F b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
RNNKIT_INLINE F max(F a, F b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
RNNKIT_INLINE F abs(F a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
RNNKIT_INLINE F copysign(F a, F s) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(sign, a.lo), _mm256_and_ps(sign, s.lo)),
          _mm256_or_ps(_mm256_andnot_ps(sign, a.hi), _mm256_and_ps(sign, s.hi))};
}
RNNKIT_INLINE F::Mask less(F a, F b) {
  return {_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)};
}
RNNKIT_INLINE F select(F::Mask m, F yes, F no) {
  return {_mm256_blendv_ps(no.lo, yes.lo, m.lo), _mm256_blendv_ps(no.hi, yes.hi, m.hi)};
}
RNNKIT_INLINE F bits_to_exponent(F a) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a.lo), 23)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a.hi), 23))};
}
RNNKIT_INLINE __m256 exponent8(__m256 a) {
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(_mm256_castps_si256(a), 23), _mm256_set1_epi32(127)));
}
RNNKIT_INLINE __m256 mantissa8(__m256 a) {
  return _mm256_or_ps(_mm256_and_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(0x007FFFFF))), _mm256_set1_ps(1.0f));
}
RNNKIT_INLINE F exponent(F a) { return {exponent8(a.lo), exponent8(a.hi)}; }
RNNKIT_INLINE F mantissa(F a) { return {mantissa8(a.lo), mantissa8(a.hi)}; }
RNNKIT_INLINE F reciprocal(F a) { return F::broadcast(1.0f) / a; }
RNNKIT_INLINE __m256 half8(const __m256i* p, int part) {
  const __m256i words = _mm256_loadu_si256(p);
  return _mm256_castsi256_ps(part == 0 ? _mm256_slli_epi32(words, 16)
                                       : _mm256_and_si256(words, _mm256_set1_epi32(static_cast<int>(0xFFFF0000))));
}
RNNKIT_INLINE F half(const void* p, int part) {
  const __m256i* words = static_cast<const __m256i*>(p);
  return {half8(words, part), half8(words + 1, part)};
}

#else  // portable: 16-byte vectors of the compiler, which are registers on SSE2 and NEON

template <class S>
struct Vec {
  using Scalar = S;
  typedef S Part __attribute__((vector_size(16)));
  static constexpr int64_t kWidth = kLanes;
  static constexpr int kParts = 16 * sizeof(S) / 16, kPerPart = 16 / sizeof(S);
  struct Mask {
    decltype(Part{} < Part{}) part[kParts];
  };
  Part part[kParts];

  static RNNKIT_INLINE Vec zero() { return broadcast(0); }
  static RNNKIT_INLINE Vec broadcast(S s) {
    Vec v;
    for (int i = 0; i < kParts; ++i) v.part[i] = s - Part{};
    return v;
  }
  static RNNKIT_INLINE Vec load(const S* p) {
    Vec v;
    for (int i = 0; i < kParts; ++i) memcpy(&v.part[i], p + i * kPerPart, 16);
    return v;
  }
  static RNNKIT_INLINE Vec load_n(const S* p, int64_t n) {
    S lanes[kLanes] = {};
    memcpy(lanes, p, static_cast<size_t>(n) * sizeof(S));
    return load(lanes);
  }
  RNNKIT_INLINE void store(S* p) const {
    for (int i = 0; i < kParts; ++i) memcpy(p + i * kPerPart, &part[i], 16);
  }
  RNNKIT_INLINE void store_n(S* p, int64_t n) const {
    S lanes[kLanes];
    store(lanes);
    memcpy(p, lanes, static_cast<size_t>(n) * sizeof(S));
  }
};

#define RNNKIT_PARTWISE(expression)                                  \
  Vec<S> v;                                                          \
  for (int i = 0; i < Vec<S>::kParts; ++i) v.part[i] = (expression); \
  return v
template <class S>
RNNKIT_INLINE Vec<S> operator+(Vec<S> a, Vec<S> b) {
  RNNKIT_PARTWISE(a.part[i] + b.part[i]);
}
template <class S>
RNNKIT_INLINE Vec<S> operator-(Vec<S> a, Vec<S> b) {
  RNNKIT_PARTWISE(a.part[i] - b.part[i]);
}
template <class S>
RNNKIT_INLINE Vec<S> operator*(Vec<S> a, Vec<S> b) {
  RNNKIT_PARTWISE(a.part[i] * b.part[i]);
}
template <class S>
RNNKIT_INLINE Vec<S> operator/(Vec<S> a, Vec<S> b) {
  RNNKIT_PARTWISE(a.part[i] / b.part[i]);
}
#if defined(__ARM_NEON) && defined(__aarch64__)
RNNKIT_INLINE float32x4_t fma_part(float32x4_t a, float32x4_t b, float32x4_t c) { return vfmaq_f32(c, a, b); }
RNNKIT_INLINE float64x2_t fma_part(float64x2_t a, float64x2_t b, float64x2_t c) { return vfmaq_f64(c, a, b); }
template <class S>
RNNKIT_INLINE Vec<S> fma(Vec<S> a, Vec<S> b, Vec<S> c) {
  RNNKIT_PARTWISE(fma_part(a.part[i], b.part[i], c.part[i]));
}
#else  // baseline x86 has no fused operation; two roundings, the same two everywhere
template <class S>
RNNKIT_INLINE Vec<S> fma(Vec<S> a, Vec<S> b, Vec<S> c) {
  RNNKIT_PARTWISE(a.part[i] * b.part[i] + c.part[i]);
}
#endif
template <class S>
RNNKIT_INLINE Vec<S> min(Vec<S> a, Vec<S> b) {
  RNNKIT_PARTWISE(a.part[i] < b.part[i] ? a.part[i] : b.part[i]);
}
template <class S>
RNNKIT_INLINE Vec<S> max(Vec<S> a, Vec<S> b) {
  RNNKIT_PARTWISE(a.part[i] > b.part[i] ? a.part[i] : b.part[i]);
}
template <class S>
RNNKIT_INLINE typename Vec<S>::Mask less(Vec<S> a, Vec<S> b) {
  typename Vec<S>::Mask m;
  for (int i = 0; i < Vec<S>::kParts; ++i) m.part[i] = a.part[i] < b.part[i];
  return m;
}
template <class S>
RNNKIT_INLINE Vec<S> select(const typename Vec<S>::Mask& m, Vec<S> yes, Vec<S> no) {
  RNNKIT_PARTWISE(m.part[i] ? yes.part[i] : no.part[i]);
}
#undef RNNKIT_PARTWISE

using F = Vec<float>;
using D = Vec<double>;
using Word = int32_t __attribute__((vector_size(16)));
#define RNNKIT_WORDWISE(expression)                             \
  F v;                                                          \
  for (int i = 0; i < F::kParts; ++i) v.part[i] = (expression); \
  return v
RNNKIT_INLINE F abs(F a) { RNNKIT_WORDWISE((F::Part)((Word)a.part[i] & INT32_MAX)); }
RNNKIT_INLINE F copysign(F a, F s) {
  RNNKIT_WORDWISE((F::Part)(((Word)a.part[i] & INT32_MAX) | ((Word)s.part[i] & INT32_MIN)));
}
RNNKIT_INLINE F bits_to_exponent(F a) { RNNKIT_WORDWISE((F::Part)((Word)a.part[i] << 23)); }
RNNKIT_INLINE F exponent(F a) { RNNKIT_WORDWISE(__builtin_convertvector(((Word)a.part[i] >> 23) - 127, F::Part)); }
RNNKIT_INLINE F mantissa(F a) { RNNKIT_WORDWISE((F::Part)(((Word)a.part[i] & 0x007FFFFF) | 0x3F800000)); }
RNNKIT_INLINE F half(const void* p, int part) {
  Word words[F::kParts];
  memcpy(words, p, sizeof(words));
  RNNKIT_WORDWISE((F::Part)(part == 0 ? words[i] << 16 : words[i] & static_cast<int32_t>(0xFFFF0000)));
}
#undef RNNKIT_WORDWISE
RNNKIT_INLINE F reciprocal(F a) { return F::broadcast(1.0f) / a; }

#endif

// Sum and largest of the lanes, always by the same tree; with a NaN lane the largest is unspecified.
template <class S>
RNNKIT_INLINE S sum_lanes(Vec<S> v) {
  S lane[kLanes];
  v.store(lane);
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t i = 0; i < width; ++i) lane[i] += lane[i + width];
  return lane[0];
}
template <class S>
RNNKIT_INLINE S max_lanes(Vec<S> v) {
  S lane[kLanes];
  v.store(lane);
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t i = 0; i < width; ++i) lane[i] = larger(lane[i], lane[i + width]);
  return lane[0];
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
