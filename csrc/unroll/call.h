// One call of a layer as the time loops see it: prepared by layer.cc, run by forward.isa.cc and backward.isa.cc.
//
// Rows run in their own step count s = 0, 1, ... : row r reads time s, or length - 1 - s when reversed. Rows are sorted
// by length, longest first, so that the rows still running at step s are 0 .. count(s) - 1; the steps of all rows
// together, step by step, are the `compact` rows 0 .. num_rows - 1, and there is no padding among them.
#pragma once

#include <stdint.h>

#include "cells/info.h"
#include "gemm/layout.h"

namespace rnnkit {

struct Steps {
  int64_t batch, num_steps;  // num_steps: of the longest row
  const int64_t* offset;     // [num_steps + 1] first compact row of each step
  const int64_t* position;   // [num_rows] row of [T*B, .] where its input and output lie
  const int64_t* before;     // [num_rows] row of `hidden` that holds the h before it
  int64_t count(int64_t s) const { return offset[s + 1] - offset[s]; }
  int64_t num_rows() const { return offset[num_steps]; }
};

// Where the values of layer normalisation lie in a row of gates, behind the slots (unroll/norm.h).
struct NormedRow {
  int64_t products[3];  // W x, then the recurrent ones: as multiplied, [block][slot of the product][16]
  int64_t squashed;     // [padded H] tanh of the normalised memory; before, the memory itself
  int64_t d_shown;      // [padded H] gradient of the normalised memory
  int64_t moments;      // of every product and of the memory: mean, 1/√(variance + ε), and backward's two
  int64_t size;
};
__attribute__((always_inline)) constexpr NormedRow normed_row(const CellInfo& cell, int64_t blocks) {
  const int64_t padded = blocks * 16, memory = cell.num_parts > 1 ? padded : 0;
  const int64_t first = padded * cell.num_slots, second = first + padded * cell.num_gates;
  const int64_t third = second + padded * (cell.num_products > 0 ? cell.products[0].num_slots : 0);
  const int64_t end = third + padded * (cell.num_products > 1 ? cell.products[1].num_slots : 0);
  return {{first, second, third}, end, end + memory, end + 2 * memory, end + 2 * memory + 16};
}
inline constexpr int kMemoryMoments = 12;  // behind those of three products

// Gains in the order of the values in a row; all null: no layer normalisation.
template <class S>
struct Norms {
  const S* products[3];
  const S *memory, *memory_bias;  // [padded H]
  bool is_on() const { return products[0] != nullptr; }
};

// A layer's weights in the forms the loops want, packed as operands T. Bias vectors are in the order of the vectors of
// their product.
template <class S, class T>
struct Weights {
  const CellInfo* cell;
  int64_t input_size, hidden_size, blocks;  // blocks of 16 units
  int64_t output_size, output_blocks;       // of h: P of a projected cell, else those of the units
  int64_t row;                              // values in a row of gates
  const Place* input_places;                // [blocks * num_gates]
  const Place* recurrent_places[2];         // [blocks * num_slots of the product]
  Packed<T> input;                          // W_ih, for dense input
  const S* input_table;                     // W_ih as [input_size][vectors][16], for one-hot input; never rounded
  const S* input_bias;                      // [vectors][16]
  const S* late_bias;                       // [blocks][slots beyond the gates][16]
  const S* peepholes;                       // [blocks][num_peepholes][16]
  Norms<S> norms;
  Packed<T> recurrent[2];          // W_hh
  const Place* projection_places;  // [output_blocks], of projected cells
  Packed<T> projection;            // W_hr
  Packed<T> projection_back;       // for the gradient of what W_hr multiplies
  Packed<T> input_back;            // for dx
  Packed<T> recurrent_back[2];     // for dh
};

// What happens around a cell's equations, the same for every cell (unroll/around.h); all empty: nothing.
template <class S>
struct Options {
  // Zoneout (Krueger et al. 2017): part <- z∘old + (1 − z)∘new, where z is a mask of 0 and 1, or one number.
  struct Zoneout {
    const uint8_t* mask;  // [T*B, H or P] or null
    S share;              // z without a mask
    bool is_on() const { return mask != nullptr || share != 0; }
  };
  Zoneout zoneout[2];
  S* new_memory;  // [num_rows, padded H] with a tape and a zoneout of the memory: what the cell itself gave

  // What multiplies the h that enters the recurrent products (Gal and Ghahramani 2016), and `hidden` times it.
  const S* hidden_mask;  // [B, padded H] of the sorted rows, or null
  S* masked_hidden;      // [B + T*B, H or P]

  // [T*B, H] for each of the first num_gates slots, and for the memory; only rows within the lengths are written.
  S* trace[5];

