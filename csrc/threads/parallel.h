// threads::run for code that is compiled per instruction set: takes a lambda.
#pragma once

#include "isa/isa.h"
#include "simd/tiles.h"
#include "threads/team.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

// body(const threads::Worker&) on at most `wanted` workers.
template <class Body>
void parallel(int wanted, Body&& body) {
  struct Call {
    static void run(void* context, const threads::Worker& worker) {
      (*static_cast<decltype(&body)>(context))(worker);
      release_tiles();
    }
  };
  threads::run(wanted, &Call::run, &body);
}

// body(begin, end) over parts of [0, total) of about equal size, each at least `grain` long.
template <class Body>
void parallel_for(int64_t total, int64_t grain, Body&& body) {
  const int64_t parts =
      larger<int64_t>(1, smaller<int64_t>(threads::get_num_threads(), total / larger<int64_t>(1, grain)));
  if (total <= 0) return;
  parallel(static_cast<int>(parts), [&](const threads::Worker& worker) {
    const Range range = share(total, worker.index, worker.size);
    if (range.begin < range.end) body(range.begin, range.end);
  });
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
