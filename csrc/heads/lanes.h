// Vectors at the end of an array: as many lanes as there are, and what the others hold.
#pragma once

#include "mutants.h"
#include "simd/vec.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

// The next lanes of an array of which `left` are left; those past the end read as 0 and are not written.
RNNKIT_INLINE F load_lanes(const float* at, int64_t left) { return left >= kLanes ? F::load(at) : F::load_n(at, left); }
RNNKIT_INLINE void store_lanes(F values, float* at, int64_t left) {
  if (left >= kLanes)
    values.store(at);
  else
    values.store_n(at, left);
}

// Those past the end read as -inf, which neither a maximum nor a sum of exponentials sees.
RNNKIT_INLINE F load_or_nothing(const float* at, int64_t left) {
  if (left >= kLanes) return F::load(at);
  float values[kLanes];
  for (int64_t i = 0; i < kLanes; ++i)
    values[i] = i < left ? at[i] : planted(Bug::softmax_over_lanes_past_the_end) ? 0.0f : -__builtin_inff();
  return F::load(values);
}

inline constexpr float kLowest = -3.40282347e+38f;  // finite, so that -inf minus the largest is never NaN

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
