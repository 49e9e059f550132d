// Products in eight bits: rows of x and columns of weights as integers with a scale each, summed exactly.
//
// x = scale * q with q = round(x * 127 / max|x|) and scale = max|x| / 127, for every row by itself; the weights
// likewise for every output column. y (+)= float(sum of q_x q_w) * (scale_w * scale_x), then + bias. No order of
// additions, tile or instruction set changes the sum. A row with a value that is not finite has the scale NaN, and so
// has its result. Packed<Quad> begins each panel with a row of scales; its depth counts it.
#pragma once

#include "gemm/product.h"
#include "simd/quads.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

// The factor from values to integers, and back.
struct QuadScale {
  float inverse, scale;
};
RNNKIT_INLINE QuadScale quad_scale(float largest) {
  const float inverse = 127.0f / largest;
  if (largest < 1e-35f) return {0.0f, 0.0f};  // its inverse would overflow, and to tell it from 0 is not worth a bit
  return {inverse, largest / 127.0f};
}

// `count` values in a row -> quads behind their header; what the last one lacks is 0.
inline void round_row(const float* row, int64_t count, Quad* to) {
  F largest = F::zero(), not_finite = F::zero();
  const auto at = [&](int64_t i) { return count - i >= kLanes ? F::load(row + i) : F::load_n(row + i, count - i); };
  for (int64_t i = 0; i < count; i += kLanes) {
    largest = max(largest, abs(at(i)));
    not_finite = fma(at(i), F::zero(), not_finite);  // 0, or NaN
  }
  const float fault = sum_lanes(not_finite);
  const QuadScale scale = quad_scale(fault == 0.0f ? max_lanes(largest) : 0.0f);
  const F inverse = F::broadcast(scale.inverse);
  F sum = F::zero();  // of integers: exact
  for (int64_t i = 0; i < count; i += kLanes) {
    const F value = fault == 0.0f ? at(i) * inverse : F::zero();
    if (kWeightBias != 0) sum = sum + ((value + F::broadcast(kToInteger)) - F::broadcast(kToInteger));
    to_bytes(value, reinterpret_cast<int8_t*>(to + i / 4));
  }
  to[-2].bits = __builtin_bit_cast(uint32_t, scale.scale + fault);
  to[-1].bits = kWeightBias == 0 ? 0 : static_cast<uint32_t>(static_cast<int32_t>(sum_lanes(sum)) * kWeightBias);
}

namespace tiles {

// kRows rows times kPanels neighbouring panels, the first kWidth vectors of each; `panel` is at its first row of quads,
// `width` quads wide, the panels `step` apart.
template <int kRows, int kWidth, int kPanels>
void multiply_quads(const Quad* const* x, int64_t depth, const Quad* panel, int64_t width, int64_t step,
                    QuadSums (*out)[kPanels * kWidth]) {
  QuadSums sum[kRows][kPanels * kWidth];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < kPanels * kWidth; ++n) sum[m][n] = QuadSums::zero();
  const Quad* rows[kRows];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) rows[m] = x[m];
  for (int64_t k = 0; k < depth; ++k, panel += width) {
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      const QuadSums::Factor factor = QuadSums::broadcast(rows[m][k]);
#pragma GCC unroll 4
      for (int p = 0; p < kPanels; ++p)
#pragma GCC unroll 4
        for (int n = 0; n < kWidth; ++n) sum[m][p * kWidth + n].dot(factor, panel + p * step + n * kLanes);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < kPanels * kWidth; ++n) out[m][n] = sum[m][n];
}

#if defined(RNNKIT_ISA_AVX512)
inline constexpr int kQuadWidth = 4, kQuadRows = 4;
#elif defined(RNNKIT_ISA_AVX2)
inline constexpr int kQuadWidth = 2, kQuadRows = 2;
#else
inline constexpr int kQuadWidth = 1, kQuadRows = 1;
#endif

// Rows [row, row + kRows) of the vectors [vector, vector + kWidth) of kPanels panels from `p` on.
template <int kRows, int kWidth, int kPanels>
void multiply_quad_tile(const Product<float, Quad>& product, int64_t row, int64_t p, int64_t vector) {
  const Packed<Quad>& weight = product.weight;
  const int64_t vectors = smaller(weight.panel, weight.num_vectors - p * weight.panel), width = vectors * kLanes;
  const int64_t step = weight.panel * weight.depth * kLanes;
  const Quad* panel = weight.data + p * step + vector * kLanes;
  const Quad* x[kRows];
  for (int m = 0; m < kRows; ++m)
    x[m] = product.x.base + (product.x.index ? product.x.index[row + m] : row + m) * product.x.stride;
  QuadSums sum[kRows][kPanels * kWidth];
  multiply_quads<kRows, kWidth, kPanels>(x, product.depth.length, panel + width, width, step, sum);
  for (int m = 0; m < kRows; ++m) {
    float* y = product.y.base + (product.y.index ? product.y.index[row + m] : row + m) * product.y.stride;
    const F scale = F::broadcast(__builtin_bit_cast(
        float, (planted(Bug::every_row_has_the_scale_of_the_first) ? product.x.base : x[m])[-2].bits));
    const int32_t offset = static_cast<int32_t>(x[m][-1].bits);
    for (int i = 0; i < kPanels * kWidth; ++i) {
      const int64_t v = (p + i / kWidth) * weight.panel + vector + i % kWidth;
      const int64_t lanes = v == weight.num_vectors - 1 ? product.last_lanes : kLanes;
      float weight_scale[kLanes];
      memcpy(weight_scale, panel + i / kWidth * step + i % kWidth * kLanes, sizeof(weight_scale));
      F value = sum[m][i].to_float(offset) * (F::load(weight_scale) * scale);
      float* at = y + (product.places ? product.places[v].column : v * kLanes);
      if (product.accumulate) value = (lanes == kLanes ? F::load(at) : F::load_n(at, lanes)) + value;
      if (product.bias) value = value + F::load(product.bias + v * kLanes);
      lanes == kLanes ? value.store(at) : value.store_n(at, lanes);
    }
  }
}

