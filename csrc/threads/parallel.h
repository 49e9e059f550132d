// threads::run for code that is compiled per instruction set: takes a lambda.
#pragma once

#include "isa/isa.h"
#include "simd/tiles.h"
#include "threads/team.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

template <class Body>
void call_body(void* body, const threads::Worker& worker) {
  (*static_cast<Body*>(body))(worker);
  release_tiles();
}

// body(const threads::Worker&) on at most `wanted` workers.
template <class Body>
void parallel(int wanted, Body body) {
  threads::run(wanted, &call_body<Body>, &body);
}

// body(const threads::Worker&) for each of `shares`, which need not meet, on at most `wanted` workers.
template <class Body>
void in_shares(int wanted, int shares, Body body) {
  threads::run_shares(wanted, shares, &call_body<Body>, &body);
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
