// The weights of a layer, packed for its products: once for all calls, and for backward at the first one.
#pragma once

#include <array>
#include <mutex>
#include <vector>

#include "memory.h"
#include "unroll/table.h"

namespace rnnkit {

// T: the operands of its products; everything else is computed and kept in S.
template <class S, class T = S>
class PackedLayer {
 public:
  struct Arguments {
    int64_t input_size, hidden_size;
    int64_t output_size;       // of h: P of projected cells, else H
    const S* weight_ih;        // [G*H, I]; all of them stay valid and unchanged as long as the layer
    const S* weight_hh;        // [G*H, H or P], for cells that multiply their state
    const S* bias_ih;          // [G*H] or null
    const S* bias_hh;          // [G*H] or null
    const S* weight_peephole;  // [num_peepholes*H]
    const S* weight_hr;        // [P, H], for projected cells
    const S* weight_norm_ih;   // [G*H]; null: no layer normalisation. With it, and where the cell has what they act on:
    const S* weight_norm_hh;   // [G*H]
    const S* weight_norm_c;    // [H]
    const S* bias_norm_c;      // [H] or null
  };

  PackedLayer(const RecurrentTable<S, T>& table, const CellInfo& cell, const Arguments& arguments);

  const CellInfo& info() const { return *weights_.cell; }
  const Arguments& arguments() const { return arguments_; }
  const Weights<S, T>& weights() const { return weights_; }
  // The same with what forward multiplies, or backward too; any thread may ask.
  const Weights<S, T>& for_forward(bool one_hot);
  const Weights<S, T>& for_backward(bool need_dx);

 private:
  int64_t input_size() const { return arguments_.input_size; }
  int64_t hidden_size() const { return arguments_.hidden_size; }
  int64_t output_size() const { return arguments_.output_size; }
  void pack_norms();
  Packed<T> pack_rows(const S* weight, int64_t inputs, const std::vector<Place>& places, int64_t panel);
  Packed<T> pack_columns(const S* weight, int64_t columns, const std::vector<Place>& places);

  const RecurrentTable<S, T>& table_;
  const Arguments arguments_;
  std::vector<Place> input_places_;
  std::array<std::vector<Place>, 2> recurrent_places_;
  std::vector<Place> projection_places_;
  std::vector<Buffer<T>> packed_;  // what weights_ points to
  Buffer<S> input_table_, input_bias_, late_bias_, peepholes_, norms_;
  std::mutex packing_;
  Weights<S, T> weights_{};
};

}  // namespace rnnkit
