// One crew for the process. Its helpers watch the number of the phase; every phase divides its parts into shares, one
// for each worker, and a worker that is done with its own goes on with the others'.
#include "threads/crew.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <system_error>
#include <thread>

#include "threads/inside.h"

namespace rnnkit::threads {
namespace {

// Never destroyed: helpers may be asleep in it when the process ends, and one that was put aside may look into it long
// after the call it missed. It then finds another phase's number in every share, and nothing of the plan is read.
class Crew {
 public:
  bool try_run(int wanted, const Plan& plan) {
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock() || Clock::now() < alone_until_) return false;
    hire(wanted);
    plan_ = &plan;
    num_shares_.store(std::min(wanted, hired_ + 1), std::memory_order_relaxed);
    is_over_.store(false, std::memory_order_relaxed);
    open_next_phase();
    for (;;) {
      const uint32_t phase = phase_.load(std::memory_order_acquire);
      if (is_over_.load(std::memory_order_acquire)) break;
      if (!work(phase, 0) && !spin(phase)) wait_for_helper(phase);
    }
    if (num_shares_.load(std::memory_order_relaxed) > 1) penalty_ = kLeastPenalty;
    return true;
  }

 private:
  using Clock = std::chrono::steady_clock;
  // A helper that the system puts aside with a part in its hands costs a time slice. Once that has happened the machine
  // is busy: the caller goes on alone, for longer every time.
  static constexpr Clock::duration kLate = std::chrono::milliseconds(1), kLeastPenalty = std::chrono::milliseconds(10),
                                   kMostPenalty = std::chrono::seconds(1);

  // phase << 32 | parts taken << 16 | parts: taken whole or not at all, and only in its own phase.
  struct alignas(64) Share {
    std::atomic<uint64_t> word{0};
    int64_t begin = 0, end = 0;
  };

  void hire(int wanted) {
    for (; hired_ + 1 < wanted; ++hired_) {
      try {
        std::thread([this, worker = hired_ + 1] { serve(worker); }).detach();
      } catch (const std::system_error&) {
        return;  // no more threads to be had: fewer give the same bits
      }
    }
  }

  // Called by the one worker that has finished the phase before; no other is inside the plan.
  void open_next_phase() {
    const Phase next = plan_->next(plan_->context);
    const uint32_t phase = phase_.load(std::memory_order_relaxed) + 1;
    const int shares = num_shares_.load(std::memory_order_relaxed);
    phase_shares_.store(shares, std::memory_order_relaxed);
    backwards_ = next.backwards;
    open_.store(next.parts, std::memory_order_relaxed);
    for (int w = 0; w < shares; ++w) {
      Share& share = shares_[w];
      share.begin = next.parts * w / shares;
      share.end = next.parts * (w + 1) / shares;
      share.word.store(uint64_t{phase} << 32 | static_cast<uint64_t>(share.end - share.begin),
                       std::memory_order_relaxed);
    }
    if (next.parts == 0) is_over_.store(true, std::memory_order_release);
    phase_.store(phase, std::memory_order_release);
    phase_.notify_all();
  }

  // Does parts while there are any; true if this was the last of the phase, and the next one is open.
  bool work(uint32_t phase, int worker) {
    const int shares = phase_shares_.load(std::memory_order_relaxed);
    for (int i = 0; i < shares; ++i) {
      Share& share = shares_[(worker + i) % shares];
      for (int64_t taken; (taken = take(share, phase)) >= 0;) {
        plan_->part(plan_->context, backwards_ ? share.end - 1 - taken : share.begin + taken, worker);
        if (open_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
          open_next_phase();
          return true;
        }
      }
    }
    return false;
  }

  static int64_t take(Share& share, uint32_t phase) {
    uint64_t word = share.word.load(std::memory_order_acquire);
    while (word >> 32 == phase && (word >> 16 & 0xFFFF) < (word & 0xFFFF))
      if (share.word.compare_exchange_weak(word, word + (1 << 16), std::memory_order_acq_rel))
        return static_cast<int64_t>(word >> 16 & 0xFFFF);
    return -1;
  }

  // Whether another phase came while it was worth spinning for.
  bool spin(uint32_t phase) const {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (phase_.load(std::memory_order_relaxed) != phase) return true;
      relax();
    }
    return false;
  }

  // The caller has nothing left to take: no part is lost when the phases to come have one share.
  void wait_for_helper(uint32_t phase) {
    const Clock::time_point start = Clock::now();
    phase_.wait(phase, std::memory_order_acquire);
    const Clock::time_point end = Clock::now();
    if (end - start < kLate || num_shares_.load(std::memory_order_relaxed) == 1) return;
    num_shares_.store(1, std::memory_order_relaxed);
    alone_until_ = end + penalty_;
    penalty_ = std::min(2 * penalty_, kMostPenalty);
  }

  [[noreturn]] void serve(int worker) {
    const FlushDenormals flush;
    inside_region = true;
    for (;;) {
      const uint32_t phase = phase_.load(std::memory_order_acquire);
      const bool is_wanted = worker < phase_shares_.load(std::memory_order_relaxed);
      if ((!is_wanted || !work(phase, worker)) && !spin(phase)) phase_.wait(phase, std::memory_order_acquire);
    }
  }

  std::mutex mutex_;
  int hired_ = 0;
  const Plan* plan_ = nullptr;
  bool backwards_ = false;
  Clock::time_point alone_until_{};  // this and the next: of the caller who holds the mutex
  Clock::duration penalty_ = kLeastPenalty;
  std::atomic<int> num_shares_{1}, phase_shares_{1};  // that phases to come shall have; that this one has
  std::atomic<bool> is_over_{true};
  alignas(64) std::atomic<uint32_t> phase_{0};
  alignas(64) std::atomic<int64_t> open_{0};  // parts of the phase that are not done
  Share shares_[kMostWorkers];
};

std::atomic<Crew*> the_crew{nullptr};

// A child after fork has none of its parent's helpers: it makes a crew of its own.
Crew& crew() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { the_crew.store(nullptr); });
  (void)registered;
  Crew* found = the_crew.load(std::memory_order_acquire);
  if (found == nullptr) {
    Crew* made = new Crew;
    if (the_crew.compare_exchange_strong(found, made))
      found = made;
    else
      delete made;
  }
  return *found;
}

}  // namespace

void run_phases(int wanted, const Plan& plan) {
  const FlushDenormals flush;
  const bool outer = inside_region;
  inside_region = true;
  if (outer || most_workers(wanted) == 1 || !crew().try_run(most_workers(wanted), plan))
    for (Phase phase; (phase = plan.next(plan.context)).parts > 0;)
      for (int64_t i = 0; i < phase.parts; ++i) plan.part(plan.context, phase.backwards ? phase.parts - 1 - i : i, 0);
  inside_region = outer;
}

}  // namespace rnnkit::threads