  bool is_any() const { return zoneout[0].is_on() || zoneout[1].is_on() || hidden_mask != nullptr || trace[0]; }
};

// How many operands a forward call has room for (ForwardCall below). inputs: 0 for one-hot input.
template <class T>
struct OperandRoom {
  __attribute__((always_inline)) OperandRoom(int64_t batch, int64_t workers, int64_t input_rows, int64_t padded,
                                             int64_t inputs, bool has_reset_hidden) {
    if (kPerOperand<T> == 1) return;
    input = inputs == 0 ? 0 : input_rows * operand_row<T>(inputs);
    hidden = (kIsScaled<T> ? workers : 2) * batch * operand_row<T>(padded);
    reset_hidden = has_reset_hidden && !kIsScaled<T> ? batch * operand_row<T>(padded) : 0;
  }
  int64_t hidden = 0, reset_hidden = 0, input = 0;
};

enum class Split {
  rows,
  units
};  // what the workers share: batch rows (no barriers) or units (one barrier per product)

// Where T is not S, what a product multiplies is rounded once, when it is made: the inputs of a chunk, and sixteen
// units of h, r∘h or gate gradients together with the equations that give them. Those of one step are read while those
// of the next are written: they live in two halves.
// Quads are made by every worker for itself, whole rows of h or r∘h at a time.
//
// Where a cell is projected, h is P wide, and rows of "padded H" that hold it or its gradient begin with it. What its
// equations give, m [H], stands where other cells keep r∘h: `reset_hidden` is what the products inside a step multiply.
template <class S, class T>
struct ForwardCall {
  const Weights<S, T>* weights;
  Steps steps;
  Split split;
  int workers, shares;  // of rows: who comes first takes the next share; of units: one for each worker
  const S* x;           // [T*B, I]; null for one-hot input
  const int64_t* ids;   // [T*B]; null for dense input
  S* hidden;            // [B + T*B, H or P]: h0, then the output
  S* memory;  // [B + num_rows, padded H] with a tape, [B, padded H] without; its first B rows hold the initial memory
  S* reset_hidden;  // [num_rows or B, padded H] for cells that need it
  S* gates;         // all rows of the steps that run with has_gates, [shares, chunk_rows, row] without
  bool has_tape, has_gates;
  int64_t chunk_rows;  // steps whose input is projected together hold at most so many rows
  int64_t* lists;      // [shares, 2, chunk_rows]
  T* x_operands;       // [shares, chunk_rows, operand_row(I)]; here and below: null where T is S
  T* h_operands;       // [2, B, stored(padded H)] of the sorted rows; quads [shares, B, operand_row(padded H)]
  T* reset_operands;   // [B, stored(padded H)]; no quads
  Options<S> options;
  int64_t turn;  // counts the layer's calls: single steps, too, go through the weights to and fro
};

// Operands in a row of gate gradients as the first `num_products` recurrent products take it: their slots only.
template <class T>
__attribute__((always_inline)) constexpr int64_t gate_operands(const CellInfo& cell, int64_t blocks, int num_products) {
  int64_t total = 0;
  for (int p = 0; p < num_products; ++p) total += stored<T>(blocks * cell.products[p].num_slots * 16);
  return total;
}

template <class S, class T>
struct BackwardCall {
  const Weights<S, T>* weights;
  Steps steps;
  Split split;
  int workers, shares;
  bool is_alone;  // one share has all the rows; all workers have part in dx behind it; not with `again`
  const S* x;
  const int64_t* ids;
  const int64_t* sorted;  // one-hot: the compact rows, sorted by id within each block of kGradientBlock
  const S* hidden;
  const S* memory;
  const S* reset_hidden;
  Options<S> options;
  S* gates;  // [num_rows, row] activations in, gradients out; with `again`: [window_rows, row] of scratch
  // Null, or how to run steps again, window by window from the last one, because their gates were not kept.
  const ForwardCall<S, T>* again;
  int64_t window_rows;  // at least the batch and one block of a weight gradient
  const S* d_output;    // [T*B, H or P] or null
  S* dh;                // [B, padded H] of the sorted rows: gradient of the final h in, of h0 out
  S* d_memory;          // likewise
  S* d_reset_hidden;    // [B, padded H] for cells that need it
  S* d_projected;       // [num_rows, padded P] of scratch for projected cells: gradients of h, all of them
  S* d_masked;          // [B, padded H] of scratch with a hidden mask
  S* dx;                // [T*B, I] or null; only rows within the lengths are written
  S* d_weight_ih;       // [G*H, I]
  S* d_weight_hh;       // [G*H, H or P]
  S* d_weight_hr;       // [P, H]
  S* d_bias_ih;         // [G*H] or null
  S* d_bias_hh;         // [G*H] or null
  S* d_peephole;        // [num_peepholes*H]
  S* d_norm_ih;         // [G*H]; this and the next three with layer normalisation only
  S* d_norm_hh;         // [G*H]
  S* d_norm_c;          // [H]
  S* d_norm_bias_c;     // [H] or null
  S* d_table;           // one-hot: [I][vectors][16] of scratch
  int64_t chunk_rows;
  int64_t* lists;           // [shares or workers, 2, chunk_rows]
  Left<T>* gate_operands;   // with rounding or norms: [2, B, gate_operands(all products)] of the sorted rows
  T* projected_operands;    // [B, stored(padded P)] of the sorted rows
  Left<T>* chunk_operands;  // [shares or workers, chunk_rows, stored(blocks * num_gates * 16)]
  T* scratch;               // [workers, scratch_size]
  int64_t scratch_size;
};

}  // namespace rnnkit
