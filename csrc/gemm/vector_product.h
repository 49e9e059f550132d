// The products on vectors.
//
// Every element of y is a sum in a fixed order: chains sum = fma(x_k, w_k, sum) from 0 over blocks of kDepthBlock
// operands k, the blocks added in order to 0 or to y itself, and then + bias. The bits do not depend on the number of
// rows, on the tile, or on how panels and rows are shared among threads. (One chain that starts from y is up to 8 times
// less accurate at k = 1536.)
#pragma once

#include "gemm/layout.h"
#include "isa/isa.h"
#include "simd/operand.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

namespace tiles {

#if defined(RNNKIT_ISA_AVX512)  // 32 registers: up to 24 sums, 4 weights and a broadcast
inline constexpr int kColumns = 4;
constexpr int max_rows(int columns) { return columns == 4 ? 6 : columns == 3 ? 8 : columns == 2 ? 10 : 12; }
#elif defined(RNNKIT_ISA_AVX2)  // 16 registers, two of them a vector: 12 sums, 2 weights and a broadcast
inline constexpr int kColumns = 1;
constexpr int max_rows(int) { return 6; }
#else                           // 16 registers, four of them a vector
inline constexpr int kColumns = 1;
constexpr int max_rows(int) { return 2; }
#endif

template <class S, class T>
struct Tile {
  const T* const* x;  // one pointer per row, at the first k
  Depth depth;
  const T* weight;  // at the first k and column
  int64_t step;     // between two k of the weight
  S* const* y;
  const int64_t* column;
  int64_t last_lanes;  // of the tile's last column
  const S* bias;       // at the tile's first column, or null
  const T* ahead;      // weights that will be wanted next: one cache line is prefetched per k
  bool accumulate;
};

// kRows x kColumns vectors of y held in registers over the whole depth.
template <class V, class T, int kRows, int kColumns, class S = typename V::Scalar>
void multiply(const Tile<S, T>& tile) {
  using Op = Operand<V, T>;
  V sum[kRows][kColumns];
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 4
    for (int n = 0; n < kColumns; ++n) sum[m][n] = V::zero();
  const T* x[kRows];
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m) x[m] = tile.x[m];
  const T* weight = tile.weight;
  const T* ahead = tile.ahead;
  for (int64_t s = 0; s < tile.depth.segments; ++s) {
#pragma GCC unroll 2  // 4 to 9 % faster: bookkeeping competes with the fma for its ports
    for (int64_t k = 0; k < tile.depth.length; ++k, weight += tile.step) {
      prefetch(ahead);
      ahead += kLanes;
#pragma GCC unroll 2
      for (int part = 0; part < Op::kParts; ++part) {
        typename Op::Vector w[kColumns];
#pragma GCC unroll 4
        for (int n = 0; n < kColumns; ++n) w[n] = Op::load(weight + n * kLanes, part);
#pragma GCC unroll 12
        for (int m = 0; m < kRows; ++m) {
          const typename Op::Vector value = Op::broadcast(x[m][k], part);
#pragma GCC unroll 4
          for (int n = 0; n < kColumns; ++n) sum[m][n] = Op::dot(value, w[n], sum[m][n]);
        }
      }
    }
#pragma GCC unroll 12
    for (int m = 0; m < kRows; ++m) x[m] += tile.depth.stride;
  }
#pragma GCC unroll 12
  for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 4
    for (int n = 0; n < kColumns; ++n) {
      S* at = tile.y[m] + tile.column[n];
      const bool is_whole = n < kColumns - 1 || tile.last_lanes == kLanes;
      V y = sum[m][n];
      if (tile.accumulate) y = (is_whole ? V::load(at) : V::load_n(at, tile.last_lanes)) + y;
      if (tile.bias) y = y + V::load(tile.bias + n * kLanes);
      if (is_whole)
        y.store(at);
      else
        y.store_n(at, tile.last_lanes);
    }
}

// The instance of multiply() for `rows` (1..max_rows) found by counting down at compile time.
template <class V, class T, int kColumns, int kRows = max_rows(kColumns), class S = typename V::Scalar>
RNNKIT_INLINE void multiply_rows(int64_t rows, const Tile<S, T>& tile) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return multiply_rows<V, T, kColumns, kRows - 1>(rows, tile);
  }
  multiply<V, T, kRows, kColumns>(tile);
}

