// The time loop backward, and the gradients of input and weights behind it; it does not know which cell it runs.
//
// From the last step to the first the cell's equations turn a row of activations into the gradients of its
// pre-activations, and their product with the recurrent weights is the gradient of the h before. A row of `dh` that has
// not started yet holds the gradient of its final state.
#pragma once

#include "cells/block.h"
#include "gemm/gradient.h"
#include "gemm/product.h"
#include "threads/parallel.h"
#include "unroll/share.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

template <class Cell, class V, class T, class S = typename V::Scalar>
class BackwardLoop {
 public:
  BackwardLoop(const BackwardCall<S, T>& call, const threads::Worker& worker)
      : call_(call),
        steps_(call.steps),
        weights_(*call.weights),
        worker_(worker),
        padded_(weights_.blocks * kLanes),
        mine_(share_call(call.steps, call.split, weights_.blocks, kPanel, worker)),
        gate_row_(call.lists + worker.index * 2 * call.chunk_rows),
        x_row_(gate_row_ + call.chunk_rows) {}

  void run() {
    int64_t listed = 0;
    for (int64_t s = steps_.num_steps - 1; s >= 0; --s) {
      const int64_t rows = rows_at(s);
      if (rows <= 0) continue;  // none of our rows runs this long
      if (listed + rows > call_.chunk_rows) listed = input_gradient(listed);
      step<kInfo.num_products - 1>(s, rows);
      if (planted(Bug::gradient_cut_every_32_steps))
        if (s % 32 == 0)
          memset(call_.dh + mine_.rows.begin * padded_, 0, static_cast<size_t>(rows * padded_) * sizeof(S));
      for (int64_t i = 0; i < rows; ++i, ++listed) {
        gate_row_[listed] = compact(s, i);
        x_row_[listed] = steps_.position[compact(s, i)];
      }
    }
    input_gradient(listed);
    threads::wait(worker_);
    weight_gradients();
  }

 private:
  static constexpr const CellInfo& kInfo = Cell::info;
  static constexpr bool kIsRounded = kPerOperand<T> > 1;

  int64_t rows_at(int64_t s) const { return smaller(mine_.rows.end, steps_.count(s)) - mine_.rows.begin; }
  int64_t compact(int64_t s, int64_t i) const { return steps_.offset[s] + mine_.rows.begin + i; }

  template <int kProduct>
  void step(int64_t s, int64_t rows) {
    if constexpr (kProduct >= 0) {
      constexpr RecurrentProduct kThis = kInfo.products[kProduct];
      equations<kProduct>(s, rows);
      if (call_.split == Split::units) threads::wait(worker_);
      const bool to_hidden = kThis.source == Source::hidden;
      const Product<S, T> product{
          .x = gate_rows(s, kThis.first_slot),
          .depth = depth(kThis.num_slots),
          .weight = weights_.recurrent_back[kProduct],
          .places = nullptr,
          .y = {(to_hidden ? call_.dh : call_.d_reset_hidden) + mine_.rows.begin * padded_, padded_},
          .accumulate = to_hidden};
      const Range panels = panels_of(mine_.blocks, 1, product.weight);
      to_and_fro(panels, rows == 1 ? kRowPanels : 1, s,
                 [&](Range some, int64_t next) { multiply<V>(product, 0, rows, some.begin, some.end, next); });
      step<kProduct - 1>(s, rows);
    }
  }

  Rows<const T> gate_rows(int64_t s, int64_t first_slot) const {
    if constexpr (kIsRounded)
      return {gate_operands(s) + mine_.rows.begin * operands<T>(weights_.row) + operands<T>(first_slot * kLanes),
              operands<T>(weights_.row)};
    else
      return {call_.gates + compact(s, 0) * weights_.row + first_slot * kLanes, weights_.row};
  }

  T* gate_operands(int64_t s) const { return call_.gate_operands + s % 2 * steps_.batch * operands<T>(weights_.row); }

  // A run of slots of every block as the reduced axis; one run when it is the whole row.
  Depth depth(int64_t slots) const {
    if (slots == kInfo.num_slots) return {1, operands<T>(weights_.row), 0};
    return {weights_.blocks, operands<T>(slots * kLanes), operands<T>(kInfo.num_slots * kLanes)};
  }

