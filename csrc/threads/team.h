// The team of workers: one parallel region per call, run on the OpenMP threads already in the process or on our own.
//
// Compiled once for all instruction sets. A body must not throw, and must not assume the team is as large as it asked
// for.
#pragma once

#include <stdint.h>

namespace rnnkit::threads {

struct Barrier;

struct Worker {
  int index, size;  // 0 <= index < size <= wanted
  Barrier* barrier;
};

using Body = void (*)(void* context, const Worker& worker);

// Runs body(context, worker) once per worker and returns when all have; denormals are flushed meanwhile and only there.
// A call from inside a body, or while another Python thread uses our own workers, gets a team of one.
void run(int wanted, Body body, void* context);

// Runs body(context, share) once for every share, which need not meet (they have no barrier), on at most `wanted`
// workers: whoever is done with one takes the next. Where helpers were late a moment ago, which is a busy machine,
// nobody is waited for that holds no share (threads/crew.h).
void run_shares(int wanted, int shares, Body body, void* context);

// Returns when every worker of the team has called it: spins briefly, then yields the core.
void wait(const Worker& worker);

// How many workers a region asks for: the cores this process may use, RNNKIT_NUM_THREADS, or the last set_num_threads.
int get_num_threads();
void set_num_threads(int count);

// Which threads the last region with more than one worker ran on: "openmp", "own" or "none".
const char* last_pool();

}  // namespace rnnkit::threads
