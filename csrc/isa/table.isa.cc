// Gathers one instruction set's tables.
#include "isa/table.h"

#include "isa/isa.h"
#include "simd/math.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

namespace {

void apply(const char* function, const float* in, float* out, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t lanes = smaller(kLanes, count - i);
    const F x = F::load_n(in + i, lanes);
    const F y = function[0] == 'e' ? exp(x) : function[0] == 'l' ? log(x) : function[0] == 's' ? sigmoid(x) : tanh(x);
    y.store_n(out + i, lanes);
  }
}

const MathTable math_table{&apply};

}  // namespace

extern const RecurrentTable<float> recurrent_table;
extern const RecurrentTable<float, Pair> recurrent_bf16_table;
#if defined(RNNKIT_ISA_AMX)
extern const RecurrentTable<float, Triple> recurrent_split_table;
#define RNNKIT_RECURRENT_SPLIT &recurrent_split_table
#else
#define RNNKIT_RECURRENT_SPLIT nullptr
#endif
extern const RecurrentTable<float, Quad> recurrent_int8_table;
#if defined(RNNKIT_ISA_PORTABLE)
extern const RecurrentTable<double> recurrent_double_table;
#define RNNKIT_RECURRENT_DOUBLE &recurrent_double_table
#else
#define RNNKIT_RECURRENT_DOUBLE nullptr
#endif
extern const HeadsTable heads_table;
extern const DecodeTable decode_table;

extern const Table isa_table;
#define RNNKIT_STRING(name) #name
#define RNNKIT_NAME(name) RNNKIT_STRING(name)
const Table isa_table{RNNKIT_NAME(RNNKIT_ISA_NAMESPACE),
                      math_table,
                      recurrent_table,
                      recurrent_bf16_table,
                      RNNKIT_RECURRENT_SPLIT,
                      recurrent_int8_table,
                      RNNKIT_RECURRENT_DOUBLE,
                      heads_table,
                      decode_table};

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
