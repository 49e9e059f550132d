// What this machine can do at best, as JSON: arithmetic per core, and reads per core by working set.
//
// Every figure is one thread's CPU time at its best of several, while as many threads as asked for do the same: other
// work on the machine takes time away from a thread, but not from its rate. The loops clobber vector registers: noipa.
// Usage: machine THREADS
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>
#include <vector>

#if defined(__linux__) && defined(__AMX_BF16__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

double cpu_time() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

#define FOUR(op, a, b, c, d) op(a) op(b) op(c) op(d)
#define TWELVE(op) FOUR(op, 0, 1, 2, 3) FOUR(op, 4, 5, 6, 7) FOUR(op, 8, 9, 10, 11)
#define TWENTY_FOUR(op) TWELVE(op) FOUR(op, 12, 13, 14, 15) FOUR(op, 16, 17, 18, 19) FOUR(op, 20, 21, 22, 23)
#define LOOP(body) asm volatile("1:\n" body "dec %0\n jnz 1b" : "+r"(count) : : "memory", "cc")

constexpr double kNone = 0;  // this machine, or this compiler, has no such instruction

#if defined(__AVX512F__)
#define FMA(i) "vfmadd231ps %%zmm30, %%zmm31, %%zmm" #i "\n"
constexpr double kFmaFlop = 24 * 32;
[[gnu::noipa]] void fma(long count) { LOOP(TWENTY_FOUR(FMA)); }
#elif defined(__FMA__)
#define FMA(i) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #i "\n"
constexpr double kFmaFlop = 12 * 16;
[[gnu::noipa]] void fma(long count) { LOOP(TWELVE(FMA)); }
#else
constexpr double kFmaFlop = kNone;
void fma(long) {}
#endif

#if defined(__AVX512BF16__)
#define DOT(i) "vdpbf16ps %%zmm30, %%zmm31, %%zmm" #i "\n"
constexpr double kDotFlop = 24 * 64;
[[gnu::noipa]] void dot(long count) { LOOP(TWENTY_FOUR(DOT)); }
#else
constexpr double kDotFlop = kNone;
void dot(long) {}
#endif

#if defined(__linux__) && defined(__AMX_BF16__)
#define TILE(i) "tdpbf16ps %%tmm6, %%tmm7, %%tmm" #i "\n"
constexpr double kTileFlop = 4 * 16 * 16 * 64;
[[gnu::noipa]] void tile(long count) { LOOP(FOUR(TILE, 0, 1, 2, 3)); }
bool has_tiles() { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }
void configure_tiles() {
  alignas(64) unsigned char shape[64] = {1};
  for (int i = 0; i < 8; ++i) {
    shape[16 + 2 * i] = 64;  // bytes of a row
    shape[48 + i] = 16;      // rows
  }
  asm volatile("ldtilecfg %0\n tilezero %%tmm6\n tilezero %%tmm7" : : "m"(shape));
}
#else
constexpr double kTileFlop = kNone;
void tile(long) {}
bool has_tiles() { return false; }
void configure_tiles() {}
#endif

#if defined(__AVX512F__)
#define READ(i) "vaddps " #i "*64(%0), %%zmm" #i ", %%zmm" #i "\n"
[[gnu::noipa]] void read_all(const char* at, const char* end) {
  asm volatile("1:\n" FOUR(READ, 0, 1, 2, 3) FOUR(READ, 4, 5, 6, 7) "add $512, %0\n cmp %1, %0\n jb 1b"
               : "+r"(at)
               : "r"(end)
               : "memory", "cc");
}
#else
[[gnu::noipa]] void read_all(const char* at, const char* end) {
  long sum[8] = {};
  for (; at < end; at += 64)
    for (int i = 0; i < 8; ++i) sum[i] += reinterpret_cast<const long*>(at)[i];
  asm volatile("" : : "m"(sum));
}
#endif

// Units per second of work(count), `unit` of them a count: the best of several, in each of the threads; their mean.
template <class Prepare, class Work>
double rate(int threads, double unit, long count, Prepare prepare, Work work) {
  std::vector<double> best(threads, 0);
  std::vector<std::thread> team;
  for (int i = 0; i < threads; ++i)
    team.emplace_back([&, i] {
      auto* const own = prepare();
      for (int repeat = 0; repeat < 12; ++repeat) {
        const double start = cpu_time();
        work(own, count);
        best[i] = std::max(best[i], unit * static_cast<double>(count) / (cpu_time() - start));
      }
      std::free(own);
    });
  for (std::thread& thread : team) thread.join();
  double sum = 0;
  for (double each : best) sum += each;
  return sum / threads;
}

double arithmetic(int threads, double flop, long count, void (*work)(long)) {
  if (flop == kNone) return 0;
  return 1e-9 * rate(threads, flop, count, [] { return static_cast<char*>(nullptr); },
                     [work](char*, long n) { work(n); });
}

double read_rate(int threads, long bytes) {
  const auto prepare = [bytes] {
    auto* block = static_cast<char*>(std::aligned_alloc(4096, bytes));
    std::memset(block, 0, bytes);
    return block;
  };
  const auto work = [bytes](char* block, long times) {
    for (long i = 0; i < times; ++i) read_all(block, block + bytes);
  };
  return 1e-9 * rate(threads, static_cast<double>(bytes), std::max(1L, (32L << 20) / bytes), prepare, work);
}

}  // namespace

int main(int, char** arguments) {
  const int threads = std::max(1, std::atoi(arguments[1]));
  std::printf("{\"fp32_gflops\": %.0f, \"bf16_gflops\": %.0f, ", arithmetic(threads, kFmaFlop, 1000000, fma),
              arithmetic(threads, kDotFlop, 1000000, dot));
  double tiles = 0;
  if (has_tiles())
    tiles = 1e-9 * rate(threads, kTileFlop, 300000,
                        [] {
                          configure_tiles();
                          return static_cast<char*>(nullptr);
                        },
                        [](char*, long n) { tile(n); });
  std::printf("\"amx_gflops\": %.0f, \"read_gb_per_s\": {", tiles);
  const long sizes[] = {32, 128, 512, 1024, 2048, 4096, 8192, 32768, 131072};
  for (const long& kb : sizes) std::printf("%s\"%ld\": %.0f", &kb == sizes ? "" : ", ", kb, read_rate(threads, kb << 10));
  std::printf("}}\n");
}