template <class V, class T, int kColumns_ = kColumns, class S = typename V::Scalar>
RNNKIT_INLINE void multiply_columns(int64_t columns, int64_t rows, const Tile<S, T>& tile) {
  if constexpr (kColumns_ > 1) {
    if (columns < kColumns_) return multiply_columns<V, T, kColumns_ - 1>(columns, rows, tile);
  }
  multiply_rows<V, T, kColumns_>(rows, tile);
}

// The part of `depth` whose weights (at `panel` vectors per k) stay in the first-level cache. Part of the results'
// definition.
inline constexpr int64_t kDepthBlock = 128;

#if defined(RNNKIT_ISA_AVX512)
inline constexpr int kRowSums = 8;
#elif defined(RNNKIT_ISA_AVX2)
inline constexpr int kRowSums = 4;
#else
inline constexpr int kRowSums = 2;
#endif

// kPanels neighbouring panels of kWidth vectors times one row: bound by reading the weights, which comes nearer to the
// memory's rate the more chains and streams there are. `panel`: the first one's weights; `step` between two panels.
template <class V, class T, int kWidth, int kPanels, class S = typename V::Scalar>
void multiply_row(const T* x, int64_t depth, const T* panel, int64_t step, V* out) {
  using Op = Operand<V, T>;
  V sum[kPanels][kWidth];
#pragma GCC unroll 4
  for (int p = 0; p < kPanels; ++p)
#pragma GCC unroll 4
    for (int n = 0; n < kWidth; ++n) sum[p][n] = V::zero();
#pragma GCC unroll 2
  for (int64_t k = 0; k < depth; ++k, panel += kWidth * kLanes)
#pragma GCC unroll 2
    for (int part = 0; part < Op::kParts; ++part) {
      const typename Op::Vector value = Op::broadcast(x[k], part);
#pragma GCC unroll 4
      for (int p = 0; p < kPanels; ++p)
#pragma GCC unroll 4
        for (int n = 0; n < kWidth; ++n)
          sum[p][n] = Op::dot(value, Op::load(panel + p * step + n * kLanes, part), sum[p][n]);
    }
#pragma GCC unroll 4
  for (int p = 0; p < kPanels; ++p)
#pragma GCC unroll 4
    for (int n = 0; n < kWidth; ++n) out[p * kWidth + n] = sum[p][n];
}

}  // namespace tiles

inline constexpr int64_t kRowPanels = 2;  // panels that a product of one row is best asked for at a time

// The bits of multiply() for one row, panels [begin, end) of kWidth vectors.
template <class V, class T, int kWidth, class S = typename V::Scalar>
void multiply_row(const Product<S, T>& product, int64_t row, int64_t begin, int64_t end) {
  constexpr int kPanels = tiles::kRowSums > kWidth ? tiles::kRowSums / kWidth : 1;
  const Packed<T>& weight = product.weight;
  const int64_t depth = product.depth.length, step = weight.panel * weight.depth * kLanes;
  const T* x = product.x.base + (product.x.index ? product.x.index[row] : row) * product.x.stride;
  S* y = product.y.base + (product.y.index ? product.y.index[row] : row) * product.y.stride;
  for (int64_t p = begin, panels; p < end; p += panels) {
    panels = end - p >= kPanels ? kPanels : 1;
    const T* panel = weight.data + p * step;
    int64_t d = 0;
    do {
      const int64_t length = smaller(tiles::kDepthBlock, depth - d);
      V sum[kPanels * kWidth];
      if (panels == kPanels)
        tiles::multiply_row<V, T, kWidth, kPanels>(x + d, length, panel + d * kWidth * kLanes, step, sum);
      else
        tiles::multiply_row<V, T, kWidth, 1>(x + d, length, panel + d * kWidth * kLanes, step, sum);
      for (int64_t n = 0; n < panels * kWidth; ++n) {
        const int64_t vector = p * kWidth + n, lanes = vector == weight.num_vectors - 1 ? product.last_lanes : kLanes;
        S* at = y + (product.places ? product.places[vector].column : vector * kLanes);
        V value = sum[n];
        if (product.accumulate || d > 0) value = (lanes == kLanes ? V::load(at) : V::load_n(at, lanes)) + value;
        if (product.bias && d + length == depth) value = value + V::load(product.bias + vector * kLanes);
        lanes == kLanes ? value.store(at) : value.store_n(at, lanes);
      }
      d += length;
    } while (d < depth);
  }
}

