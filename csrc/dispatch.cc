// One library, several instruction sets: the choice is made once, when the module is loaded.
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "isa/table.h"
#include "memory.h"
#include "mutants.h"

namespace rnnkit {

#ifdef RNNKIT_MUTANTS
int planted_bug = 0;
#endif

#if defined(RNNKIT_HAS_AMX)
namespace amx {
extern const Table isa_table;
}
#endif
#if defined(RNNKIT_HAS_AVX512BF16)
namespace avx512bf16 {
extern const Table isa_table;
}
#endif
#if defined(RNNKIT_HAS_AVX512)
namespace avx512 {
extern const Table isa_table;
}
#endif
#if defined(RNNKIT_HAS_AVX2)
namespace avx2 {
extern const Table isa_table;
}
#endif
namespace portable {
extern const Table isa_table;
}

namespace {

// The system gives a process tile registers only when asked, and may refuse.
bool has_tiles() {
#if defined(RNNKIT_EMULATE_TILES)
  return true;
#elif defined(__x86_64__) && defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

// __builtin_cpu_supports asks cpuid and XCR0: a processor whose operating system does not save the registers says no.
bool is_supported(const char* isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (std::strcmp(isa, "amx") == 0) return is_supported("avx512bf16") && has_tiles();
  if (std::strcmp(isa, "avx512bf16") == 0)
    return is_supported("avx512") && __builtin_cpu_supports("avx512bf16") &&
           __builtin_cpu_supports("avx512vnni");  // every processor with the first has the second
  if (std::strcmp(isa, "avx512") == 0)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx2") &&
           __builtin_cpu_supports("fma");
  if (std::strcmp(isa, "avx2") == 0) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return std::strcmp(isa, "portable") == 0;
}

// Whether products of pairs come out right: asked of tiles, which the authors had no machine to try on. Whole numbers,
// so that every order of the additions gives one result; sizes that leave ends on every side.
bool multiplies(const Table& candidate) {
  constexpr int64_t kRows = 19, kInputs = 45, kOutputs = 37;
  std::vector<float> x(kRows * kInputs), weight(kOutputs * kInputs), y(kRows * kOutputs);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 7 % 23) - 11;
  for (size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<float>(i * 5 % 19) - 9;
  const auto& heads = candidate.heads.bf16;
  const std::unique_ptr<Pair, void (*)(Pair*)> packed(
      memory::acquire<Pair>(heads.packed_size(kInputs, kOutputs).weight), [](Pair* room) { memory::release(room); });
  const PackedLinear<Pair> linear{kInputs, kOutputs, packed.get(), nullptr};
  heads.pack(weight.data(), nullptr, linear);
  heads.linear_part(linear, x.data(), kRows, y.data(), 0, 1);
  for (int64_t r = 0; r < kRows; ++r)
    for (int64_t o = 0; o < kOutputs; ++o) {
      float sum = 0;
      for (int64_t i = 0; i < kInputs; ++i) sum += x[r * kInputs + i] * weight[o * kInputs + i];
      if (y[r * kOutputs + o] != sum) return false;
    }
  return true;
}

const Table* const kBuilt[] = {
#if defined(RNNKIT_HAS_AMX)
    &amx::isa_table,
#endif
#if defined(RNNKIT_HAS_AVX512BF16)
    &avx512bf16::isa_table,
#endif
#if defined(RNNKIT_HAS_AVX512)
    &avx512::isa_table,
#endif
#if defined(RNNKIT_HAS_AVX2)
    &avx2::isa_table,
#endif
    &portable::isa_table,
};

const Table* chosen = &portable::isa_table;

}  // namespace

const Table& table() { return *chosen; }

const char* choose_table() {
  static std::string problem;
  const char* forced = std::getenv("RNNKIT_ISA");
  const bool is_forced = forced != nullptr && *forced != '\0';
  std::string names;
  for (const Table* candidate : kBuilt) {
    names += std::string(names.empty() ? "" : ", ") + candidate->isa;
    if (is_forced ? std::strcmp(candidate->isa, forced) == 0 : is_supported(candidate->isa)) {
      const bool is_right =
          is_supported(candidate->isa) && (std::strcmp(candidate->isa, "amx") != 0 || multiplies(*candidate));
      if (!is_right && !is_forced) continue;
      if (!is_right) {
        problem = std::string("RNNKIT_ISA is ") + forced + ", which this processor does not support" +
                  (is_supported(candidate->isa) ? ": its products are wrong" : "") + "; unset it to choose the best";
        return problem.c_str();
      }
      chosen = candidate;
      return nullptr;
    }
  }
  problem = std::string("RNNKIT_ISA is '") + forced + "', this build has " + names + "; unset it to choose the best";
  return problem.c_str();
}

}  // namespace rnnkit
