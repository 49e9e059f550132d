// Fills DecodeTable for one instruction set.
#include "decode/table.h"

#include "isa/isa.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {
namespace {

// exp(x) for x <= 0, within 1 ulp; 0 below -708, where the result leaves the normal numbers. No branch, no call and no
// fused operation: the compiler vectorises the loop around it, and neither its width nor a C library changes a bit.
RNNKIT_INLINE double exp_of_negative(double x) {
  constexpr double kLog2E = 1.4426950408889634, kLn2High = 0x1.62e42fefa0000p-1, kLn2Low = 0x1.cf79abc9e3b3ap-40;
  constexpr double kRound = 0x1.8p52;  // adding it leaves the rounded integer in the low mantissa bits
  const double clamped = x > -708.0 ? x : -708.0;
  const double shifted = clamped * kLog2E + kRound;
  const double whole = shifted - kRound;
  const double r = (clamped - whole * kLn2High) - whole * kLn2Low;  // |r| <= ln(2)/2
  double series = 1.0 / 6227020800.0;                               // Taylor to r^13: the rest is below 5e-18
  series = series * r + 1.0 / 479001600.0;
  series = series * r + 1.0 / 39916800.0;
  series = series * r + 1.0 / 3628800.0;
  series = series * r + 1.0 / 362880.0;
  series = series * r + 1.0 / 40320.0;
  series = series * r + 1.0 / 5040.0;
  series = series * r + 1.0 / 720.0;
  series = series * r + 1.0 / 120.0;
  series = series * r + 1.0 / 24.0;
  series = series * r + 1.0 / 6.0;
  series = series * r + 0.5;
  series = series * r * r + r + 1.0;
  const double power = __builtin_bit_cast(double, (__builtin_bit_cast(uint64_t, shifted) + 1023) << 52);  // 2^whole
  return x > -708.0 ? series * power : 0.0;
}

void weigh(const double* __restrict scores, int64_t count, double highest, double temperature,
           double* __restrict weights) {
  for (int64_t i = 0; i < count; ++i) weights[i] = exp_of_negative((scores[i] - highest) / temperature);
}

}  // namespace

extern const DecodeTable decode_table;
const DecodeTable decode_table{&weigh};

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