  template <int kProduct>
  void equations(int64_t s, int64_t rows) {
    const int64_t H = weights_.hidden_size, B = steps_.batch;
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = compact(s, i), r = mine_.rows.begin + i;
      S* gates = call_.gates + row * weights_.row;
      const bool has_upstream = call_.d_output != nullptr && (s > 0 || !planted(Bug::first_output_gradient_ignored));
      const S* d_output = has_upstream ? call_.d_output + steps_.position[row] * H : nullptr;
      const int64_t first = planted(Bug::initial_memory_taken_from_the_wrong_row) ? 0 : r;
      const S* memory_before = call_.memory + (s > 0 ? B + compact(s - 1, i) : first) * padded_;
      for (int64_t block = mine_.blocks.begin; block < mine_.blocks.end; ++block) {
        const int64_t unit = block * kLanes;
        Cell::template backward<kProduct>(BackwardBlock<V>{.gates = gates + block * kInfo.num_slots * kLanes,
                                                           .h_before = call_.hidden + steps_.before[row] * H + unit,
                                                           .memory_before = memory_before + unit,
                                                           .memory = call_.memory + (B + row) * padded_ + unit,
                                                           .d_output = d_output ? d_output + unit : nullptr,
                                                           .dh = call_.dh + r * padded_ + unit,
                                                           .d_memory = call_.d_memory + r * padded_ + unit,
                                                           .d_reset_hidden = call_.d_reset_hidden + r * padded_ + unit,
                                                           .lanes = smaller(kLanes, H - unit)});
      }
      if constexpr (kIsRounded) {
        constexpr RecurrentProduct kThis = kInfo.products[kProduct];
        T* to = gate_operands(s) + r * operands<T>(weights_.row);
        for (int64_t block = mine_.blocks.begin; block < mine_.blocks.end; ++block) {
          const int64_t at = (block * kInfo.num_slots + kThis.first_slot) * kLanes;
          round_row(gates + at, kThis.num_slots * kLanes, to + operands<T>(at));
        }
      }
    }
  }

  // dx of the rows listed since the last call; they are all done. Returns 0, the length of the new list.
  int64_t input_gradient(int64_t num_rows) {
    if (call_.dx == nullptr || num_rows == 0) return 0;
    const Product<S, T> product{.x = listed_gate_rows(num_rows),
                                .depth = depth(kInfo.num_gates),
                                .weight = weights_.input_back,
                                .places = nullptr,
                                .y = {call_.dx, weights_.input_size, planted(Bug::dx_left_sorted) ? gate_row_ : x_row_},
                                .last_lanes = weights_.input_size - (weights_.input_back.num_vectors - 1) * kLanes};
    Range panels{0, product.weight.num_panels()};
    if (call_.split == Split::units) panels = share(panels.end, worker_.index, worker_.size);
    multiply<V>(product, 0, num_rows, panels.begin, panels.end);
    return 0;
  }

  Rows<const T> listed_gate_rows(int64_t num_rows) const {
    if constexpr (kIsRounded) {
      const int64_t stride = operands<T>(weights_.row);
      T* to = call_.chunk_operands + worker_.index * call_.chunk_rows * stride;
      for (int64_t i = 0; i < num_rows; ++i)
        round_row(call_.gates + gate_row_[i] * weights_.row, weights_.row, to + i * stride);
      return {to, stride};
    } else {
      return {call_.gates, weights_.row, gate_row_};
    }
  }

  void weight_gradients() {
    if (call_.ids != nullptr) {
      one_hot_gradient();
    } else {
      weight_gradient(kInfo.num_gates, weights_.input_places, {call_.x, weights_.input_size, steps_.position},
                      weights_.input_size, call_.d_weight_ih, call_.d_bias_ih);
    }
    for (int p = 0; p < kInfo.num_products; ++p) {
      const bool from_hidden = kInfo.products[p].source == Source::hidden;
      weight_gradient(
          kInfo.products[p].num_slots, weights_.recurrent_places[p],
          planted(Bug::recurrent_gradient_from_the_h_after)
              ? Rows<const S>{call_.hidden + steps_.batch * weights_.hidden_size, weights_.hidden_size, steps_.position}
          : from_hidden ? Rows<const S>{call_.hidden, weights_.hidden_size, steps_.before}
                        : Rows<const S>{call_.reset_hidden, padded_},
          weights_.hidden_size, call_.d_weight_hh, call_.d_bias_hh);
    }
  }

  // One part of a weight gradient: the workers form a grid over its rows (gates) and its columns.
  void weight_gradient(int64_t slots, const Place* places, Rows<const S> x, int64_t width, S* out, S* bias) {
    int64_t num_rows = steps_.num_rows();
    if (planted(Bug::last_rows_missing_in_weight_gradient)) num_rows -= num_rows % 16;
    const WeightGradient<S> product{.dy = {call_.gates, weights_.row},
                                    .places = places,
                                    .num_places = weights_.blocks * slots,
                                    .x = x,
                                    .width = width,
                                    .num_rows = num_rows,
                                    .out = out,
                                    .bias = bias};
    int columns = 1;  // of the grid; squarer grids pack less
    while (worker_.size % (columns * 2) == 0 && columns * columns * 2 < worker_.size) columns *= 2;
    const int grid_rows = worker_.size / columns;
    const int64_t panels = ceil_div(ceil_div(width, kLanes), tiles::kGradientColumns);
    const Range mine = share(product.num_places, worker_.index / columns, grid_rows);
    const Range my_panels = share(panels, worker_.index % columns, columns);
    if (my_panels.begin == my_panels.end) return;  // an empty part that begins at 0 would add the bias a second time
    gradient<V>(product, mine.begin, mine.end, my_panels.begin * tiles::kGradientColumns,
                smaller(ceil_div(width, kLanes), my_panels.end * tiles::kGradientColumns), scratch());
  }

  // Rows with one id are summed within each block, then added to its column: bit for bit the dense product.
  void one_hot_gradient() {
    const int64_t vectors = weights_.blocks * kInfo.num_gates, num_rows = steps_.num_rows(), I = weights_.input_size;
    const Range mine = share(vectors, worker_.index, worker_.size);
    for (int64_t id = 0; id < I; ++id)
      for (int64_t v = mine.begin; v < mine.end; ++v) V::zero().store(call_.d_table + (id * vectors + v) * kLanes);
    for (int64_t block = 0; block < num_rows; block += kGradientBlock) {
      const int64_t block_end = smaller(num_rows, block + kGradientBlock);
      for (int64_t begin = block, end; begin < block_end; begin = end) {
        const int64_t id = id_of(call_.sorted[begin]);
        for (end = begin + 1; end < block_end && id_of(call_.sorted[end]) == id;) ++end;
        for (int64_t v = mine.begin; v < mine.end; ++v) {
          V sum = V::zero();
          for (int64_t i = planted(Bug::repeated_ids_counted_once) ? end - 1 : begin; i < end; ++i)
            sum = sum + V::load(call_.gates + call_.sorted[i] * weights_.row + weights_.input_places[v].column);
          S* at = call_.d_table + (id * vectors + v) * kLanes;
          (V::load(at) + sum).store(at);
        }
      }
    }
    for (int64_t id = 0; id < I; ++id) {
      for (int64_t v = mine.begin; v < mine.end; ++v) {
        const Place place = weights_.input_places[v];
        for (int64_t lane = 0; lane < place.lanes; ++lane)
          call_.d_weight_ih[(place.row + lane) * I + id] = call_.d_table[(id * vectors + v) * kLanes + lane];
      }
    }
    if (call_.d_bias_ih != nullptr) {
      const WeightGradient<S> sums{.dy = {call_.gates, weights_.row},
                                   .places = weights_.input_places,
                                   .num_places = vectors,
                                   .x = {},
                                   .width = 0,
                                   .num_rows = num_rows,
                                   .out = nullptr,
                                   .bias = call_.d_bias_ih};
      gradient<V>(sums, mine.begin, mine.end, 0, 0, scratch());
    }
  }

  int64_t id_of(int64_t row) const { return call_.ids[steps_.position[row]]; }
  T* scratch() const { return call_.scratch + worker_.index * call_.scratch_size; }

  const BackwardCall<S, T>& call_;
  const Steps& steps_;
  const Weights<S, T>& weights_;
  const threads::Worker& worker_;
  const int64_t padded_;
  const Share mine_;
  int64_t* const gate_row_;
  int64_t* const x_row_;
};

template <class Cell, class V, class T, class S = typename V::Scalar>
void backward(const BackwardCall<S, T>& call) {
  parallel(call.workers, [&](const threads::Worker& worker) { BackwardLoop<Cell, V, T>(call, worker).run(); });
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
