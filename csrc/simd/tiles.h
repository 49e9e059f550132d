// The eight tile registers of AMX: 16 rows of 64 bytes each, which multiply pairs of bfloat16 and add in float32.
//
// A tile of the left side is [rows][16 pairs], of the right side [16 pairs of rows][16 columns], which is how weights
// are packed (gemm/layout.h). Written in assembler, because gcc 12's intrinsics do not tell the compiler what memory
// they read. RNNKIT_EMULATE_TILES builds the same on plain memory, so that everything above this file is tested on any
// machine with AVX-512.
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, vol. 2, LDTILECFG and TDPBF16PS.
#pragma once

#include "gemm/layout.h"
#include "isa/isa.h"
#include "simd/operand.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

#if defined(RNNKIT_ISA_AMX)

inline constexpr bool kHasTiles = true;

// How many rows the tiles of a product have: sums 0 and 1 and the left tile 4 have `first`; with `second` rows beside
// them sums 2 and 3 and the left tile 5 have those, without (0) sums 2 and 3 have `first`. All others are 16 high.
struct TileRows {
  int first, second;
};

#if defined(RNNKIT_EMULATE_TILES)

struct EmulatedTile {
  uint32_t word[16][16];
  int rows;
};
inline thread_local EmulatedTile emulated_tiles[8];

RNNKIT_INLINE void load_tile_rows(const uint8_t* rows) {
  for (int i = 0; i < 8; ++i) emulated_tiles[i].rows = rows[i];
}
RNNKIT_INLINE void release_tile_rows() {}
template <int kTile>
RNNKIT_INLINE void zero_tile() {
  memset(emulated_tiles[kTile].word, 0, sizeof(emulated_tiles[kTile].word));
}
template <int kTile>
RNNKIT_INLINE void load_tile(const void* from, int64_t stride) {
  for (int r = 0; r < emulated_tiles[kTile].rows; ++r)
    memcpy(emulated_tiles[kTile].word[r], static_cast<const char*>(from) + r * stride, 64);
}
template <int kTile>
RNNKIT_INLINE void store_tile(void* to, int64_t stride) {
  for (int r = 0; r < emulated_tiles[kTile].rows; ++r)
    memcpy(static_cast<char*>(to) + r * stride, emulated_tiles[kTile].word[r], 64);
}
template <int kSum, int kLeft, int kRight>
RNNKIT_INLINE void dot_tiles() {
  const auto half_of = [](uint32_t pair, int part) {
    return __builtin_bit_cast(float, part == 0 ? pair << 16 : pair & 0xFFFF0000u);
  };
  for (int m = 0; m < emulated_tiles[kSum].rows; ++m)
    for (int n = 0; n < 16; ++n) {
      float part[2] = {0, 0};
      for (int k = 0; k < 16; ++k)
        for (int i = 0; i < 2; ++i)
          part[i] = __builtin_fmaf(half_of(emulated_tiles[kLeft].word[m][k], i),
                                   half_of(emulated_tiles[kRight].word[k][n], i), part[i]);
      const float sum = __builtin_bit_cast(float, emulated_tiles[kSum].word[m][n]) + (part[0] + part[1]);
      emulated_tiles[kSum].word[m][n] = __builtin_bit_cast(uint32_t, sum);
    }
}

#else

RNNKIT_INLINE void load_tile_rows(const uint8_t* rows) {
  struct alignas(64) {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t bytes[16] = {};
    uint8_t rows[16] = {};
  } config;
  static_assert(sizeof(config) == 64);
  for (int i = 0; i < 8; ++i) {
    config.bytes[i] = 64;
    config.rows[i] = rows[i];
  }
  asm volatile("ldtilecfg %0" ::"m"(config));
}
RNNKIT_INLINE void release_tile_rows() { asm volatile("tilerelease" ::); }
template <int kTile>
RNNKIT_INLINE void zero_tile() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}
template <int kTile>
RNNKIT_INLINE void load_tile(const void* from, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
RNNKIT_INLINE void store_tile(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(kTile) : "memory");
}
template <int kSum, int kLeft, int kRight>
RNNKIT_INLINE void dot_tiles() {
  asm volatile("tdpbf16ps %%tmm%c0, %%tmm%c1, %%tmm%c2" ::"i"(kRight), "i"(kLeft), "i"(kSum));
}

#endif

inline thread_local TileRows tile_rows{0, 0};

// Gives the tiles of this thread their heights; their contents are lost.
RNNKIT_INLINE void shape_tiles(int first, int second) {
  if (tile_rows.first == first && tile_rows.second == second) return;
  const auto high = static_cast<uint8_t>(first), low = static_cast<uint8_t>(second > 0 ? second : first);
  const uint8_t rows[8] = {high, high, low, low, high, second > 0 ? low : uint8_t{16}, 16, 16};
  load_tile_rows(rows);
  tile_rows = {first, second};
}

// At the end of a parallel region: a thread without tiles costs the operating system less to switch.
RNNKIT_INLINE void release_tiles() {
  if (tile_rows.first == 0) return;
  release_tile_rows();
  tile_rows = {0, 0};
}

#else

inline constexpr bool kHasTiles = false;
RNNKIT_INLINE void release_tiles() {}

#endif

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