// As multiply() of gemm/product.h.
template <class V, class T, class S = typename V::Scalar>
void multiply_on_vectors(const Product<S, T>& product, int64_t row_begin, int64_t row_end, int64_t panel_begin,
                         int64_t panel_end, int64_t next) {
  constexpr int64_t kRowBlock = 128, kMost = 12;  // rows of x that stay in the second-level cache; rows of a tile
  const Packed<T>& weight = product.weight;
  const Depth whole = product.depth;
  if (row_end - row_begin == 1 && whole.segments == 1) {
    const int64_t whole_panels = smaller(panel_end, weight.num_vectors / weight.panel);  // the last may be narrower
    if (panel_begin < whole_panels) {
      if (weight.panel == 4) multiply_row<V, T, 4>(product, row_begin, panel_begin, whole_panels);
      if (weight.panel == 3) multiply_row<V, T, 3>(product, row_begin, panel_begin, whole_panels);
      if (weight.panel == 3 || weight.panel == 4) panel_begin = whole_panels;
    }
  }
  const int64_t depth_step =
      whole.segments == 1 ? tiles::kDepthBlock : larger<int64_t>(1, tiles::kDepthBlock / whole.length);
  const int64_t depth_end = whole.segments == 1 ? whole.length : whole.segments;

  for (int64_t block = row_begin; block < row_end; block += kRowBlock) {
    const int64_t block_end = smaller(row_end, block + kRowBlock);
    for (int64_t p = panel_begin; p < panel_end; ++p) {
      const int64_t first = p * weight.panel, vectors = smaller(weight.panel, weight.num_vectors - first);
      const T* panel = weight.data + first * weight.depth * kLanes;
      const int64_t after = p + 1 < panel_end ? p + 1
                            : next < 0        ? p
                                              : next;  // memory that is ours: others cost a page walk
      const T* next_panel = weight.data + after * weight.panel * weight.depth * kLanes;
      int64_t d = 0;
      do {  // at least once: a product of depth 0 still writes zero, or the bias
        const int64_t d_end = smaller(d + depth_step, depth_end);
        const Depth depth = whole.segments == 1 ? Depth{1, d_end - d, 0} : Depth{d_end - d, whole.length, whole.stride};
        const int64_t x_offset = whole.segments == 1 ? d : d * whole.stride;
        const int64_t k = whole.segments == 1 ? d : d * whole.length;
        const T* ahead = d_end < depth_end ? panel + (k + depth.total()) * vectors * kLanes : next_panel;
        for (int64_t v = 0; v < vectors; v += tiles::kColumns) {
          const int64_t columns = smaller<int64_t>(tiles::kColumns, vectors - v);
          const bool is_last = first + v + columns == weight.num_vectors;
          int64_t column[tiles::kColumns];
          for (int64_t n = 0; n < columns; ++n)
            column[n] = product.places ? product.places[first + v + n].column : (first + v + n) * kLanes;
          const int64_t num_tiles = ceil_div(block_end - block, tiles::max_rows(static_cast<int>(columns)));
          for (int64_t i = 0; i < num_tiles; ++i) {
            const int64_t begin = block + (block_end - block) * i / num_tiles;
            const int64_t rows = block + (block_end - block) * (i + 1) / num_tiles - begin;
            const T* x[kMost];
            S* y[kMost];
            for (int64_t m = 0; m < rows; ++m) {
              const int64_t r = begin + m;
              x[m] = product.x.base + (product.x.index ? product.x.index[r] : r) * product.x.stride + x_offset;
              y[m] = product.y.base + (product.y.index ? product.y.index[r] : r) * product.y.stride;
            }
            tiles::multiply_columns<V>(
                columns, rows,
                tiles::Tile<S, T>{x, depth, panel + (k * vectors + v) * kLanes, vectors * kLanes, y, column,
                                  is_last ? product.last_lanes : kLanes,
                                  d_end == depth_end && product.bias ? product.bias + (first + v) * kLanes : nullptr,
                                  ahead + i % vectors * depth.total() * kLanes, product.accumulate || d > 0});
          }
        }
        d = d_end;
      } while (d < depth_end);
    }
  }
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
