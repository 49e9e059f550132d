// The products on tiles: whole rows of the depth in one chain of tiles (of split operands: of kSplitDepth values), each
// row of y by itself, so that the bits depend neither on the number of rows nor on how they are parted.
#pragma once

#include "simd/tiles.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

// As multiply() of gemm/product.h. Pairs of x have no index, and one segment.
inline void multiply_on_tiles(const Product<float, Pair>& product, int64_t row_begin, int64_t row_end,
                              int64_t panel_begin, int64_t panel_end);
inline void multiply_on_tiles(const Product<float, Triple>& product, int64_t row_begin, int64_t row_end,
                              int64_t panel_begin, int64_t panel_end);

#if defined(RNNKIT_ISA_AMX)

namespace tiles {

inline constexpr int64_t kTileWords = 16;

// Up to 32 rows of x as tiles want them, and the words of their depth that are multiplied now.
template <class T>
struct Block {
  const T* x;                      // of the first row: [chunk of 16 words][plane][16]
  int64_t stride, row, high, low;  // rows [row, row + high) and the `low` behind them
  int64_t first_chunk, num_chunks;
  bool accumulate, is_last;
};

// Which plane of x and of the weight are multiplied, the small products first. What the other three give is below the
// last bit of a float.
struct Planes {
  int x, weight;
};
template <class T>
inline constexpr Planes kPairs[] = {{0, 0}};
template <>
inline constexpr Planes kPairs<Triple>[] = {{2, 0}, {1, 1}, {0, 2}, {0, 1}, {1, 0}, {0, 0}};

// The sums of one tile into y: rows [row, row + rows), one vector.
template <int kTile, class T>
RNNKIT_INLINE void finish(const Product<float, T>& product, const Block<T>& block, int64_t row, int64_t rows,
                          int64_t vector) {
  alignas(64) float sums[16 * kLanes];
  store_tile<kTile>(sums, kLanes * sizeof(float));
  const int64_t column = product.places ? product.places[vector].column : vector * kLanes;
  const int64_t lanes = vector == product.weight.num_vectors - 1 ? product.last_lanes : kLanes;
  for (int64_t r = row; r < row + rows; ++r) {
    float* at = product.y.base + (product.y.index ? product.y.index[r] : r) * product.y.stride + column;
    F y = F::load(sums + (r - row) * kLanes);
    if (block.accumulate) y = (lanes == kLanes ? F::load(at) : F::load_n(at, lanes)) + y;
    if (product.bias && block.is_last) y = y + F::load(product.bias + vector * kLanes);
    if (lanes == kLanes)
      y.store(at);
    else
      y.store_n(at, lanes);
  }
}

// The block's `high` rows and kVectors of the `vectors` of a panel, from its vector v on.
template <int kVectors, class T>
void multiply_low(const Product<float, T>& product, const Block<T>& block, int64_t first, int64_t vectors, int64_t v) {
  const int64_t stride = block.stride * sizeof(T), weight_stride = vectors * kLanes * sizeof(T);
  const int64_t plane = kTileWords * vectors * kLanes, chunk = kPlanes<T> * plane;
  const T* x = block.x;
  const T* weight =
      product.weight.data + first * product.weight.depth * kLanes + v * kLanes + block.first_chunk * chunk;
  zero_tile<0>();
  if constexpr (kVectors > 1) zero_tile<1>();
  if constexpr (kVectors > 2) zero_tile<2>();
  if constexpr (kVectors > 3) zero_tile<3>();
  for (int64_t k = 0; k < block.num_chunks; ++k, x += kPlanes<T> * kTileWords, weight += chunk) {
    for (const Planes planes : kPairs<T>) {
      const T* right = weight + planes.weight * plane;
      load_tile<4>(x + planes.x * kTileWords, stride);
      load_tile<6>(right, weight_stride);
      dot_tiles<0, 4, 6>();
      if constexpr (kVectors > 1) {
        load_tile<7>(right + kLanes, weight_stride);
        dot_tiles<1, 4, 7>();
      }
      if constexpr (kVectors > 2) {
        load_tile<5>(right + 2 * kLanes, weight_stride);
        dot_tiles<2, 4, 5>();
      }
      if constexpr (kVectors > 3) {
        load_tile<6>(right + 3 * kLanes, weight_stride);
        dot_tiles<3, 4, 6>();
      }
    }
  }
  finish<0>(product, block, block.row, block.high, first + v);
  if constexpr (kVectors > 1) finish<1>(product, block, block.row, block.high, first + v + 1);
  if constexpr (kVectors > 2) finish<2>(product, block, block.row, block.high, first + v + 2);
  if constexpr (kVectors > 3) finish<3>(product, block, block.row, block.high, first + v + 3);
}

// The block's `high` and then `low` rows, and one or two vectors.
template <int kVectors, class T>
void multiply_high(const Product<float, T>& product, const Block<T>& block, int64_t first, int64_t vectors, int64_t v) {
  const int64_t stride = block.stride * sizeof(T), weight_stride = vectors * kLanes * sizeof(T);
  const int64_t plane = kTileWords * vectors * kLanes, chunk = kPlanes<T> * plane;
  const T* x = block.x;
  const T* weight =
      product.weight.data + first * product.weight.depth * kLanes + v * kLanes + block.first_chunk * chunk;
  zero_tile<0>();
  zero_tile<2>();
  if constexpr (kVectors > 1) {
    zero_tile<1>();
    zero_tile<3>();
  }
  for (int64_t k = 0; k < block.num_chunks; ++k, x += kPlanes<T> * kTileWords, weight += chunk) {
    for (const Planes planes : kPairs<T>) {
      const T *left = x + planes.x * kTileWords, *right = weight + planes.weight * plane;
      load_tile<4>(left, stride);
      load_tile<6>(right, weight_stride);
      dot_tiles<0, 4, 6>();
      load_tile<5>(left + block.high * block.stride, stride);
      dot_tiles<2, 5, 6>();
      if constexpr (kVectors > 1) {
        load_tile<7>(right + kLanes, weight_stride);
        dot_tiles<1, 4, 7>();
        dot_tiles<3, 5, 7>();
      }
    }
  }
  finish<0>(product, block, block.row, block.high, first + v);
  finish<2>(product, block, block.row + block.high, block.low, first + v);
  if constexpr (kVectors > 1) {
    finish<1>(product, block, block.row, block.high, first + v + 1);
    finish<3>(product, block, block.row + block.high, block.low, first + v + 1);
  }
}

template <class T>
void multiply_block(const Product<float, T>& product, const Block<T>& block, int64_t panel_begin, int64_t panel_end) {
  shape_tiles(static_cast<int>(block.high), static_cast<int>(block.low));
  for (int64_t p = panel_begin; p < panel_end; ++p) {
    const int64_t first = p * product.weight.panel;
    const int64_t vectors = smaller(product.weight.panel, product.weight.num_vectors - first);
    int64_t v = 0;
    if (block.low > 0) {
      for (; v + 2 <= vectors; v += 2) multiply_high<2>(product, block, first, vectors, v);
      if (v < vectors) multiply_high<1>(product, block, first, vectors, v);
      continue;
    }
    for (; v + 4 <= vectors; v += 4) multiply_low<4>(product, block, first, vectors, v);
    if (vectors - v == 3) multiply_low<3>(product, block, first, vectors, v);
    if (vectors - v == 2) multiply_low<2>(product, block, first, vectors, v);
    if (vectors - v == 1) multiply_low<1>(product, block, first, vectors, v);
  }
}

// Calls body(first row, high, low) for blocks of up to 32 rows, of two tiles each.
template <class Body>
void for_row_blocks(int64_t begin, int64_t end, Body&& body) {
  const int64_t rows = end - begin, groups = ceil_div(rows, 32);
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t row = begin + rows * group / groups, mine = begin + rows * (group + 1) / groups - row;
    const int64_t high = mine > 16 ? ceil_div(mine, 2) : mine;
    body(row, high, mine - high);
  }
}

