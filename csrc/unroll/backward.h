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
#include "unroll/around.h"
#include "unroll/forward.h"
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
        output_row_(weights_.output_blocks * kLanes),
        mine_(share_call(call.steps, call.split, weights_, worker)),
        has_options_(call.options.is_any()),
        is_normed_(weights_.norms.is_on()),
        normed_(normed_row(kInfo, weights_.blocks)),
        gate_row_(call.lists + worker.index * 2 * call.chunk_rows),
        x_row_(gate_row_ + call.chunk_rows) {}

  void run() {
    if (call_.ids != nullptr) clear_table();
    int64_t end = steps_.num_steps, counted = steps_.num_rows();  // rows from here on are in the weight gradients
    do {
      const int64_t begin = call_.again ? run_again(end, counted) : 0;
      run(begin, end);
      threads::wait(worker_);
      const int64_t whole = begin == 0 ? 0 : ceil_div(steps_.offset[begin], kGradientBlock) * kGradientBlock;
      if (whole < counted || begin == 0) weight_gradients(whole, counted);
      counted = smaller(counted, whole);
      end = begin;
    } while (end > 0);
    if (call_.ids != nullptr) one_hot_weights();
  }

  // The same in two parts, where the loop is one worker's: its steps, and all workers' share of the rest.
  void run_alone() { run(0, steps_.num_steps); }
  void run_rest() {
    const Range rows = share(steps_.num_rows(), worker_.index, worker_.size);
    for (int64_t row = rows.begin; row < rows.end;) {
      int64_t listed = 0;
      for (; row < rows.end && listed < call_.chunk_rows; ++row) list(row, listed++);
      input_gradient(listed);
    }
    if (call_.ids != nullptr) clear_table();
    weight_gradients(0, steps_.num_rows());
    if (call_.ids != nullptr) one_hot_weights();
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

  // The compact rows [begin, end); those behind them have been added before.
  void weight_gradients(int64_t begin, int64_t end) {
    if (call_.ids != nullptr) {
      one_hot_gradient(begin, end);
    } else {
      weight_gradient(begin, end, kInfo.num_gates, weights_.input_places,
                      {call_.x, weights_.input_size, steps_.position + begin}, weights_.input_size, call_.d_weight_ih,
                      call_.d_bias_ih, 0);
    }
    const bool is_masked = call_.options.hidden_mask && !planted(Bug::recurrent_mask_missing_in_weight_gradient);
    const S* source = is_masked ? call_.options.masked_hidden : call_.hidden;
    const int64_t width = weights_.output_size;
    for (int p = 0; p < kInfo.num_products; ++p) {
      const bool from_hidden = kInfo.products[p].source == Source::hidden;
      weight_gradient(begin, end, kInfo.products[p].num_slots, weights_.recurrent_places[p],
                      planted(Bug::recurrent_gradient_from_the_h_after)
                          ? Rows<const S>{call_.hidden + steps_.batch * width, width, steps_.position + begin}
                      : from_hidden ? Rows<const S>{source, width, steps_.before + begin}
                                    : Rows<const S>{call_.reset_hidden + begin * padded_, padded_},
                      width, call_.d_weight_hh, call_.d_bias_hh, p + 1);
    }
    if constexpr (kInfo.is_projected)
      weight_gradient(begin, end, {call_.d_projected + begin * output_row_, output_row_}, weights_.projection_places,
                      weights_.output_blocks, {call_.reset_hidden + begin * padded_, padded_}, weights_.hidden_size,
                      call_.d_weight_hr, nullptr, nullptr);
    if constexpr (kInfo.num_peepholes > 0) peephole_gradients(begin, end);
    if (kHasMemory && is_normed_) memory_norm_gradients(begin, end);
  }

  // Each a sum over rows of its slot's gradient times the memory that it saw, in the blocks and chains of every weight
  // gradient.
  void peephole_gradients(int64_t begin, int64_t end) {
    const int64_t H = weights_.hidden_size;
    const Range mine = share(weights_.blocks * kInfo.num_peepholes, worker_.index, worker_.size);
    for (int64_t v = mine.begin; v < mine.end; ++v) {
      const int64_t unit = v / kInfo.num_peepholes * kLanes, p = v % kInfo.num_peepholes;
      S* at = call_.d_peephole + p * H + unit;
      const int64_t lanes = smaller(kLanes, H - unit), slot = unit * kInfo.num_slots + kInfo.peepholes[p].slot * kLanes;
      V total = end < steps_.num_rows() ? load<V>(at, lanes) : V::zero();
      for (int64_t block = (larger<int64_t>(end, 1) - 1) / kGradientBlock * kGradientBlock; block >= begin;
           block -= kGradientBlock) {
        V sum = V::zero();
        int64_t s = step_of(block);
        for (int64_t row = block; row < smaller(end, block + kGradientBlock); ++row) {
          while (row >= steps_.offset[s + 1]) ++s;
          sum = fma(V::load(gates(row) + slot), V::load(memory_seen(kInfo.peepholes[p].source, s, row) + unit), sum);
        }
        total = planted(Bug::peephole_gradient_of_the_last_block_only) ? sum : total + sum;
      }
      store(total, at, lanes);
    }
  }

  // Those of the gain and the bias that the memory is shown with, in the same blocks.
  void memory_norm_gradients(int64_t begin, int64_t end) {
    const int64_t H = weights_.hidden_size;
    const Range mine = share(weights_.blocks, worker_.index, worker_.size);
    for (int64_t unit = mine.begin * kLanes; unit < mine.end * kLanes; unit += kLanes) {
      const int64_t lanes = smaller(kLanes, H - unit);
      const bool is_first = end >= steps_.num_rows(), has_bias = call_.d_norm_bias_c != nullptr;
      V gain = is_first ? V::zero() : load<V>(call_.d_norm_c + unit, lanes);
      V bias = is_first || !has_bias ? V::zero() : load<V>(call_.d_norm_bias_c + unit, lanes);
      for (int64_t block = (larger<int64_t>(end, 1) - 1) / kGradientBlock * kGradientBlock; block >= begin;
           block -= kGradientBlock) {
        V gain_sum = V::zero(), bias_sum = V::zero();
        for (int64_t row = block; row < smaller(end, block + kGradientBlock); ++row) {
          const V d = V::load(gates(row) + normed_.d_shown + unit);
          const S* memory = memory_seen(Source::memory, 0, row) + unit;
          gain_sum = fma(d, RowNorm<V>(gates(row) + normed_.moments + kMemoryMoments)(V::load(memory)), gain_sum);
          bias_sum = bias_sum + d;
        }
        gain = gain + gain_sum;
        bias = bias + bias_sum;
      }
      store(gain, call_.d_norm_c + unit, lanes);
      if (has_bias) store(bias, call_.d_norm_bias_c + unit, lanes);
    }
  }

  // The step that a compact row belongs to.
  int64_t step_of(int64_t row) const {
    int64_t low = 0, high = steps_.num_steps;  // offset[low] <= row < offset[high], if there is such a row
    while (high - low > 1) (steps_.offset[(low + high) / 2] <= row ? low : high) = (low + high) / 2;
    return low;
  }

  const S* memory_seen(Source source, int64_t s, int64_t row) const {
    if (source == Source::memory && call_.options.new_memory) return call_.options.new_memory + row * padded_;
    if (source == Source::memory) return call_.memory + (steps_.batch + row) * padded_;
    const int64_t r = row - steps_.offset[s];  // of the sorted rows
    return call_.memory + (s > 0 ? steps_.batch + steps_.offset[s - 1] + r : r) * padded_;
  }

  NormedProduct<S> normed_product(int p) const {
    return {normed_.products[p], normed_.moments + 4 * p, weights_.norms.products[p],
            p == 0 ? call_.d_norm_ih : call_.d_norm_hh};
  }

  // One part of a weight gradient, of product p (0: of the input): the workers form a grid over its rows (gates) and
  // its columns.
  void weight_gradient(int64_t begin, int64_t end, int64_t slots, const Place* places, Rows<const S> x, int64_t width,
                       S* out, S* bias, int p) {
    const NormedProduct<S> norm = normed_product(p);
    weight_gradient(begin, end, {gates(begin), weights_.row}, places, weights_.blocks * slots, x, width, out, bias,
                    is_normed_ ? &norm : nullptr);
  }
  void weight_gradient(int64_t begin, int64_t end, Rows<const S> dy, const Place* places, int64_t num_places,
                       Rows<const S> x, int64_t width, S* out, S* bias, const NormedProduct<S>* norm) {
    int64_t num_rows = end - begin;
    if (planted(Bug::last_rows_missing_in_weight_gradient)) num_rows -= num_rows % 16;
    const WeightGradient<S> product{.dy = dy,
                                    .places = places,
                                    .num_places = num_places,
                                    .x = x,
                                    .width = width,
                                    .num_rows = num_rows,
                                    .out = out,
                                    .bias = bias,
                                    .accumulate = end < steps_.num_rows(),
                                    .norm = norm};
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
  void one_hot_gradient(int64_t first, int64_t last) {
    const int64_t vectors = weights_.blocks * kInfo.num_gates;
    const Range mine = share(vectors, worker_.index, worker_.size);
    for (int64_t block = (larger<int64_t>(last, 1) - 1) / kGradientBlock * kGradientBlock; block >= first;
         block -= kGradientBlock) {
      const int64_t block_end = smaller(last, block + kGradientBlock);
      for (int64_t begin = block, end; begin < block_end; begin = end) {
        const int64_t id = id_of(call_.sorted[begin]);
        for (end = begin + 1; end < block_end && id_of(call_.sorted[end]) == id;) ++end;
        for (int64_t v = mine.begin; v < mine.end; ++v) {
          V sum = V::zero();
          for (int64_t i = planted(Bug::repeated_ids_counted_once) ? end - 1 : begin; i < end; ++i) {
            const S* row = gates(call_.sorted[i]);
            const V d = V::load(row + weights_.input_places[v].column);
            sum = sum + (is_normed_
                             ? RowNormBack<V>(row + normed_.moments)(d, V::load(row + normed_.products[0] + v * kLanes),
                                                                     V::load(weights_.norms.products[0] + v * kLanes))
                             : d);
          }
          S* at = call_.d_table + (id * vectors + v) * kLanes;
          (V::load(at) + sum).store(at);
        }
      }
    }
    if (call_.d_bias_ih != nullptr || is_normed_) {
      const NormedProduct<S> norm = normed_product(0);
      const WeightGradient<S> sums{.dy = {gates(first), weights_.row},
                                   .places = weights_.input_places,
                                   .num_places = vectors,
                                   .x = {},
                                   .width = 0,
                                   .num_rows = last - first,
                                   .out = nullptr,
                                   .bias = call_.d_bias_ih,
                                   .accumulate = last < steps_.num_rows(),
                                   .norm = is_normed_ ? &norm : nullptr};
      gradient<V>(sums, mine.begin, mine.end, 0, 0, scratch());
    }
  }

  void clear_table() {
    const int64_t vectors = weights_.blocks * kInfo.num_gates;
    const Range mine = share(vectors, worker_.index, worker_.size);
    for (int64_t id = 0; id < weights_.input_size; ++id)
      for (int64_t v = mine.begin; v < mine.end; ++v) V::zero().store(call_.d_table + (id * vectors + v) * kLanes);
  }

  void one_hot_weights() {
    const int64_t vectors = weights_.blocks * kInfo.num_gates, I = weights_.input_size;
    const Range mine = share(vectors, worker_.index, worker_.size);
    for (int64_t id = 0; id < I; ++id) {
      for (int64_t v = mine.begin; v < mine.end; ++v) {
        const Place place = weights_.input_places[v];
        for (int64_t lane = 0; lane < place.lanes; ++lane)
          call_.d_weight_ih[(place.row + lane) * I + id] = call_.d_table[(id * vectors + v) * kLanes + lane];
      }
    }
  }

  int64_t id_of(int64_t row) const { return call_.ids[steps_.position[row]]; }
  T* scratch() const { return call_.scratch + worker_.index * call_.scratch_size; }

  const BackwardCall<S, T>& call_;
  const Steps& steps_;
  const Weights<S, T>& weights_;
  const threads::Worker& worker_;
  const int64_t padded_, output_row_;
  const Share mine_;
  const bool has_options_, is_normed_;
  const NormedRow normed_;
  int64_t first_row_ = 0;  // the compact row at the start of the gates
  int64_t* const gate_row_;
  int64_t* const x_row_;
};

template <class Cell, class V, class T, class S = typename V::Scalar>
void backward(const BackwardCall<S, T>& call) {
  if (call.is_alone) {
    parallel(1, [&](const threads::Worker& worker) { BackwardLoop<Cell, V, T>(call, worker).run_alone(); });
    in_shares(call.workers, [&](const threads::Worker& worker) { BackwardLoop<Cell, V, T>(call, worker).run_rest(); });
    return;
  }
  parallel(call.workers, [&](const threads::Worker& worker) { BackwardLoop<Cell, V, T>(call, worker).run(); });
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
