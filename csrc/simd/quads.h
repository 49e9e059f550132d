// Sums of products of quads: sixteen lanes of int32, four products of eight bits added to each by one dot().
//
// The sums are exact, so every instruction set has the same. VNNI multiplies unsigned by signed bytes: there the packed
// weights are stored 128 higher, and 128 times the sum of the row of x is taken off in the end. Elsewhere x is split
// into magnitude and sign, and the weights take the sign, for sums of two products that fit 16 bits.
#pragma once

#include "gemm/layout.h"
#include "simd/vec.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

#if defined(__AVX512VNNI__)

inline constexpr int kWeightBias = 128;

struct QuadSums {
  struct Factor {
    __m512i r;
  };
  __m512i r;
  static RNNKIT_INLINE QuadSums zero() { return {_mm512_setzero_si512()}; }
  static RNNKIT_INLINE Factor broadcast(Quad x) { return {_mm512_set1_epi32(static_cast<int>(x.bits))}; }
  RNNKIT_INLINE void dot(Factor x, const Quad* weights) {
    r = _mm512_dpbusd_epi32(r, _mm512_loadu_si512(weights), x.r);
  }
  RNNKIT_INLINE F to_float(int32_t offset) const {
    return {_mm512_cvtepi32_ps(_mm512_sub_epi32(r, _mm512_set1_epi32(offset)))};
  }
};

#elif defined(RNNKIT_ISA_AVX512)

inline constexpr int kWeightBias = 0;

struct QuadSums {
  struct Factor {
    __m512i magnitude, sign;  // sign: all ones where x is negative
  };
  __m512i r;
  static RNNKIT_INLINE QuadSums zero() { return {_mm512_setzero_si512()}; }
  static RNNKIT_INLINE Factor broadcast(Quad x) {
    const __m512i r = _mm512_set1_epi32(static_cast<int>(x.bits));
    return {_mm512_abs_epi8(r), _mm512_movm_epi8(_mm512_movepi8_mask(r))};
  }
  RNNKIT_INLINE void dot(Factor x, const Quad* weights) {
    const __m512i w = _mm512_sub_epi8(_mm512_xor_si512(_mm512_loadu_si512(weights), x.sign), x.sign);
    r = _mm512_add_epi32(r, _mm512_madd_epi16(_mm512_maddubs_epi16(x.magnitude, w), _mm512_set1_epi16(1)));
  }
  RNNKIT_INLINE F to_float(int32_t) const { return {_mm512_cvtepi32_ps(r)}; }
};

#elif defined(RNNKIT_ISA_AVX2)

inline constexpr int kWeightBias = 0;

struct QuadSums {
  struct Factor {
    __m256i magnitude, value;
  };
  __m256i lo, hi;
  static RNNKIT_INLINE QuadSums zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static RNNKIT_INLINE Factor broadcast(Quad x) {
    const __m256i value = _mm256_set1_epi32(static_cast<int>(x.bits));
    return {_mm256_abs_epi8(value), value};
  }
  RNNKIT_INLINE void dot(Factor x, const Quad* weights) {
    lo = _mm256_add_epi32(lo, half(x, weights));
    hi = _mm256_add_epi32(hi, half(x, weights + 8));
  }
  RNNKIT_INLINE F to_float(int32_t) const { return {_mm256_cvtepi32_ps(lo), _mm256_cvtepi32_ps(hi)}; }

 private:
  static RNNKIT_INLINE __m256i half(Factor x, const Quad* weights) {
    const __m256i w = _mm256_sign_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights)), x.value);
    return _mm256_madd_epi16(_mm256_maddubs_epi16(x.magnitude, w), _mm256_set1_epi16(1));
  }
};

#else

inline constexpr int kWeightBias = 0;

struct QuadSums {
  struct Factor {
    int8_t value[4];
  };
  int32_t lane[kLanes];
  static RNNKIT_INLINE QuadSums zero() { return {}; }
  static RNNKIT_INLINE Factor broadcast(Quad x) { return __builtin_bit_cast(Factor, x); }
  RNNKIT_INLINE void dot(Factor x, const Quad* weights) {
    int8_t w[4 * kLanes];
    memcpy(w, weights, sizeof(w));
    for (int64_t i = 0; i < kLanes; ++i)
      for (int j = 0; j < 4; ++j) lane[i] += x.value[j] * w[4 * i + j];
  }
  RNNKIT_INLINE F to_float(int32_t) const {
    float values[kLanes];
    for (int64_t i = 0; i < kLanes; ++i) values[i] = static_cast<float>(lane[i]);
    return F::load(values);
  }
};

#endif

inline constexpr float kToInteger = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits

// The nearest integers, ties to even, of values within +-127.5.
RNNKIT_INLINE void to_bytes(F values, int8_t* to) {
#if defined(RNNKIT_ISA_AVX512)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(values.r)));
#else
  float shifted[kLanes];
  (values + F::broadcast(kToInteger)).store(shifted);
  for (int64_t i = 0; i < kLanes; ++i)
    to[i] = static_cast<int8_t>(static_cast<uint8_t>(__builtin_bit_cast(uint32_t, shifted[i])));
#endif
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
