// Fills DecodeTable for one instruction set.
#include "decode/table.h"

#include "isa/isa.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {
extern const DecodeTable decode_table;
const DecodeTable decode_table{};
}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
