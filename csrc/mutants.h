// Planted bugs for tests/mutants: `-DRNNKIT_MUTANT=n` switches bug n on; a release build compiles every one of them away.
#pragma once

#ifndef RNNKIT_MUTANT
#define RNNKIT_MUTANT 0
#endif

namespace rnnkit {
consteval bool mutant(int number) { return number == RNNKIT_MUTANT; }
}  // namespace rnnkit