template <int kWidth, int kRows = kQuadRows>
RNNKIT_INLINE void multiply_quad_rows(const Product<float, Quad>& product, int64_t row, int64_t rows, int64_t p,
                                      int64_t vector) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return multiply_quad_rows<kWidth, kRows - 1>(product, row, rows, p, vector);
  }
  multiply_quad_tile<kRows, kWidth, 1>(product, row, p, vector);
}

template <int kWidth = kQuadWidth>
RNNKIT_INLINE void multiply_quad_columns(const Product<float, Quad>& product, int64_t row, int64_t rows, int64_t p,
                                         int64_t vector, int64_t columns) {
  if constexpr (kWidth > 1) {
    if (columns < kWidth) return multiply_quad_columns<kWidth - 1>(product, row, rows, p, vector, columns);
  }
  multiply_quad_rows<kWidth>(product, row, rows, p, vector);
}

}  // namespace tiles

// As multiply() of gemm/product.h; the rows of x have their headers.
template <class V>
void multiply(const Product<float, Quad>& product, int64_t row_begin, int64_t row_end, int64_t panel_begin,
              int64_t panel_end, int64_t = -1) {
  const Packed<Quad>& weight = product.weight;
#if defined(RNNKIT_ISA_AVX512)
  if (row_end - row_begin == 1 && weight.panel >= 3) {                            // more streams from memory
    const int64_t whole = smaller(panel_end, weight.num_vectors / weight.panel);  // the last may be narrower
    for (; panel_begin + 2 <= whole; panel_begin += 2)
      weight.panel == 4 ? tiles::multiply_quad_tile<1, 4, 2>(product, row_begin, panel_begin, 0)
                        : tiles::multiply_quad_tile<1, 3, 2>(product, row_begin, panel_begin, 0);
  }
#endif
  for (int64_t p = panel_begin; p < panel_end; ++p) {
    const int64_t vectors = smaller(weight.panel, weight.num_vectors - p * weight.panel);
    for (int64_t v = 0; v < vectors; v += tiles::kQuadWidth)
      for (int64_t row = row_begin; row < row_end; row += tiles::kQuadRows)
        tiles::multiply_quad_columns(product, row, smaller<int64_t>(tiles::kQuadRows, row_end - row), p, v,
                                     smaller<int64_t>(tiles::kQuadWidth, vectors - v));
  }
}

// As pack_rows() of gemm/pack.h.
template <class V>
void pack_rows(const float* weight, int64_t inputs, const Place* places, const Packed<Quad>& packed, Quad* out,
               int64_t begin, int64_t end) {
  for (int64_t p = begin; p < end; ++p) {
    const int64_t first = p * packed.panel, vectors = smaller(packed.panel, packed.num_vectors - first);
    Quad* const panel = out + first * packed.depth * kLanes;
    for (int64_t v = 0; v < vectors; ++v) {
      const Place place = places[first + v];
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        const float* from = weight + (place.row + lane) * inputs;
        const int64_t count = lane < place.lanes ? inputs : 0;
        float largest = 0.0f, fault = 0.0f;
        for (int64_t k = 0; k < count; ++k) {
          const float magnitude = from[k] < 0.0f ? -from[k] : from[k];
          largest = largest < magnitude ? magnitude : largest;
          fault += from[k] * 0.0f;
        }
        const QuadScale scale = quad_scale(fault == 0.0f ? largest : 0.0f);
        Quad* to = panel + v * kLanes + lane;
        to->bits = __builtin_bit_cast(uint32_t, scale.scale + fault);
        for (int64_t k = 0; k < (packed.depth - 1) * 4; k += 4) {
          uint32_t quad = 0;
          for (int64_t j = 0; j < 4; ++j) {
            const float value = k + j < count && fault == 0.0f ? from[k + j] * scale.inverse : 0.0f;
            const float shifted = value + kToInteger;
            const uint32_t byte = (__builtin_bit_cast(uint32_t, shifted) + kWeightBias) & 0xFF;
            quad |= byte << (8 * j);
          }
          (to += vectors * kLanes)->bits = quad;
        }
      }
    }
  }
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
