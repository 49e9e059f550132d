// log_softmax: out = (l - max l) - log(sum of exp(l - max l)), row by row.
#include "heads/functions.h"
#include "heads/lanes.h"
#include "simd/math.h"
#include "threads/parallel.h"

extern "C" double log(double) noexcept;

namespace rnnkit::RNNKIT_ISA_NAMESPACE {
namespace {

constexpr int64_t kBlock = 64 * kLanes;  // columns in one float sum; the blocks are added in double

void log_softmax_row(const float* logits, int64_t columns, float* out) {
  F largest = F::broadcast(kLowest);
  for (int64_t i = 0; i < columns; i += kLanes) largest = max(load_or_nothing(logits + i, columns - i), largest);
  const float highest = max_lanes(largest);
  const F top = F::broadcast(highest);
  double total = 0;
  for (int64_t block = 0; block < columns; block += kBlock) {
    const int64_t end = smaller(columns, block + kBlock);
    F sum = F::zero();
    for (int64_t i = block; i < end; i += kLanes) sum = sum + exp(load_or_nothing(logits + i, end - i) - top);
    total += static_cast<double>(sum_lanes(sum));
  }
  const F log_total = F::broadcast(static_cast<float>(::log(total)));
  for (int64_t i = 0; i < columns; i += kLanes) {
    const int64_t left = columns - i;
    store_lanes((load_lanes(logits + i, left) - top) - log_total, out + i, left);
  }
}

}  // namespace

void log_softmax(const float* logits, int64_t rows, int64_t columns, float* out) {
  constexpr int64_t kWorthAWorker = 1 << 15;  // elements
  parallel_for(rows, kWorthAWorker / larger<int64_t>(1, columns) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) log_softmax_row(logits + r * columns, columns, out + r * columns);
  });
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
