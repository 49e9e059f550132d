// Fills HeadsTable for one instruction set.
#include "heads/table.h"

#include "isa/isa.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {
extern const HeadsTable heads_table;
const HeadsTable heads_table{};
}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
