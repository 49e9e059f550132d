// What a thread does while it works for a kernel, and how it waits for others: for the files of this folder.
#pragma once

#include <sched.h>

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rnnkit::threads {

inline void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A barrier must not burn the core that the one it waits for needs: some microseconds of spinning, then the core is
// offered.
inline constexpr int kSpins = 1000;

inline void pause(int spin) {
  if (spin < kSpins)
    relax();
  else
    sched_yield();
}

// Denormals are zero inside a region: gradients that fade away would otherwise cost up to thirty times the time.
class FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#elif defined(__aarch64__)
  FlushDenormals() {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" ::"r"(saved_ | (uint64_t{1} << 24)));
  }
  ~FlushDenormals() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }

 private:
  uint64_t saved_;
#endif
};

// Whether this thread works for a kernel now: what it calls meanwhile stays on it.
inline constinit thread_local bool inside_region = false;

}  // namespace rnnkit::threads
