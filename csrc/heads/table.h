// The head functions of one instruction set: what stands between a hidden vector and a loss or a distribution.
//
// All matrices are by rows without gaps, in float32. Nothing may alias. Every element of every result is written.
#pragma once

#include <stdint.h>

#include "gemm/layout.h"

namespace rnnkit {

// A weight [outputs, inputs] and its bias in the layout that linear() reads; made once, read by any number of calls.
template <class T>
struct PackedLinear {
  int64_t inputs, outputs;
  T* weight;    // packed_size().weight operands at a 64-byte boundary
  float* bias;  // packed_size().bias elements, or null
};
struct PackedLinearSize {
  int64_t weight, bias;
};

struct LinearGradient {
  const float* x;       // [rows, inputs]
  const float* weight;  // [outputs, inputs]
  const float* dy;      // [rows, outputs]
  int64_t rows, inputs, outputs;
  float* dx;       // [rows, inputs] or null
  float* dweight;  // [outputs, inputs]
  float* dbias;    // [outputs] or null
};

// Images side by side, channels innermost, and how a square window of `kernel` walks over them: from `padding` zeros
// before the first row and column, by `stride`, as long as it ends within `padding` zeros behind the last.
struct Images {
  int64_t count, height, width, channels;
  int64_t kernel, stride, padding;
  int64_t rows() const { return (height + 2 * padding - kernel) / stride + 1; }
  int64_t columns() const { return (width + 2 * padding - kernel) / stride + 1; }
  int64_t patch() const { return kernel * kernel * channels; }
  int64_t image_size() const { return height * width * channels; }
};

struct ConvolutionGradient {
  Images images;
  const float* x;       // [count, height, width, channels]
  const float* weight;  // [outputs, kernel, kernel, channels]
  const float* dy;      // [count, rows, columns, outputs]
  int64_t outputs;
  float* dx;       // as x, or null
  float* dweight;  // as weight
  float* dbias;    // [outputs] or null
};

struct LinearCrossEntropy {
  const float* x;            // [rows, inputs]
  const float* weight;       // [outputs, inputs]
  const float* bias;         // [outputs] or null
  const int64_t* targets;    // [rows], each in [0, outputs) where the row counts
  const float* row_weights;  // [rows]; null: all 1. A row of weight 0 is not read.
  int64_t rows, inputs, outputs;
  float smoothing;  // in [0, 1): the share of a target that all outputs have alike
  float* losses;    // [rows]
  float* dx;        // [rows, inputs]; null: losses only, and the next two are not used
  float* dweight;   // [outputs, inputs]
  float* dbias;     // [outputs] or null
};

// Queries at each of `steps`, in rows that have `places` keys and values each, of which the first lengths[row] count.
struct AttentionInputs {
  const float* queries;    // [steps, rows, width]
  const float* keys;       // [rows, places, width]; this and the next may be the same
  const float* values;     // [rows, places, value_width]
  const float* score;      // [width]: v of v tanh(q + k); null: q k
  const int64_t* lengths;  // [rows], each in [0, places]
  int64_t steps, rows, places, width, value_width;
};

struct Attention {
  AttentionInputs in;
  float* context;  // [steps, rows, value_width]; 0 in a row of length 0
  float* weights;  // [steps, rows, places]; 0 behind the length
};

struct AttentionGradient {
  AttentionInputs in;
  const float* weights;    // as attention() wrote them
  const float* dcontext;   // as context
  const float* dweights;   // as weights, or null
  float* dqueries;         // as queries, or null
  float *dkeys, *dvalues;  // as keys and values, 0 behind the length; or both null
  float* dscore;           // as score, null without one
};

// T: the operands of the products (gemm/layout.h); what they multiply is rounded to them, all else stays float32.
template <class T>
struct ProductHeads {
  PackedLinearSize (*packed_size)(int64_t inputs, int64_t outputs);
  void (*pack)(const float* weight, const float* bias, const PackedLinear<T>& packed);
  void (*linear)(const PackedLinear<T>& packed, const float* x, int64_t rows, float* y);
  // One of `parts` about equal shares of the columns of y, in the calling thread.
  void (*linear_part)(const PackedLinear<T>& packed, const float* x, int64_t rows, float* y, int64_t part,
                      int64_t parts);
  // y [count, rows, columns, outputs] of x [count, height, width, channels]; packed: of [outputs, patch].
  void (*convolution)(const PackedLinear<T>& packed, const Images& images, const float* x, float* y);
  void (*linear_gradient)(const LinearGradient& call);  // this and the next two: null where T has no gradients
  void (*convolution_gradient)(const ConvolutionGradient& call);
  void (*linear_cross_entropy)(const LinearCrossEntropy& call);
};

struct HeadsTable {
  ProductHeads<float> fp32;
  ProductHeads<Pair> bf16;
  ProductHeads<Quad> int8;
  const ProductHeads<Triple>* fp32_split;  // where there are tiles; else fp32 does it
  void (*log_softmax)(const float* logits, int64_t rows, int64_t columns, float* out);
  void (*attention)(const Attention& call);
  void (*attention_gradient)(const AttentionGradient& call);
};

}  // namespace rnnkit
