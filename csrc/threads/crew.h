// Small work in many phases, as steps of a recurrent layer are: whoever is there takes the next part of the phase.
//
// Nobody is waited for that holds no part: a helper that the system has put aside costs its help, not a time slice, so
// that a step on a busy machine takes the time of one core. Compiled once for all instruction sets.
#pragma once

#include <stdint.h>

namespace rnnkit::threads {

struct Phase {
  int64_t parts;           // 0: there is no further phase
  bool backwards = false;  // in which order each worker goes through its share: to and fro leaves more in its cache
};

// What to do. `next` is called when every part of the phase before is done, by one worker and by no two at once; the
// parts of a phase are done side by side and may not depend on each other. Neither may throw.
struct Plan {
  void* context;
  Phase (*next)(void* context);
  void (*part)(void* context, int64_t part, int worker);  // 0 <= worker < most_workers(wanted)
};

// Returns when all phases are done. The caller works; threads of ours help as they come, `wanted` workers in all. A
// call from inside a region, or while another thread has our helpers, is done by the caller alone.
void run_phases(int wanted, const Plan& plan);

// How many workers a plan may see: for scratch of their own.
inline constexpr int kMostWorkers = 64;
inline int most_workers(int wanted) { return wanted < 1 ? 1 : wanted < kMostWorkers ? wanted : kMostWorkers; }

}  // namespace rnnkit::threads
