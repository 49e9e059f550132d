// The functions behind HeadsTable, declared for one instruction set; what they take and write is said in heads/table.h.
#pragma once

#include "heads/table.h"
#include "isa/isa.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

template <class T>
PackedLinearSize packed_linear_size(int64_t inputs, int64_t outputs);
template <class T>
void pack_linear(const float* weight, const float* bias, const PackedLinear<T>& packed);
template <class T>
void linear(const PackedLinear<T>& packed, const float* x, int64_t rows, float* y);
template <class T>
void linear_part(const PackedLinear<T>& packed, const float* x, int64_t rows, float* y, int64_t part, int64_t parts);
template <class T>
void convolution(const PackedLinear<T>& packed, const Images& images, const float* x, float* y);
template <class T>
void linear_gradient(const LinearGradient& call);
template <class T>
void convolution_gradient(const ConvolutionGradient& call);
template <class T>
void linear_cross_entropy(const LinearCrossEntropy& call);
void log_softmax(const float* logits, int64_t rows, int64_t columns, float* out);
void attention(const Attention& call);
void attention_gradient(const AttentionGradient& call);

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
