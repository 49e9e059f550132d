// threads::run for code that is compiled per instruction set: takes a lambda.
#pragma once

#include "isa/isa.h"
#include "simd/tiles.h"
#include "threads/crew.h"
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

// body(const threads::Worker&) for each share of `workers`, which need not meet: whoever is there takes the next one,
// and a helper that the system has put aside is not waited for.
template <class Body>
void in_shares(int workers, Body&& body) {
  struct Call {
    decltype(&body) function;
    int shares, left;
  } call{&body, workers, 1};
  threads::run_phases(workers, {&call,
                                [](void* context) -> threads::Phase {
                                  Call& call = *static_cast<Call*>(context);
                                  return {call.left-- > 0 ? call.shares : 0};
                                },
                                [](void* context, int64_t part, int) {
                                  const Call& call = *static_cast<Call*>(context);
                                  (*call.function)(threads::Worker{static_cast<int>(part), call.shares, nullptr});
                                  release_tiles();
                                }});
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
