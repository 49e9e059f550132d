// The head functions of one instruction set: what stands between a hidden vector and a loss or a distribution.
//
// All matrices are by rows without gaps, in float32. Nothing may alias. Every element of every result is written.
#pragma once

#include <stdint.h>

namespace rnnkit {

// A weight [outputs, inputs] and its bias in the layout that linear() reads; made once, read by any number of calls.
struct PackedLinear {
  int64_t inputs, outputs;
  float* weight;  // packed_linear_size().weight elements at a 64-byte boundary
  float* bias;    // packed_linear_size().bias elements, or null
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

struct LinearCrossEntropy {
  const float* x;            // [rows, inputs]
  const float* weight;       // [outputs, inputs]
  const float* bias;         // [outputs] or null
  const int64_t* targets;    // [rows], each in [0, outputs) where the row counts
  const float* row_weights;  // [rows]; null: all 1. A row of weight 0 is not read.
  int64_t rows, inputs, outputs;
  float* losses;   // [rows]
  float* dx;       // [rows, inputs]; null: losses only, and the next two are not used
  float* dweight;  // [outputs, inputs]
  float* dbias;    // [outputs] or null
};

struct HeadsTable {
  PackedLinearSize (*packed_linear_size)(int64_t inputs, int64_t outputs);
  void (*pack_linear)(const float* weight, const float* bias, const PackedLinear& packed);
  void (*linear)(const PackedLinear& packed, const float* x, int64_t rows, float* y);
  void (*linear_gradient)(const LinearGradient& call);
  void (*log_softmax)(const float* logits, int64_t rows, int64_t columns, float* out);
  void (*linear_cross_entropy)(const LinearCrossEntropy& call);
};

}  // namespace rnnkit
