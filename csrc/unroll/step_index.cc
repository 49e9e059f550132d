// Rows sorted by length, so that those which still run at a step are the first ones.
#include "unroll/step_index.h"

#include <algorithm>
#include <numeric>

#include "mutants.h"

namespace rnnkit {

StepIndex::StepIndex(int64_t num_steps, int64_t batch, const int64_t* lengths, bool reverse)
    : batch_(batch), order_(batch), lengths_(batch) {
  int64_t* const order = order_.get();
  std::iota(order, order + batch, int64_t{0});
  if (lengths != nullptr)
    std::stable_sort(order, order + batch, [&](int64_t a, int64_t b) { return lengths[a] > lengths[b]; });
  for (int64_t r = 0; r < batch; ++r) {
    lengths_.get()[r] = lengths ? lengths[order[r]] : num_steps;
    is_ragged_ |= lengths_.get()[r] < num_steps;
  }
  num_steps_ = batch > 0 ? lengths_.get()[0] : 0;
  const int64_t num_rows = std::accumulate(lengths_.get(), lengths_.get() + batch, int64_t{0});
  offset_ = Buffer<int64_t>(num_steps_ + 1);
  position_ = Buffer<int64_t>(num_rows);
  before_ = Buffer<int64_t>(num_rows);
  int64_t at = 0, running = batch;
  for (int64_t s = 0; s < num_steps_; ++s) {
    offset_.get()[s] = at;
    while (length(running - 1) <= s) --running;
    for (int64_t r = 0; r < running; ++r, ++at) {
      const int64_t t = reverse ? length(r) - 1 - s : s;
      position_.get()[at] = t * batch + order[r];
      const int64_t t_before = reverse && !planted(Bug::reversed_row_reads_the_step_after) ? t + 1 : t - 1;
      before_.get()[at] = s == 0 ? order[r] : batch + t_before * batch + order[r];
    }
  }
  offset_.get()[num_steps_] = at;
}

Steps StepIndex::steps() const { return {batch_, num_steps_, offset_.get(), position_.get(), before_.get()}; }

}  // namespace rnnkit
