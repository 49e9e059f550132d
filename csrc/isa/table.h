// What one instruction set offers: plain tables of function pointers, filled in table.isa.cc, chosen once in
// dispatch.cc.
//
// To add a function: declare its pointer in the table of its folder (heads/table.h, decode/table.h, unroll/table.h);
// define it in a `*.isa.cc` of that folder inside `namespace rnnkit::RNNKIT_ISA_NAMESPACE` (rules in isa/isa.h); name
// it in that folder's table.isa.cc. CMake compiles every csrc/*/*.isa.cc once per instruction set and every other
// csrc/*/*.cc once. Call it from csrc/binding as `table().heads.name(...)`. Pointers, sizes and plain structs only:
// nothing that has inline code.
#pragma once

#include "decode/table.h"
#include "heads/table.h"
#include "unroll/table.h"

namespace rnnkit {

struct Table {
  const char* isa;
  const MathTable& math;
  const RecurrentTable<float>& recurrent;
  const RecurrentTable<float, Pair>& recurrent_bf16;
  const RecurrentTable<float, Triple>* recurrent_split;  // where there are tiles; else fp32 does it
  const RecurrentTable<float, Quad>& recurrent_int8;
  const RecurrentTable<double>* recurrent_double;  // portable only
  const HeadsTable& heads;
  const DecodeTable& decode;
};

// The table in use: portable until choose_table() has chosen.
const Table& table();

// Chooses by what the processor and the operating system support, or by RNNKIT_ISA. Returns null, or why it cannot.
const char* choose_table();

}  // namespace rnnkit
