// Sixteen vectors as a square matrix, turned over in registers where the instruction set has the room for it.
#pragma once

#include "simd/vec.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

#if defined(RNNKIT_ISA_AVX512)

inline constexpr bool kCanTranspose = true;

// Afterwards rows[k] holds what was lane k of each row. Pairs, then fours, then quarters of registers change places.
RNNKIT_INLINE void transpose(F (&rows)[16]) {
  __m512 pair[16], four[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    pair[i] = _mm512_unpacklo_ps(rows[i].r, rows[i + 1].r);
    pair[i + 1] = _mm512_unpackhi_ps(rows[i].r, rows[i + 1].r);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4)
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const __m512d a = _mm512_castps_pd(pair[i + j]), b = _mm512_castps_pd(pair[i + j + 2]);
      four[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      four[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {  // four[4 q + j]: lanes j, 4 + j, 8 + j, 12 + j of rows 4 q to 4 q + 3
    const __m512 low = _mm512_shuffle_f32x4(four[j], four[4 + j], 0x88);
    const __m512 low_odd = _mm512_shuffle_f32x4(four[j], four[4 + j], 0xDD);
    const __m512 high = _mm512_shuffle_f32x4(four[8 + j], four[12 + j], 0x88);
    const __m512 high_odd = _mm512_shuffle_f32x4(four[8 + j], four[12 + j], 0xDD);
    rows[j].r = _mm512_shuffle_f32x4(low, high, 0x88);
    rows[4 + j].r = _mm512_shuffle_f32x4(low_odd, high_odd, 0x88);
    rows[8 + j].r = _mm512_shuffle_f32x4(low, high, 0xDD);
    rows[12 + j].r = _mm512_shuffle_f32x4(low_odd, high_odd, 0xDD);
  }
}

#else  // too few registers: element by element through the cache is as fast

inline constexpr bool kCanTranspose = false;

#endif

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
