// dW = dy^T x and db = the column sums of dy: the only reduction over rows.
//
// Rows are summed in blocks of kGradientBlock (each a chain of fma from 0 in the order of the rows), and the blocks are
// added from the last to the first, the order in which a backward through time may make them. Work is shared by output
// elements only, so the number of threads changes no bit, and the error stays that of short chains at any number of
// rows.
#pragma once

#include "gemm/layout.h"
#include "gemm/row_norm.h"
#include "gemm/tile_product.h"
#include "isa/isa.h"
#include "simd/operand.h"
#include "simd/transpose.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

// Where dy is the gradient of gain∘n, and n the row's product of values x, normalised (gemm/row_norm.h): dW is then
// that of the product.
template <class S>
struct NormedProduct {
  int64_t values, moments;  // in a row of dy: [num_places][16], and its four moments
  const S* gain;            // [num_places][16]
  S* d_gain;                // [*] as the bias
};

template <class S>
struct WeightGradient {
  Rows<const S> dy;
  const Place* places;  // where dy's vectors lie in a row, and which rows of `out` they make
  int64_t num_places;
  Rows<const S> x;
  int64_t width;  // columns of x and of `out`
  int64_t num_rows;
  S* out;                   // [*, width]: every row named by a place is written
  S* bias = nullptr;        // [*]: likewise; null: not wanted
  bool accumulate = false;  // add to what `out` and `bias` hold: the rows behind these, a multiple of the block away
  const NormedProduct<S>* norm = nullptr;
};

