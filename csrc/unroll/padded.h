// Rows of units as the core keeps them: whole blocks of lanes, zeros behind the last unit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "mutants.h"

namespace rnnkit {

inline constexpr int64_t kLanes = 16;

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// `width` values, or zeros for null, and zeros behind them.
template <class S>
void copy_padded(const S* from, int64_t width, int64_t padded, S* to) {
  if (from != nullptr) std::memcpy(to, from, width * sizeof(S));
  const int64_t start = from != nullptr ? width : 0;
  if (from == nullptr || !planted(Bug::padding_lanes_left_stale)) std::fill(to + start, to + padded, S(0));
}

}  // namespace rnnkit
