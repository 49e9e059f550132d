// What the products work on: matrices by rows, and weights packed in panels of vectors.
//
// A *vector* is sixteen neighbouring output columns. A Place says which rows of torch's weight matrix a vector holds
// and at which column of a result row its values lie, so that gates may be interleaved ([block of 16 units][gate][16])
// and a plain matrix is the special case of plain_places(). Layouts are the same on every instruction set.
#pragma once

#include <stdint.h>

namespace rnnkit {

struct Place {
  int64_t row;     // first row of the weight matrix; lanes beyond `lanes` are padding
  int64_t lanes;   // 1..16
  int64_t column;  // of the sixteen values in a row of results
};

// What is multiplied: values as they are, or two neighbours of the reduced axis rounded to bfloat16, the first in the
// low half. A *depth* below counts operands.
struct Pair {
  uint32_t bits;
};
// Or four neighbours as integers of -127..127, the first in the lowest byte, with one scale for a row of x and one for
// each output column (gemm/quads.h).
struct Quad {
  uint32_t bits;
};
// Or, of weights alone, two neighbours as sums of three bfloat16 each: every sixteen operands are three planes, the
// leading parts, what they leave, and what those leave. The other side is then split where it is multiplied.
struct Triple {
  uint32_t bits;
};
template <class T>
inline constexpr int64_t kPerOperand = 1;
template <>
inline constexpr int64_t kPerOperand<Pair> = 2;
template <>
inline constexpr int64_t kPerOperand<Quad> = 4;
template <class T>
inline constexpr bool kIsScaled = false;  // rows and columns have scales, and a row's is known only when it is whole
template <>
inline constexpr bool kIsScaled<Quad> = true;
template <class T>
__attribute__((always_inline)) constexpr int64_t operands(int64_t values) {
  return (values + kPerOperand<T> - 1) / kPerOperand<T>;
}

// A packed word: how many values of the reduced axis it holds, and how many of them hold the same values.
template <class T>
inline constexpr int64_t kPerWord = kPerOperand<T>;
template <>
inline constexpr int64_t kPerWord<Triple> = 2;
template <class T>
inline constexpr int64_t kPlanes = 1;
template <>
inline constexpr int64_t kPlanes<Triple> = 3;

// Where the first plane of a word lies in the packed depth.
template <class T>
__attribute__((always_inline)) constexpr int64_t depth_of_word(int64_t word) {
  return kPlanes<T> == 1 ? word : word / 16 * 16 * kPlanes<T> + word % 16;
}

// What packed weights are multiplied with.
template <class T>
struct LeftOf {
  using Type = T;
};
template <>
struct LeftOf<Triple> {
  using Type = float;
};
template <class T>
using Left = typename LeftOf<T>::Type;

// How many operands a stored row or depth of `values` has: pairs fill whole tiles of 16, and what is too many is 0.
template <class T>
__attribute__((always_inline)) constexpr int64_t stored(int64_t values) {
  return kPerWord<T> == 1 ? values : ((values + kPerWord<T> - 1) / kPerWord<T> + 15) / 16 * 16 * kPlanes<T>;
}

// A row of quads begins behind its header, scale and offset; its room is a multiple of sixteen values and the header.
inline constexpr int64_t kQuadHeader = 2, kMostQuadDepth = 32768;  // quads: beyond, a sum of products may not fit
__attribute__((always_inline)) constexpr int64_t quad_row(int64_t values) {
  return kQuadHeader + (values + 15) / 16 * 4;
}

// The room of a row of operands, and where in it they begin.
template <class T>
inline constexpr int64_t kOperandHeader = 0;
template <>
inline constexpr int64_t kOperandHeader<Quad> = kQuadHeader;
template <class T>
__attribute__((always_inline)) constexpr int64_t operand_row(int64_t values) {
  return stored<Left<T>>(values);
}
template <>
__attribute__((always_inline)) constexpr int64_t operand_row<Quad>(int64_t values) {
  return quad_row(values);
}

// How deep packed weights are: quads have a first row of scales.
template <class T>
__attribute__((always_inline)) constexpr int64_t packed_depth(int64_t values) {
  return stored<T>(values);
}
template <>
__attribute__((always_inline)) constexpr int64_t packed_depth<Quad>(int64_t values) {
  return operands<Quad>(values) + 1;
}

// A matrix whose rows need not be neighbours: row r starts at base + (index ? index[r] : r) * stride.
template <class S>
struct Rows {
  S* base;
  int64_t stride;
  const int64_t* index = nullptr;
};

// The reduced axis of the left matrix: `segments` runs of `length` operands, `stride` apart (one segment: a plain row).
struct Depth {
  int64_t segments, length, stride;
  int64_t total() const { return segments * length; }
};

// Weights as [panel][k][vector of the panel][16]; the last panel is narrower when `panel` does not divide num_vectors.
template <class T>
struct Packed {
  const T* data;
  int64_t depth, num_vectors, panel;  // depth: as stored()
  int64_t num_panels() const { return (num_vectors + panel - 1) / panel; }
  int64_t size() const { return num_vectors * depth * 16; }  // in operands
};

// y = x W^T, or y + x W^T, + bias. Pairs of x come in rows without an index and as one segment.
template <class S, class T = S>
struct Product {
  Rows<const Left<T>> x;
  Depth depth;
  Packed<T> weight;
  const Place* places;  // where the vectors lie in a row of y; null: vector v at column 16 v
  Rows<S> y;
  int64_t last_lanes = 16;  // how many lanes of the last vector exist in y
  const S* bias = nullptr;  // [num_vectors][16], in the order of the vectors
  bool accumulate = false;  // start from y, not from 0
};

inline constexpr int64_t kPanel = 4;  // vectors in a panel unless a cell's gates ask for another number
inline constexpr int64_t kGradientBlock =
    256;  // rows in one partial sum of a weight gradient: part of the results' definition

// Operands of scratch that a weight gradient needs for `vectors` vectors of columns.
template <class T>
__attribute__((always_inline)) constexpr int64_t gradient_scratch(int64_t vectors) {
  return stored<T>(kGradientBlock) * 16 * (vectors + 1);
}

}  // namespace rnnkit
