// Fills HeadsTable for one instruction set.
#include "heads/table.h"

#include "heads/functions.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {
extern const HeadsTable heads_table;
const HeadsTable heads_table{&packed_linear_size, &pack_linear, &linear,
                             &linear_gradient,    &log_softmax, &linear_cross_entropy};
}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
