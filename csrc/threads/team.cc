// The team: OpenMP's workers when a runtime is already loaded (torch's spin between its own regions, and a second pool
// beside them costs a third of the speed), else std::threads of ours.
#include "threads/team.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "threads/crew.h"
#include "threads/inside.h"

namespace rnnkit::threads {

struct Barrier {
  explicit Barrier(int team_size) : size(team_size) {}
  const int size;
  alignas(64) std::atomic<int> arrived{0};
  alignas(64) std::atomic<int> phase{0};
};

namespace {

struct Region {
  Body body;
  void* context;
  Barrier barrier;
};

void work(Region& region, int index) {
  const FlushDenormals flush;
  inside_region = true;
  region.body(region.context, Worker{index, region.barrier.size, &region.barrier});
  inside_region = false;
}

// After fork the child has one thread: neither OpenMP's workers nor ours exist there, and OpenMP would wait for them
// for ever.
std::atomic<bool> forked{false};
std::atomic<const char*> pool_name{"none"};

// Threads of our own. Never destroyed: its workers may be asleep in it when the process ends.
class OwnPool {
 public:
  bool try_run(int wanted, Body body, void* context) {
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    hire(wanted - 1);
    const int size = std::min(wanted, static_cast<int>(desks_.size()) + 1);
    Region region{body, context, Barrier(size)};
    for (int i = 1; i < size; ++i) {
      desks_[i - 1]->region = &region;
      desks_[i - 1]->busy.store(1, std::memory_order_release);
      desks_[i - 1]->busy.notify_one();
    }
    work(region, 0);
    for (int i = 1; i < size; ++i)
      for (int spin = 0; desks_[i - 1]->busy.load(std::memory_order_acquire) != 0; ++spin) pause(spin);
    return true;
  }

 private:
  struct alignas(64) Desk {
    std::atomic<int> busy{0};
    Region* region = nullptr;
  };

  void hire(int workers) {
    while (static_cast<int>(desks_.size()) < workers) {
      auto desk = std::make_unique<Desk>();
      try {
        std::thread([this, &place = *desk, index = static_cast<int>(desks_.size()) + 1] {
          serve(place, index);
        }).detach();
      } catch (const std::system_error&) {
        return;  // no more threads to be had: a smaller team gives the same bits
      }
      desks_.push_back(std::move(desk));
    }
  }

  [[noreturn]] void serve(Desk& desk, int index) {
    for (;;) {
      for (int spin = 0; spin < kSpins && desk.busy.load(std::memory_order_relaxed) == 0; ++spin) relax();
      desk.busy.wait(0, std::memory_order_acquire);
      work(*desk.region, index);
      desk.busy.store(0, std::memory_order_release);
    }
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Desk>> desks_;
};

std::atomic<OwnPool*> own_pool{nullptr};

OwnPool& get_own_pool() {
  static std::mutex creation;
  OwnPool* pool = own_pool.load(std::memory_order_acquire);
  if (pool == nullptr) {
    const std::lock_guard<std::mutex> lock(creation);
    pool = own_pool.load(std::memory_order_acquire);
    if (pool == nullptr) own_pool.store(pool = new OwnPool, std::memory_order_release);
  }
  return *pool;
}

// The OpenMP runtime that some library (torch, usually) has already brought into the process.
struct OpenMp {
  void (*parallel)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
  int (*thread)() = nullptr;
  int (*size)() = nullptr;
};

const OpenMp* find_openmp() {
  static OpenMp found;
  static std::atomic<bool> is_found{false};
  if (is_found.load(std::memory_order_acquire)) return &found;
  static std::mutex search;
  const std::lock_guard<std::mutex> lock(search);
  if (is_found.load(std::memory_order_relaxed)) return &found;
  OpenMp openmp;
  openmp.parallel = reinterpret_cast<decltype(openmp.parallel)>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  if (openmp.parallel == nullptr) return nullptr;
  openmp.thread = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_thread_num"));
  openmp.size = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_num_threads"));
  if (openmp.thread == nullptr || openmp.size == nullptr) return nullptr;
  found = openmp;
  is_found.store(true, std::memory_order_release);
  return &found;
}

struct OpenMpCall {
  const OpenMp* openmp;
  Body body;
  void* context;
  // The team's size is known only inside the region; the first to arrive writes it down.
  alignas(64) std::atomic<Region*> region{nullptr};
  alignas(Region) unsigned char storage[sizeof(Region)];
  std::atomic<bool> taken{false};
};

void enter_openmp(void* data) {
  OpenMpCall& call = *static_cast<OpenMpCall*>(data);
  if (!call.taken.exchange(true))
    call.region.store(new (call.storage) Region{call.body, call.context, Barrier(call.openmp->size())},
                      std::memory_order_release);
  Region* region;
  for (int spin = 0; (region = call.region.load(std::memory_order_acquire)) == nullptr; ++spin) pause(spin);
  work(*region, call.openmp->thread());
}

int cores_of_this_process() {
#if defined(__linux__)
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof(cores), &cores) == 0) return std::max(1, CPU_COUNT(&cores));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::atomic<int> num_threads{0};  // 0: not chosen yet

using Clock = std::chrono::steady_clock;

struct Shares {
  const Body body;
  void* const context;
  const int count;
  std::atomic<int> next{0};
  Clock::duration longest{};  // this and the next: of the caller's own
  Clock::time_point done{};