// Values of a row of x that are split together; part of the results' definition.
inline constexpr int64_t kSplitDepth = 512, kSplitRow = stored<Triple>(kSplitDepth);

// The values [begin, end) of row r of x -> the planes of its words.
inline void split_row(const Product<float, Triple>& product, int64_t r, int64_t begin, int64_t end, Triple* to) {
  const float* row = product.x.base + (product.x.index ? product.x.index[r] : r) * product.x.stride;
  const Depth& depth = product.depth;
  memset(static_cast<void*>(to + stored<Triple>(end - begin) - kPlanes<Triple> * kTileWords), 0,
         kPlanes<Triple> * kTileWords * sizeof(Triple));
  for (int64_t k = begin; k < end; k += kLanes) {  // segments are whole vectors, or there is one
    const float* from = row + k / depth.length * depth.stride + k % depth.length;
    Operand<F, Triple>::store_along(end - k >= kLanes ? F::load(from) : F::load_n(from, end - k),
                                    to + depth_of_word<Triple>((k - begin) / 2), kTileWords);
  }
}

}  // namespace tiles

inline void multiply_on_tiles(const Product<float, Pair>& product, int64_t row_begin, int64_t row_end,
                              int64_t panel_begin, int64_t panel_end) {
  const int64_t chunks = ceil_div(product.depth.length, tiles::kTileWords);
  tiles::for_row_blocks(row_begin, row_end, [&](int64_t row, int64_t high, int64_t low) {
    const Pair* x = product.x.base + row * product.x.stride;
    tiles::multiply_block<Pair>(product, {x, product.x.stride, row, high, low, 0, chunks, product.accumulate, true},
                                panel_begin, panel_end);
  });
}

inline void multiply_on_tiles(const Product<float, Triple>& product, int64_t row_begin, int64_t row_end,
                              int64_t panel_begin, int64_t panel_end) {
  alignas(64) Triple x[32 * tiles::kSplitRow];
  const int64_t depth = product.depth.total();
  tiles::for_row_blocks(row_begin, row_end, [&](int64_t row, int64_t high, int64_t low) {
    int64_t begin = 0;
    do {  // at least once: a product of depth 0 still writes zero, or the bias
      const int64_t end = smaller(depth, begin + tiles::kSplitDepth);
      for (int64_t i = 0; i < high + low && end > begin; ++i)
        tiles::split_row(product, row + i, begin, end, x + i * tiles::kSplitRow);
      tiles::multiply_block<Triple>(
          product,
          {x, tiles::kSplitRow, row, high, low, begin / 2 / tiles::kTileWords,
           ceil_div(end - begin, 2 * tiles::kTileWords), product.accumulate || begin > 0, end == depth},
          panel_begin, panel_end);
      begin = end;
    } while (begin < depth);
  });
}

#endif

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
