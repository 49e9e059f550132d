// The rules of code that is compiled once per instruction set: every `*.isa.cc` and the headers it includes start from
// here.
//
// The same source is compiled with different flags into different namespaces (CMake defines RNNKIT_ISA_NAMESPACE and
// one of RNNKIT_ISA_AVX512, RNNKIT_ISA_AVX2, RNNKIT_ISA_PORTABLE), so that the linker can never take a function
// compiled for AVX-512 to serve everyone. Hence, in these files:
//   - everything lives in `namespace rnnkit::RNNKIT_ISA_NAMESPACE`;
//   - no header of the standard library that brings inline functions (<vector>, <algorithm>, <cmath> ...): only the C
//   headers;
//   - memory, threads and errors are reached through functions that are compiled once (memory.h, threads/team.h).
// tests/mutants/test_native_mutants.py reads the symbols of such a build and fails on any that escaped.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "mutants.h"

#define RNNKIT_INLINE inline __attribute__((always_inline))

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

template <class S>
RNNKIT_INLINE S smaller(S a, S b) {
  return b < a ? b : a;
}
template <class S>
RNNKIT_INLINE S larger(S a, S b) {
  return a < b ? b : a;
}
RNNKIT_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The part of `total` that belongs to `worker` of `size`: [begin, end), equal to within one.
struct Range {
  int64_t begin, end;
};
RNNKIT_INLINE Range share(int64_t total, int worker, int size) {
  return {total * worker / size, total * (worker + 1) / size};
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