  void run(int share) const { body(context, Worker{share, count, nullptr}); }
};

void take_shares(void* context, const Worker& worker) {
  Shares& shares = *static_cast<Shares*>(context);
  Clock::time_point begin = Clock::now();
  for (int share; (share = shares.next.fetch_add(1)) < shares.count;) {
    shares.run(share);
    if (worker.index > 0) continue;
    const Clock::time_point end = Clock::now();
    shares.longest = std::max(shares.longest, end - begin);
    begin = end;
  }
  if (worker.index == 0) shares.done = begin;
}

// A region of OpenMP waits for all its workers, be it that one of them was put aside before it began: a time slice, on
// a busy machine. Once that has happened regions go to the crew, for longer every time.
class Lateness {
 public:
  bool is_now() const { return Clock::now().time_since_epoch().count() < until_.load(std::memory_order_relaxed); }

  void judge(Clock::duration waited, Clock::duration expected) {
    if (waited < kLate + expected) {
      penalty_.store(kLeastPenalty.count(), std::memory_order_relaxed);
      return;
    }
    const Clock::rep penalty = penalty_.load(std::memory_order_relaxed);
    until_.store(Clock::now().time_since_epoch().count() + penalty, std::memory_order_relaxed);
    penalty_.store(std::min(2 * penalty, kMostPenalty.count()), std::memory_order_relaxed);
  }

 private:
  static constexpr Clock::duration kLate = std::chrono::milliseconds(1), kLeastPenalty = std::chrono::milliseconds(20),
                                   kMostPenalty = std::chrono::seconds(2);
  std::atomic<Clock::rep> until_{0}, penalty_{kLeastPenalty.count()};
};
Lateness lateness;

}  // namespace

int get_num_threads() {
  int count = num_threads.load(std::memory_order_relaxed);
  if (count == 0) num_threads.store(count = cores_of_this_process(), std::memory_order_relaxed);
  return count;
}

void set_num_threads(int count) { num_threads.store(count, std::memory_order_relaxed); }

const char* last_pool() { return pool_name.load(std::memory_order_relaxed); }

void wait(const Worker& worker) {
  Barrier& barrier = *worker.barrier;
  if (barrier.size == 1) return;
  const int phase = barrier.phase.load(std::memory_order_relaxed);
  if (barrier.arrived.fetch_add(1, std::memory_order_acq_rel) == barrier.size - 1) {
    barrier.arrived.store(0, std::memory_order_relaxed);
    barrier.phase.store(phase + 1, std::memory_order_release);
    return;
  }
  for (int spin = 0; barrier.phase.load(std::memory_order_acquire) == phase; ++spin) pause(spin);
}

void run(int wanted, Body body, void* context) {
  static const int registered = pthread_atfork(nullptr, nullptr, [] {
    forked.store(true);
    own_pool.store(nullptr);  // the parent's; its workers are not here
  });
  (void)registered;
  if (wanted > 1 && !inside_region) {
    const OpenMp* openmp = forked.load(std::memory_order_relaxed) ? nullptr : find_openmp();
    if (openmp != nullptr) {
      pool_name.store("openmp", std::memory_order_relaxed);
      OpenMpCall call{.openmp = openmp, .body = body, .context = context};
      openmp->parallel(&enter_openmp, &call, static_cast<unsigned>(wanted), 0);
      return;
    }
    pool_name.store("own", std::memory_order_relaxed);
    if (get_own_pool().try_run(wanted, body, context)) return;
  }
  const bool outer = inside_region;
  Region region{body, context, Barrier(1)};
  work(region, 0);
  inside_region = outer;
}

void run_shares(int wanted, int shares, Body body, void* context) {
  Shares all{.body = body, .context = context, .count = shares};
  wanted = std::min(wanted, shares);
  const bool has_openmp = !forked.load(std::memory_order_relaxed) && find_openmp() != nullptr;
  if (wanted == 1 || (has_openmp && !inside_region && !lateness.is_now())) {
    run(wanted, &take_shares, &all);
    if (wanted > 1) lateness.judge(Clock::now() - all.done, all.longest);
    return;
  }
  pool_name.store("own", std::memory_order_relaxed);
  run_phases(wanted, {&all,
                      [](void* context) -> Phase {
                        Shares& all = *static_cast<Shares*>(context);
                        return {all.next.exchange(1) == 0 ? all.count : 0};
                      },
                      [](void* context, int64_t share, int) {
                        static_cast<const Shares*>(context)->run(static_cast<int>(share));
                      }});
}

}  // namespace rnnkit::threads
