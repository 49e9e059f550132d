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
template <class T>
inline constexpr int64_t kPerOperand = 1;
template <>
inline constexpr int64_t kPerOperand<Pair> = 2;
template <class T>
__attribute__((always_inline)) constexpr int64_t operands(int64_t values) {
  return (values + kPerOperand<T> - 1) / kPerOperand<T>;
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
  int64_t depth, num_vectors, panel;
  int64_t num_panels() const { return (num_vectors + panel - 1) / panel; }
  int64_t size() const { return num_vectors * depth * 16; }  // in operands
};

inline constexpr int64_t kPanel = 4;  // vectors in a panel unless a cell's gates ask for another number
inline constexpr int64_t kGradientBlock =
    256;  // rows in one partial sum of a weight gradient: part of the results' definition

// Operands of scratch that a weight gradient needs for `vectors` vectors of columns.
template <class T>
__attribute__((always_inline)) constexpr int64_t gradient_scratch(int64_t vectors) {
  return operands<T>(kGradientBlock) * 16 * (vectors + 1);
}

}  // namespace rnnkit