namespace tiles {

inline constexpr int64_t kGradientColumns = 3;  // vectors in a packed panel of x
#if defined(RNNKIT_ISA_AVX512)
inline constexpr int kGradientRows = 8, kGradientTile = 3;
#elif defined(RNNKIT_ISA_AVX2)
inline constexpr int kGradientRows = 4, kGradientTile = 1;
#else
inline constexpr int kGradientRows = 2, kGradientTile = 1;
#endif

// out[kGradientRows][kColumns vectors] (+)= sum over k of dy[k][row] x[k][column]; dy is [k][16], x is [k][step]; an
// operand k holds one row of dy and x, or a pair.
template <class V, class T, int kColumns, class S = typename V::Scalar>
void accumulate(const T* dy, const T* x, int64_t step, int64_t depth, S* out, int64_t stride, int64_t rows,
                int64_t last_lanes, bool is_first) {
  using Op = Operand<V, T>;
  V sum[kGradientRows][kColumns];
#pragma GCC unroll 8
  for (int m = 0; m < kGradientRows; ++m)
#pragma GCC unroll 3
    for (int n = 0; n < kColumns; ++n) {
      sum[m][n] = V::zero();
      if (m < rows) prefetch(out + m * stride + n * kLanes);
    }
#pragma GCC unroll 2
  for (int64_t k = 0; k < depth; ++k, dy += kLanes, x += step) {
#pragma GCC unroll 2
    for (int part = 0; part < Op::kParts; ++part) {
      typename Op::Vector value[kColumns];
#pragma GCC unroll 3
      for (int n = 0; n < kColumns; ++n) value[n] = Op::load(x + n * kLanes, part);
#pragma GCC unroll 8
      for (int m = 0; m < kGradientRows; ++m) {
        const typename Op::Vector gradient = Op::broadcast(dy[m], part);
#pragma GCC unroll 3
        for (int n = 0; n < kColumns; ++n) sum[m][n] = Op::dot(gradient, value[n], sum[m][n]);
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kGradientRows; ++m) {
    if (m >= rows) break;
#pragma GCC unroll 3
    for (int n = 0; n < kColumns; ++n) {
      S* at = out + m * stride + n * kLanes;
      const int64_t lanes = n == kColumns - 1 ? last_lanes : kLanes;
      if (lanes == kLanes)
        (is_first ? sum[m][n] : V::load(at) + sum[m][n]).store(at);
      else
        (is_first ? sum[m][n] : V::load_n(at, lanes) + sum[m][n]).store_n(at, lanes);
    }
  }
}

template <class V, class T, int kColumns = kGradientTile, class S = typename V::Scalar>
RNNKIT_INLINE void accumulate_columns(int64_t columns, const T* dy, const T* x, int64_t step, int64_t depth, S* out,
                                      int64_t stride, int64_t rows, int64_t last_lanes, bool is_first) {
  if constexpr (kColumns > 1) {
    if (columns < kColumns)
      return accumulate_columns<V, T, kColumns - 1>(columns, dy, x, step, depth, out, stride, rows, last_lanes,
                                                    is_first);
  }
  accumulate<V, T, kColumns>(dy, x, step, depth, out, stride, rows, last_lanes, is_first);
}

// [k][16 rows] to [16 rows][k], in place.
template <class T>
void turn(T* dy, int64_t depth);
// As accumulate(), for up to three vectors; dy is [plane][16 rows][k], x [plane][k][vector][16], `width` is what is
// left of a row of out.
template <class T>
void accumulate_on_tiles(const T* dy, const T* x, int64_t vectors, int64_t depth, float* out, int64_t stride,
                         int64_t rows, int64_t width, bool is_first);

#if defined(RNNKIT_ISA_AMX)

template <class T>
void turn(T* dy, int64_t depth) {
  T turned[16 * kGradientBlock / kPerWord<T>];
  for (int64_t k = 0; k < depth; k += kLanes) {
    F square[kLanes];
    for (int64_t i = 0; i < kLanes; ++i) square[i] = F::load(reinterpret_cast<const float*>(dy + (k + i) * kLanes));
    transpose(square);
    for (int64_t i = 0; i < kLanes; ++i) square[i].store(reinterpret_cast<float*>(turned + i * depth + k));
  }
  memcpy(static_cast<void*>(dy), turned, static_cast<size_t>(depth * kLanes) * sizeof(T));
}

template <class T>
void accumulate_on_tiles(const T* dy, const T* x, int64_t vectors, int64_t depth, float* out, int64_t stride,
                         int64_t rows, int64_t width, bool is_first) {
  shape_tiles(16, 0);
  zero_tile<0>();
  zero_tile<1>();
  zero_tile<2>();
  const int64_t step = vectors * kLanes, x_stride = step * static_cast<int64_t>(sizeof(T));
  for (int64_t k = 0; k < depth; k += 16) {
    for (const Planes planes : kPairs<T>) {
      const T* right = x + (planes.weight * depth + k) * step;
      load_tile<4>(dy + planes.x * depth * kLanes + k, depth * sizeof(T));
      load_tile<5>(right, x_stride);
      dot_tiles<0, 4, 5>();
      if (vectors > 1) {
        load_tile<6>(right + kLanes, x_stride);
        dot_tiles<1, 4, 6>();
      }
      if (vectors > 2) {
        load_tile<7>(right + 2 * kLanes, x_stride);
        dot_tiles<2, 4, 7>();
      }
    }
  }
  alignas(64) float sums[3][16 * kLanes];
  store_tile<0>(sums[0], kLanes * sizeof(float));
  store_tile<1>(sums[1], kLanes * sizeof(float));
  store_tile<2>(sums[2], kLanes * sizeof(float));
  for (int64_t m = 0; m < rows; ++m)
    for (int64_t n = 0; n < vectors; ++n) {
      float* at = out + m * stride + n * kLanes;
      const int64_t lanes = smaller(kLanes, width - n * kLanes);
      const F sum = F::load(sums[n] + m * kLanes);
      (is_first ? sum : F::load_n(at, lanes) + sum).store_n(at, lanes);
    }
}

#endif

template <class V, class S = typename V::Scalar>
RNNKIT_INLINE V load_lanes(const Rows<const S>& rows, int64_t row, int64_t column, int64_t lanes) {
  const S* from = rows.base + (rows.index ? rows.index[row] : row) * rows.stride + column;
  return lanes == kLanes ? V::load(from) : V::load_n(from, lanes);
}

}  // namespace tiles

// The rows of `out` named by places [place_begin, place_end), columns of the vectors [begin, end) of x; in the calling
// thread. The bias is written by the call whose `begin` is 0. `scratch` holds gradient_scratch<T>(end - begin)
// operands.
template <class V, class T, class S = typename V::Scalar>
void gradient(const WeightGradient<S>& g, int64_t place_begin, int64_t place_end, int64_t begin, int64_t end,
              T* scratch) {
  constexpr int64_t kStep = kPerWord<T>;
  constexpr bool kOnTiles = kHasTiles && kStep > 1;
  T* packed_dy = scratch;
  T* packed_x = scratch + stored<T>(kGradientBlock) * kLanes;
  const int64_t last = (larger<int64_t>(g.num_rows, 1) - 1) / kGradientBlock * kGradientBlock;
  for (int64_t row = last; row >= 0; row -= kGradientBlock) {  // at least once: no rows make a gradient of zero
    const int64_t rows = smaller(kGradientBlock, g.num_rows - row);
    const int64_t depth = kOnTiles ? stored<T>(rows) / kPlanes<T> : operands<T>(rows);
    const bool is_first = row == last && !g.accumulate;
    for (int64_t panel = begin; panel < end; panel += tiles::kGradientColumns) {
      const int64_t vectors = smaller(tiles::kGradientColumns, end - panel);
      T* to = packed_x + (panel - begin) * stored<T>(kGradientBlock) * kLanes;
      for (int64_t r = 0; r < depth * kStep; r += kStep) {
        for (int64_t v = panel; v < panel + vectors; ++v, to += kLanes) {
          V values[kStep];
          for (int64_t i = 0; i < kStep; ++i)
            values[i] = r + i < rows
                            ? tiles::load_lanes<V>(g.x, row + r + i, v * kLanes, smaller(kLanes, g.width - v * kLanes))
                            : V::zero();
          Operand<V, T>::store(values, to, depth * vectors * kLanes);
        }
      }
    }
    for (int64_t p = place_begin; p < place_end; ++p) {
      const Place place = g.places[p];
      V total = V::zero(), part = V::zero();  // the bias in chains of 16
      V gain_total = V::zero(), gain_part = V::zero();
      for (int64_t r = 0; r < depth * kStep; r += kStep) {
        V values[kStep];
        for (int64_t i = 0; i < kStep; ++i) {
          values[i] = r + i < rows ? tiles::load_lanes<V>(g.dy, row + r + i, place.column, place.lanes) : V::zero();
          part = part + values[i];
          if (g.norm != nullptr && r + i < rows) {
            const S* from = g.dy.base + (g.dy.index ? g.dy.index[row + r + i] : row + r + i) * g.dy.stride;
            const RowNormBack<V> back(from + g.norm->moments);
            const V x = V::load(from + g.norm->values + p * kLanes);
            gain_part = fma(values[i], back.norm(x), gain_part);
            values[i] = back(values[i], x, V::load(g.norm->gain + p * kLanes));
          }
        }
        Operand<V, T>::store(values, packed_dy + r / kStep * kLanes, depth * kLanes);
        if ((r + kStep) % 16 == 0 || r + kStep >= rows) {
          total = total + part;
          gain_total = gain_total + gain_part;
          part = gain_part = V::zero();
        }
      }
      if constexpr (kOnTiles)
        for (int64_t plane = 0; plane < kPlanes<T>; ++plane) tiles::turn(packed_dy + plane * depth * kLanes, depth);
      if (g.bias && begin == 0) {
        S* at = g.bias + place.row;
        (is_first || planted(Bug::bias_gradient_of_the_last_block_only) ? total : V::load_n(at, place.lanes) + total)
            .store_n(at, place.lanes);
      }
      if (g.norm != nullptr && begin == 0) {
        S* at = g.norm->d_gain + place.row;
        const bool is_all = is_first || planted(Bug::norm_gain_gradient_of_the_last_block_only);
        (is_all ? gain_total : V::load_n(at, place.lanes) + gain_total).store_n(at, place.lanes);
      }
      for (int64_t panel = begin; panel < end; panel += tiles::kGradientColumns) {
        const int64_t vectors = smaller(tiles::kGradientColumns, end - panel);
        const T* x = packed_x + (panel - begin) * stored<T>(kGradientBlock) * kLanes;
        // The next place's rows lie a page apart: the hardware does not fetch them ahead.
        if (p + 1 < place_end)
          for (int64_t r = rows * (panel - begin) / (end - begin); r < rows * (panel + vectors - begin) / (end - begin);
               ++r) {
            const S* from = g.dy.base + (g.dy.index ? g.dy.index[row + r] : row + r) * g.dy.stride;
            prefetch(from + g.places[p + 1].column);
            if (g.norm != nullptr) prefetch(from + g.norm->values + (p + 1) * kLanes);
          }
        if constexpr (kOnTiles) {
          tiles::accumulate_on_tiles(packed_dy, x, vectors, depth, g.out + place.row * g.width + panel * kLanes,
                                     g.width, place.lanes, g.width - panel * kLanes, is_first);
        } else {
          for (int64_t lane = 0; lane < place.lanes; lane += tiles::kGradientRows) {
            S* out = g.out + (place.row + lane) * g.width + panel * kLanes;
            for (int64_t v = 0; v < vectors; v += tiles::kGradientTile) {
              const int64_t columns = smaller<int64_t>(tiles::kGradientTile, vectors - v);
              const int64_t last_column = panel + v + columns - 1;
              tiles::accumulate_columns<V>(columns, packed_dy + lane, x + v * kLanes, vectors * kLanes, depth,
                                           out + v * kLanes, g.width, place.lanes - lane,
                                           smaller(kLanes, g.width - last_column * kLanes), is_first);
            }
          }
        }
      }
    }
  }
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
