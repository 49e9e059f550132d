// The time loop backward, and the gradient of the input behind it; it does not know which cell it runs.
//
// From the last step to the first the cell's equations turn a row of activations into the gradients of its
// pre-activations, and their product with the recurrent weights is the gradient of the h before. A row of `dh` that has
// not started yet holds the gradient of its final state. Over 400 lines: the loop and what follows it share their rows.
#pragma once

#include "cells/block.h"
#include "gemm/product.h"
#include "threads/parallel.h"
#include "unroll/around.h"
#include "unroll/forward.h"
#include "unroll/share.h"
#include "unroll/weight_gradients.h"

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
        output_row_(weights_.output_blocks * kLanes),
        mine_(share_call(call.steps, call.split, weights_, worker)),
        has_options_(call.options.is_any()),
        is_normed_(weights_.norms.is_on()),
        normed_(normed_row(kInfo, weights_.blocks)),
        weight_gradients_(call, worker),
        gate_row_(call.lists + worker.index * 2 * call.chunk_rows),
        x_row_(gate_row_ + call.chunk_rows) {}

  void run() {
    weight_gradients_.begin();
    int64_t end = steps_.num_steps, counted = steps_.num_rows();  // rows from here on are in the weight gradients
    do {
      const int64_t begin = call_.again ? run_again(end, counted) : 0;
      run(begin, end);
      threads::wait(worker_);
      const int64_t whole = begin == 0 ? 0 : ceil_div(steps_.offset[begin], kGradientBlock) * kGradientBlock;
      if (whole < counted || begin == 0) weight_gradients_.add(whole, counted, first_row_);
      counted = smaller(counted, whole);
      end = begin;
    } while (end > 0);
    weight_gradients_.end();
  }

  // The same in two parts, neither of which meets others inside: steps of some rows; then, when all steps are done,
  // what sums over them.
  void run_steps() { run(0, steps_.num_steps); }
  void run_rest() {
    const Range rows = call_.is_alone ? share(steps_.num_rows(), worker_.index, worker_.size) : Range{0, 0};
    for (int64_t row = rows.begin; row < rows.end;) {
      int64_t listed = 0;
      for (; row < rows.end && listed < call_.chunk_rows; ++row) list(row, listed++);
      input_gradient(listed);
    }
    weight_gradients_.begin();
    weight_gradients_.add(0, steps_.num_rows(), first_row_);
    weight_gradients_.end();
  }

 private:
  static constexpr const CellInfo& kInfo = Cell::info;
  static constexpr bool kIsRounded = kPerOperand<T> > 1;
  static constexpr bool kHasMemory = kInfo.num_parts > 1;

  int64_t rows_at(int64_t s) const { return smaller(mine_.rows.end, steps_.count(s)) - mine_.rows.begin; }
  int64_t compact(int64_t s, int64_t i) const { return steps_.offset[s] + mine_.rows.begin + i; }
  S* gates(int64_t row) const { return call_.gates + (row - first_row_) * weights_.row; }

  // The gates of as many steps before `end` as the window holds beside the gradients [offset[end], counted), which wait
  // for their block to be whole. Returns the first of these steps.
  int64_t run_again(int64_t end, int64_t counted) {
    int64_t begin = end;
    while (begin > 0 && counted - steps_.offset[begin - 1] <= call_.window_rows) --begin;
    threads::wait(worker_);  // until nobody reads the window any more
    const Range mine = share(weights_.row / kLanes, worker_.index, worker_.size);
    const int64_t shift = (first_row_ - steps_.offset[begin]) * weights_.row;
    if (end < steps_.num_steps)
      for (int64_t row = counted - 1; row >= steps_.offset[end]; --row)
        for (int64_t at = mine.begin * kLanes; at < mine.end * kLanes; at += kLanes)
          V::load(gates(row) + at).store(gates(row) + shift + at);
    threads::wait(worker_);
    first_row_ = steps_.offset[begin];
    ForwardLoop<Cell, V, T>(*call_.again, worker_, mine_).run(begin, end);
    return begin;
  }

  void run(int64_t begin, int64_t end) {
    int64_t listed = 0;
    for (int64_t s = end - 1; s >= begin; --s) {
      const int64_t rows = rows_at(s);
      if (rows <= 0) continue;  // none of our rows runs this long
      if (!call_.is_alone && listed + rows > call_.chunk_rows) listed = input_gradient(listed);
      step<kInfo.num_products - 1>(s, rows);
      if (planted(Bug::gradient_cut_every_32_steps))
        if (s % 32 == 0)
          memset(call_.dh + mine_.rows.begin * padded_, 0, static_cast<size_t>(rows * padded_) * sizeof(S));
      for (int64_t i = 0; i < rows && !call_.is_alone; ++i) list(compact(s, i), listed++);
    }
    input_gradient(listed);
  }

  void list(int64_t row, int64_t at) {
    gate_row_[at] = row - first_row_;
    x_row_[at] = steps_.position[row];
  }

  template <int kProduct>
  void step(int64_t s, int64_t rows) {
    if constexpr (kInfo.num_products == 0) {
      equations<0>(s, rows);
    } else if constexpr (kProduct >= 0) {
      constexpr RecurrentProduct kThis = kInfo.products[kProduct];
      if constexpr (kInfo.is_projected && kProduct == kInfo.num_products - 1) through_projection(s, rows);
      equations<kProduct>(s, rows);
      if (call_.split == Split::units) threads::wait(worker_);
      const bool to_hidden = kThis.source == Source::hidden, is_masked = to_hidden && call_.options.hidden_mask;
      const Product<S, T> product{.x = gate_rows<kProduct>(s),
                                  .depth = depth(kThis.num_slots),
                                  .weight = weights_.recurrent_back[kProduct],
                                  .places = nullptr,
                                  .y = {(is_masked   ? call_.d_masked
                                         : to_hidden ? call_.dh
                                                     : call_.d_reset_hidden) +
                                            mine_.rows.begin * padded_,
                                        padded_},
                                  .accumulate = to_hidden && !is_masked};
      const Range panels = panels_of(to_hidden ? mine_.outputs : mine_.blocks, 1, product.weight);
      to_and_fro(panels, panels_together<T>(panels, rows), s, [&](Range some, int64_t next) {
        multiply<V>(product, 0, rows, some.begin, some.end, next);
        if (is_masked) add_masked(rows, some.begin * product.weight.panel, some.end * product.weight.panel);
      });
      step<kProduct - 1>(s, rows);
    }
  }

  // The gradient of the h of step s to that of what W_hr multiplied. What zoneout kept of the h before stays in dh.
  void through_projection(int64_t s, int64_t rows) {
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = compact(s, i), r = mine_.rows.begin + i,
                    at_output = steps_.position[row] * weights_.output_size;
      const S* d_output = upstream(s, row);
      S *const dh = call_.dh + r * padded_, *const to = call_.d_projected + row * output_row_;
      for (int64_t block = mine_.outputs.begin; block < mine_.outputs.end; ++block) {
        const int64_t unit = block * kLanes, lanes = smaller(kLanes, weights_.output_size - unit);
        V d = V::load(dh + unit), past = V::zero();
        if (d_output && !planted(Bug::output_gradient_past_the_projection)) d = d + load<V>(d_output + unit, lanes);
        if (call_.options.zoneout[0].is_on()) {
          const V z = kept_share<V>(call_.options.zoneout[0], at_output + unit, lanes);
          past = z * d;
          if (!planted(Bug::projected_gradient_holds_what_zoneout_kept)) d = (V::broadcast(1) - z) * d;
        }
        d.store(to + unit);
        past.store(dh + unit);
        if constexpr (kIsRounded) Operand<V, T>::store_along(d, projected_operands(r) + block * operands<T>(kLanes));
      }
    }
    if (call_.split == Split::units) threads::wait(worker_);
    const Product<S, T> product{.x = projected_rows(s),
                                .depth = {1, operands<T>(output_row_), 0},
                                .weight = weights_.projection_back,
                                .places = nullptr,
                                .y = {call_.d_reset_hidden + mine_.rows.begin * padded_, padded_}};
    const Range panels = panels_of(mine_.blocks, 1, product.weight);
    to_and_fro(panels, panels_together<T>(panels, rows), s,
               [&](Range some, int64_t next) { multiply<V>(product, 0, rows, some.begin, some.end, next); });
  }

  Rows<const Left<T>> projected_rows(int64_t s) const {
    if constexpr (kIsRounded)
      return {projected_operands(mine_.rows.begin), stored<T>(output_row_)};
    else
      return {call_.d_projected + compact(s, 0) * output_row_, output_row_};
  }
  T* projected_operands(int64_t r) const { return call_.projected_operands + r * stored<T>(output_row_); }

  // The gradient of the output in a row, or null.
  const S* upstream(int64_t s, int64_t row) const {
    const bool is_there = call_.d_output != nullptr && (s > 0 || !planted(Bug::first_output_gradient_ignored));
    return is_there ? call_.d_output + steps_.position[row] * weights_.output_size : nullptr;
  }

  // dh += mask∘d_masked for the units of the blocks [begin, end).
  void add_masked(int64_t rows, int64_t begin, int64_t end) {
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = (mine_.rows.begin + i) * padded_;
      for (int64_t at = row + begin * kLanes; at < row + smaller(end * kLanes, output_row_); at += kLanes) {
        const V d = V::load(call_.d_masked + at), mask = V::load(call_.options.hidden_mask + at);
        (V::load(call_.dh + at) + (planted(Bug::recurrent_mask_missing_in_dh) ? d : d * mask)).store(call_.dh + at);
      }
    }
  }

  template <int kProduct>
  Rows<const Left<T>> gate_rows(int64_t s) const {
    if (kIsRounded || is_normed_)
      return {gate_operands<kProduct>(s, mine_.rows.begin),
              rnnkit::gate_operands<Left<T>>(kInfo, weights_.blocks, kInfo.num_products)};
    if constexpr (!kIsRounded)
      return {gates(compact(s, 0)) + kInfo.products[kProduct].first_slot * kLanes, weights_.row};
  }

  // What product kProduct takes of row r at step s.
  template <int kProduct>
  Left<T>* gate_operands(int64_t s, int64_t r) const {
    return call_.gate_operands + rnnkit::gate_operands<Left<T>>(kInfo, weights_.blocks, kProduct) +
           (s % 2 * steps_.batch + r) * rnnkit::gate_operands<Left<T>>(kInfo, weights_.blocks, kInfo.num_products);
  }

  // Neighbouring slots of a row of gates, rounded.
  RNNKIT_INLINE void round_slots(const S* from, int64_t slots, Left<T>* to) const {
    for (int64_t i = 0; i < slots; ++i) put(V::load(from + i * kLanes), to + i * operands<T>(kLanes));
  }
  RNNKIT_INLINE void put(V values, Left<T>* to) const {
    if constexpr (kIsRounded)
      Operand<V, T>::store_along(values, to);
    else
      values.store(to);
  }

  // The gradient of product p of a row (0: of the input) as operands, from that of the slots that its norm went into.
  void put_product(const S* row, int p, Left<T>* to) const {
    const RowNormBack<V> back(row + normed_.moments + 4 * p);
    const S *x = row + normed_.products[p], *gain = weights_.norms.products[p];
    const int slots = p == 0 ? kInfo.num_gates : kInfo.products[p - 1].num_slots;
    const int first = p == 0 ? 0 : kInfo.products[p - 1].first_slot;
    for (int64_t block = 0; block < weights_.blocks; ++block)
      for (int i = 0; i < slots; ++i, x += kLanes, gain += kLanes, to += operands<T>(kLanes))
        put(back(V::load(row + (block * kInfo.num_slots + first + i) * kLanes), V::load(x), V::load(gain)), to);
  }

  // A run of slots of every block as the reduced axis; rounded or normed slots stand side by side.
  Depth depth(int64_t slots) const {
    if (kIsRounded || is_normed_ || slots == kInfo.num_slots)
      return {1, operands<T>(weights_.blocks * slots * kLanes), 0};
    return {weights_.blocks, slots * kLanes, kInfo.num_slots * kLanes};
  }

  template <int kProduct>
  void equations(int64_t s, int64_t rows) {
    const int64_t H = weights_.hidden_size, B = steps_.batch;
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = compact(s, i), r = mine_.rows.begin + i;
      S* gates = this->gates(row);
      const S* d_output = kInfo.is_projected ? nullptr : upstream(s, row);
      S* dh = (kInfo.is_projected ? call_.d_reset_hidden : call_.dh) + r * padded_;
      const int64_t first = planted(Bug::initial_memory_taken_from_the_wrong_row) ? 0 : r;
      const S* memory_before = call_.memory + (s > 0 ? B + compact(s - 1, i) : first) * padded_;
      const S* memory = call_.options.new_memory && !planted(Bug::zoneout_hides_the_new_memory)
                            ? call_.options.new_memory + row * padded_
                            : call_.memory + (B + row) * padded_;
      const S* mask = call_.options.hidden_mask ? call_.options.hidden_mask + r * padded_ : nullptr;
      const auto block_at = [&]<class W>(int64_t block) {
        const int64_t unit = block * kLanes;
        return BackwardBlock<W>{.gates = gates + block * kInfo.num_slots * kLanes,
                                .step = kInfo.num_slots * kLanes,
                                .h_before = call_.hidden + steps_.before[row] * weights_.output_size + unit,
                                .memory_before = memory_before + unit,
                                .memory = memory + unit,
                                .d_output = d_output ? d_output + unit : nullptr,
                                .dh = dh + unit,
                                .d_memory = call_.d_memory + r * padded_ + unit,
                                .d_reset_hidden = call_.d_reset_hidden + r * padded_ + unit,
                                .peepholes = weights_.peepholes + block * kInfo.num_peepholes * kLanes,
                                .peephole_step = kInfo.num_peepholes * kLanes,
                                .lanes = smaller(W::kWidth, H - unit)};
      };
      const auto apply_all = [&](auto&& cell) {
        for_blocks<V>(mine_.blocks.begin, mine_.blocks.end, !has_options_, [&]<class W>(int64_t block) {
          const int64_t unit = block * kLanes;
          const BackwardBlock<W> at = block_at.template operator()<W>(block);
          if constexpr (W::kWidth == kLanes) {
            if (has_options_)
              return backward_around<Cell, kProduct>(
                  call_.options, at, steps_.position[row] * H + unit, call_.d_reset_hidden + r * padded_ + unit,
                  mask ? mask + unit : nullptr, [&](const BackwardBlock<W>& inner) { cell(inner, unit); });
          }
          cell(at, unit);
        });
      };
      const auto equations_of_cell = [&]<class W>(const BackwardBlock<W>& at, int64_t) {
        Cell::template backward<kProduct>(at);
      };
      if constexpr (kHasMemory) {
        if (is_normed_) {
          const S *const squashed = gates + normed_.squashed, *const gain = weights_.norms.memory;
          S *const d_shown = gates + normed_.d_shown, *const moments = gates + normed_.moments + kMemoryMoments;
          for_blocks<V>(mine_.blocks.begin, mine_.blocks.end, !has_options_, [&]<class W>(int64_t block) {
            const int64_t unit = block * kLanes;
            const BackwardBlock<W> at = block_at.template operator()<W>(block);
            W dh = at.total_dh();
            if constexpr (W::kWidth == kLanes) {
              if (call_.options.zoneout[0].is_on() && !kInfo.is_projected)
                dh = (W::broadcast(1) -
                      kept_share<W>(call_.options.zoneout[0], steps_.position[row] * H + unit, at.lanes)) *
                     dh;
            }
            through_tanh(dh * at.slot(Cell::kOutputGate), W::load(squashed + unit)).store(d_shown + unit);
          });
          take_gradient_moments<V, 1>(d_shown, kLanes, memory, gain, H, weights_.blocks, moments);
          apply_all([&]<class W>(const BackwardBlock<W>& at, int64_t unit) {
            Cell::remember_back(
                at, at.total_dh(), W::load(squashed + unit),
                RowNormBack<W>(moments)(W::load(d_shown + unit), W::load(at.memory), W::load(gain + unit)));
          });
        } else {
          apply_all(equations_of_cell);
        }
      } else {
        apply_all(equations_of_cell);
      }
      if (is_normed_) {
        if constexpr (kInfo.num_products > 0) {
          constexpr RecurrentProduct kThis = kInfo.products[kProduct];
          take_gradient_moments<V, kThis.num_slots>(
              gates + kThis.first_slot * kLanes, kInfo.num_slots * kLanes, gates + normed_.products[kProduct + 1],
              weights_.norms.products[kProduct + 1], H, weights_.blocks, gates + normed_.moments + 4 * (kProduct + 1));
          put_product(gates, kProduct + 1, gate_operands<kProduct>(s, r));
        }
        if (kProduct == 0)
          take_gradient_moments<V, kInfo.num_gates>(gates, kInfo.num_slots * kLanes, gates + normed_.products[0],
                                                    weights_.norms.products[0], H, weights_.blocks,
                                                    gates + normed_.moments);
        continue;
      }
      if constexpr (kIsRounded && kInfo.num_products > 0) {
        constexpr RecurrentProduct kThis = kInfo.products[kProduct];
        Left<T>* to = gate_operands<kProduct>(s, r);
        for (int64_t block = mine_.blocks.begin; block < mine_.blocks.end; ++block)
          round_slots(gates + (block * kInfo.num_slots + kThis.first_slot) * kLanes, kThis.num_slots,
                      to + block * operands<T>(kThis.num_slots * kLanes));
      }
    }
  }

  // dx of the rows listed since the last call; they are all done. Returns 0, the length of the new list.
  int64_t input_gradient(int64_t num_rows) {
    if (call_.dx == nullptr || num_rows == 0) return 0;
    if (kInfo.num_products == 0 && call_.split == Split::units) threads::wait(worker_);  // no product has waited
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

  Rows<const Left<T>> listed_gate_rows(int64_t num_rows) const {
    if (kIsRounded || is_normed_) {
      const int64_t width = operands<T>(kInfo.num_gates * kLanes),
                    stride = stored<Left<T>>(weights_.blocks * kInfo.num_gates * kLanes);
      Left<T>* to = call_.chunk_operands + worker_.index * call_.chunk_rows * stride;
      for (int64_t i = 0; i < num_rows; ++i) {
        Left<T>* row = to + i * stride;
        if (is_normed_)
          put_product(call_.gates + gate_row_[i] * weights_.row, 0, row);
        else
          for (int64_t block = 0; block < weights_.blocks; ++block)
            round_slots(call_.gates + gate_row_[i] * weights_.row + block * kInfo.num_slots * kLanes, kInfo.num_gates,
                        row + block * width);
        memset(static_cast<void*>(row + weights_.blocks * width), 0,
               static_cast<size_t>(stride - weights_.blocks * width) * sizeof(Left<T>));
      }
      return {to, stride};
    }
    if constexpr (!kIsRounded) return {call_.gates, weights_.row, gate_row_};
  }

  const BackwardCall<S, T>& call_;
  const Steps& steps_;
  const Weights<S, T>& weights_;
  const threads::Worker& worker_;
  const int64_t padded_, output_row_;
  const Share mine_;
  const bool has_options_, is_normed_;
  const NormedRow normed_;
  WeightGradients<Cell, V, T> weight_gradients_;
  int64_t first_row_ = 0;  // the compact row at the start of the gates
  int64_t* const gate_row_;
  int64_t* const x_row_;
};

template <class Cell, class V, class T, class S = typename V::Scalar>
void backward(const BackwardCall<S, T>& call) {
  if (call.split == Split::rows && call.again == nullptr) {  // they meet once
    in_shares(call.workers, call.shares,
              [&](const threads::Worker& worker) { BackwardLoop<Cell, V, T>(call, worker).run_steps(); });
    in_shares(call.workers, call.workers,
              [&](const threads::Worker& worker) { BackwardLoop<Cell, V, T>(call, worker).run_rest(); });
    return;
  }
  parallel(call.workers, [&](const threads::Worker& worker) { BackwardLoop<Cell, V, T>(call, worker).run(); });
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
