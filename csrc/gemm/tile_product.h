// The products of pairs on tiles: whole rows of the depth in one chain of tiles, each row of y by itself, so that the
// bits depend neither on the number of rows nor on how they are parted.
#pragma once

#include "simd/tiles.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

// As multiply() of gemm/product.h; x has no index, and one segment.
inline void multiply_on_tiles(const Product<float, Pair>& product, int64_t row_begin, int64_t row_end,
                              int64_t panel_begin, int64_t panel_end);

#if defined(RNNKIT_ISA_AMX)

namespace tiles {

inline constexpr int64_t kTilePairs = 16;

// The sums of one tile into y: rows [row, row + rows), one vector.
template <int kTile>
RNNKIT_INLINE void finish(const Product<float, Pair>& product, int64_t row, int64_t rows, int64_t vector) {
  alignas(64) float sums[16 * kLanes];
  store_tile<kTile>(sums, kLanes * sizeof(float));
  const int64_t column = product.places ? product.places[vector].column : vector * kLanes;
  const int64_t lanes = vector == product.weight.num_vectors - 1 ? product.last_lanes : kLanes;
  for (int64_t r = row; r < row + rows; ++r) {
    float* at = product.y.base + (product.y.index ? product.y.index[r] : r) * product.y.stride + column;
    F y = F::load(sums + (r - row) * kLanes);
    if (product.accumulate) y = (lanes == kLanes ? F::load(at) : F::load_n(at, lanes)) + y;
    if (product.bias) y = y + F::load(product.bias + vector * kLanes);
    if (lanes == kLanes)
      y.store(at);
    else
      y.store_n(at, lanes);
  }
}

// Up to 16 rows and kVectors of the vectors of one panel, from its vector v on.
template <int kVectors>
void multiply_low(const Product<float, Pair>& product, int64_t row, int64_t rows, int64_t first, int64_t vectors,
                  int64_t v) {
  const int64_t steps = ceil_div(product.depth.length, kTilePairs), stride = product.x.stride * sizeof(Pair);
  const Pair* x = product.x.base + row * product.x.stride;
  const Pair* weight = product.weight.data + first * product.weight.depth * kLanes + v * kLanes;
  const int64_t weight_stride = vectors * kLanes * sizeof(Pair);
  zero_tile<0>();
  if constexpr (kVectors > 1) zero_tile<1>();
  if constexpr (kVectors > 2) zero_tile<2>();
  if constexpr (kVectors > 3) zero_tile<3>();
  for (int64_t k = 0; k < steps; ++k, x += kTilePairs, weight += kTilePairs * vectors * kLanes) {
    load_tile<4>(x, stride);
    load_tile<6>(weight, weight_stride);
    dot_tiles<0, 4, 6>();
    if constexpr (kVectors > 1) {
      load_tile<7>(weight + kLanes, weight_stride);
      dot_tiles<1, 4, 7>();
    }
    if constexpr (kVectors > 2) {
      load_tile<5>(weight + 2 * kLanes, weight_stride);
      dot_tiles<2, 4, 5>();
    }
    if constexpr (kVectors > 3) {
      load_tile<6>(weight + 3 * kLanes, weight_stride);
      dot_tiles<3, 4, 6>();
    }
  }
  finish<0>(product, row, rows, first + v);
  if constexpr (kVectors > 1) finish<1>(product, row, rows, first + v + 1);
  if constexpr (kVectors > 2) finish<2>(product, row, rows, first + v + 2);
  if constexpr (kVectors > 3) finish<3>(product, row, rows, first + v + 3);
}

// `high` and then `low` rows, up to 16 each, and one or two vectors.
template <int kVectors>
void multiply_high(const Product<float, Pair>& product, int64_t row, int64_t high, int64_t low, int64_t first,
                   int64_t vectors, int64_t v) {
  const int64_t steps = ceil_div(product.depth.length, kTilePairs), stride = product.x.stride * sizeof(Pair);
  const Pair* x = product.x.base + row * product.x.stride;
  const Pair* weight = product.weight.data + first * product.weight.depth * kLanes + v * kLanes;
  const int64_t weight_stride = vectors * kLanes * sizeof(Pair);
  zero_tile<0>();
  zero_tile<2>();
  if constexpr (kVectors > 1) {
    zero_tile<1>();
    zero_tile<3>();
  }
  for (int64_t k = 0; k < steps; ++k, x += kTilePairs, weight += kTilePairs * vectors * kLanes) {
    load_tile<4>(x, stride);
    load_tile<6>(weight, weight_stride);
    dot_tiles<0, 4, 6>();
    load_tile<5>(x + high * product.x.stride, stride);
    dot_tiles<2, 5, 6>();
    if constexpr (kVectors > 1) {
      load_tile<7>(weight + kLanes, weight_stride);
      dot_tiles<1, 4, 7>();
      dot_tiles<3, 5, 7>();
    }
  }
  finish<0>(product, row, high, first + v);
  finish<2>(product, row + high, low, first + v);
  if constexpr (kVectors > 1) {
    finish<1>(product, row, high, first + v + 1);
    finish<3>(product, row + high, low, first + v + 1);
  }
}

}  // namespace tiles

inline void multiply_on_tiles(const Product<float, Pair>& product, int64_t row_begin, int64_t row_end,
                              int64_t panel_begin, int64_t panel_end) {
  const int64_t rows = row_end - row_begin, groups = ceil_div(rows, 32);
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t row = row_begin + rows * group / groups;
    const int64_t mine = row_begin + rows * (group + 1) / groups - row;
    const int64_t high = mine > 16 ? ceil_div(mine, 2) : mine, low = mine - high;
    shape_tiles(static_cast<int>(high), static_cast<int>(low));
    for (int64_t p = panel_begin; p < panel_end; ++p) {
      const int64_t first = p * product.weight.panel;
      const int64_t vectors = smaller(product.weight.panel, product.weight.num_vectors - first);
      int64_t v = 0;
      if (low > 0) {
        for (; v + 2 <= vectors; v += 2) tiles::multiply_high<2>(product, row, high, low, first, vectors, v);
        if (v < vectors) tiles::multiply_high<1>(product, row, high, low, first, vectors, v);
        continue;
      }
      for (; v + 4 <= vectors; v += 4) tiles::multiply_low<4>(product, row, high, first, vectors, v);
      if (vectors - v == 3) tiles::multiply_low<3>(product, row, high, first, vectors, v);
      if (vectors - v == 2) tiles::multiply_low<2>(product, row, high, first, vectors, v);
      if (vectors - v == 1) tiles::multiply_low<1>(product, row, high, first, vectors, v);
    }
  }
}

#endif

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
