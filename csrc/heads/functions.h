// The functions behind HeadsTable, declared for one instruction set; what they take and write is said in heads/table.h.
#pragma once

#include "heads/table.h"
#include "isa/isa.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

PackedLinearSize packed_linear_size(int64_t inputs, int64_t outputs);
void pack_linear(const float* weight, const float* bias, const PackedLinear& packed);
void linear(const PackedLinear& packed, const float* x, int64_t rows, float* y);
void linear_gradient(const LinearGradient& call);
void log_softmax(const float* logits, int64_t rows, int64_t columns, float* out);
void linear_cross_entropy(const LinearCrossEntropy& call);

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
