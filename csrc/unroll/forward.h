// The time loop forward; it does not know which cell it runs.
//
// Per chunk of steps the input is projected into the rows of gates; then, step by step, each panel of the recurrent
// product adds to them, and the cell's equations run on the blocks that the panel has completed.
#pragma once

#include "cells/block.h"
#include "gemm/product.h"
#include "gemm/quads.h"
#include "threads/parallel.h"
#include "unroll/around.h"
#include "unroll/norm.h"
#include "unroll/share.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

template <class Cell, class V, class T, class S = typename V::Scalar>
class ForwardLoop {
 public:
  ForwardLoop(const ForwardCall<S, T>& call, const threads::Worker& worker, const Share& mine, bool in_parts = false)
      : call_(call),
        steps_(call.steps),
        weights_(*call.weights),
        worker_(worker),
        padded_(weights_.blocks * kLanes),
        mine_(mine),
        gate_row_(call.lists + worker.index * 2 * call.chunk_rows),
        x_row_(gate_row_ + call.chunk_rows),
        has_options_(call.options.is_any()),
        is_normed_(weights_.norms.is_on()),
        normed_(normed_row(kInfo, weights_.blocks)),
        source_(call.options.hidden_mask ? call.options.masked_hidden : call.hidden),
        gates_(call.has_gates || call.split == Split::units
                   ? call.gates
                   : call.gates + worker.index * call.chunk_rows * weights_.row),
        in_parts_(in_parts) {}

  void run() { run(0, steps_.num_steps); }

  // Steps [begin, end_step), which may have been run before: they give the same bits again.
  void run(int64_t begin, int64_t end_step) {
    first_row_ = steps_.offset[begin];
    round_hidden(begin);
    if (kIsRounded && kMeets && call_.split == Split::units) threads::wait(worker_);
    for (int64_t s = begin; s < end_step;) {
      int64_t num_rows = 0, end = s;
      while (end < end_step && rows_at(end) > 0 && num_rows + rows_at(end) <= call_.chunk_rows)
        num_rows = list_rows(end++, num_rows);
      if (end == s) break;  // no row of ours runs this long
      project_input(num_rows);
      const int64_t* row = gate_row_;
      for (; s < end; ++s) {
        step<0>(s, row);
        row += rows_at(s);
      }
    }
  }

  // Rounds the h before step s, which every product of the step reads.
  void round_hidden(int64_t s) {
    if constexpr (kIsRounded && kMeets)
      for (int64_t i = 0; i < rows_at(s); ++i)
        round_units(source_ + steps_.before[compact(s, i)] * weights_.output_size, weights_.output_size,
                    h_operands(s) + (mine_.rows.begin + i) * stored<T>(padded_), mine_.outputs);
  }

  // In parts: makes the operands that all parts of a product of step s read, but those of h where equations leave them.
  template <int kProduct = 0>
  void prepare(int64_t s, int product) {
    if constexpr (kPerOperand<T> > 1 && kProduct < kInfo.num_stages()) {
      if (product != kProduct) return prepare<kProduct + 1>(s, product);
      if (kProduct == 0 && call_.ids == nullptr) make_input_operands(rows_at(s));
      if constexpr (kIsScaled<T> && kMeets) quantise_source(source_of<kProduct>(), s);
    }
  }

  // In parts: one product of step s with what comes before and after it, for this share's blocks; it is prepared.
  template <int kProduct = 0>
  void part(int64_t s, int product) {
    if constexpr (kProduct < kInfo.num_stages()) {
      if (product != kProduct) return part<kProduct + 1>(s, product);
      if constexpr (kProduct == 0) project_input(rows_at(s));
      multiply_and_apply<kProduct>(s, gate_row_);
    }
  }

 private:
  static constexpr const CellInfo& kInfo = Cell::info;
  static constexpr bool kIsRounded = kPerOperand<T> > 1 && !kIsScaled<T>;
  static constexpr bool kMeets = kInfo.num_products > 0;  // whether the units of a step read each other's
  static constexpr bool kHasMemory = kInfo.num_parts > 1;

  int64_t rows_end(int64_t s) const { return steps_.num_steps == 0 ? 0 : smaller(mine_.rows.end, steps_.count(s)); }
  int64_t rows_at(int64_t s) const { return rows_end(s) - mine_.rows.begin; }
  int64_t compact(int64_t s, int64_t i) const { return steps_.offset[s] + mine_.rows.begin + i; }

  int64_t list_rows(int64_t s, int64_t at) {
    for (int64_t i = 0; i < rows_at(s); ++i, ++at) {
      gate_row_[at] = call_.has_gates ? compact(s, i) - first_row_ : at;
      x_row_[at] = steps_.position[compact(planted(Bug::chunk_reads_the_previous_chunks_rows) ? s - s % 64 : s, i)];
    }
    return at;
  }

  void project_input(int64_t num_rows) {
    if (call_.ids != nullptr) {
      gather_input(num_rows);
    } else {
      const Product<S, T> product{.x = input_rows(num_rows),
                                  .depth = {1, operands<T>(weights_.input_size), 0},
                                  .weight = weights_.input,
                                  .places = is_normed_ ? nullptr : weights_.input_places,
                                  .y = {gates_ + (is_normed_ ? normed_.products[0] : 0), weights_.row, gate_row_},
                                  .bias = is_normed_ ? nullptr : weights_.input_bias};
      const Range panels = panels_of(mine_.blocks, kInfo.num_gates, weights_.input);
      multiply<V>(product, 0, num_rows, panels.begin, panels.end);
    }
    if (is_normed_) return;  // biases come behind the norm
    for (int slot = kInfo.num_gates; slot < kInfo.num_slots; ++slot)
      for (int64_t i = 0; i < num_rows; ++i)
        for (int64_t block = mine_.blocks.begin; block < mine_.blocks.end; ++block)
          V::load(weights_.late_bias + (block * (kInfo.num_slots - kInfo.num_gates) + slot - kInfo.num_gates) * kLanes)
              .store(gates_ + gate_row_[i] * weights_.row + (block * kInfo.num_slots + slot) * kLanes);
  }

  Rows<const Left<T>> input_rows(int64_t num_rows) const {
    if constexpr (kPerOperand<T> > 1) {
      if (!in_parts_) make_input_operands(num_rows);
      return {x_operands(), operand_row<T>(weights_.input_size)};
    } else {
      return {call_.x, weights_.input_size, x_row_};
    }
  }

  T* x_operands() const {
    return call_.x_operands + worker_.index * call_.chunk_rows * operand_row<T>(weights_.input_size) +
           kOperandHeader<T>;
  }
  void make_input_operands(int64_t num_rows) const {
    const int64_t I = weights_.input_size;
    for (int64_t i = 0; i < num_rows; ++i) round_row(call_.x + x_row_[i] * I, I, x_operands() + i * operand_row<T>(I));
  }

  // The product with a one-hot row is a column of the weight: 0 + 1·w, then the bias.
  void gather_input(int64_t num_rows) {
    const int64_t vectors = weights_.blocks * kInfo.num_gates;
    for (int64_t i = 0; i < num_rows; ++i) {
      const S* column = weights_.input_table + call_.ids[x_row_[i]] * vectors * kLanes;
      S* row = gates_ + gate_row_[i] * weights_.row;
      for (int64_t v = mine_.blocks.begin * kInfo.num_gates; v < mine_.blocks.end * kInfo.num_gates; ++v)
        if (is_normed_)
          (V::zero() + V::load(column + v * kLanes)).store(row + normed_.products[0] + v * kLanes);
        else
          ((V::zero() + V::load(column + v * kLanes)) + V::load(weights_.input_bias + v * kLanes))
              .store(row + weights_.input_places[v].column);
    }
  }

  // The products of one step, each followed by the equations that need it.
  template <int kProduct>
  void step(int64_t s, const int64_t* gate_row) {
    if constexpr (kProduct < kInfo.num_stages()) {
      multiply_and_apply<kProduct>(s, gate_row);
      if (kMeets && call_.split == Split::units) threads::wait(worker_);
      step<kProduct + 1>(s, gate_row);
    }
  }

  template <int kProduct>
  void multiply_and_apply(int64_t s, const int64_t* gate_row) {
    if constexpr (!kMeets) {
      equations<0>(s, gate_row, rows_at(s), mine_.blocks.begin, mine_.blocks.end);
    } else if constexpr (kProduct == kInfo.num_phases()) {
      project(s);
    } else {
      constexpr RecurrentProduct kThis = kInfo.products[kProduct];
      const Packed<T>& packed = weights_.recurrent[kProduct];
      S* const product_of_row = gates_ + (is_normed_ ? normed_.products[kProduct + 1] : 0);
      const Product<S, T> product{.x = source_rows(kThis.source, s),
                                  .depth = {1, operands<T>(source_size(kThis.source)), 0},
                                  .weight = packed,
                                  .places = is_normed_ ? nullptr : weights_.recurrent_places[kProduct],
                                  .y = {product_of_row, weights_.row, gate_row},
                                  .accumulate = !is_normed_};
      const int64_t rows = rows_at(s), blocks_per_panel = packed.panel / kThis.num_slots;
      const Range panels = panels_of(mine_.blocks, kThis.num_slots, packed);
      const int64_t wide = larger<int64_t>(1, Wide<V>::kWidth / kLanes / blocks_per_panel);  // as the equations like it
      to_and_fro(panels, panels_together<T>(panels, rows, wide), s + call_.turn, [&](Range some, int64_t next) {
        multiply<V>(product, 0, rows, some.begin, some.end, next);
        if (!is_normed_)
          equations<kProduct>(s, gate_row, rows, some.begin * blocks_per_panel,
                              smaller(weights_.blocks, some.end * blocks_per_panel));
      });
      if (is_normed_) equations<kProduct>(s, gate_row, rows, 0, weights_.blocks);  // a norm is that of a whole row
    }
  }

  // h from what the equations gave, which all units of the step have part in.
  void project(int64_t s) {
    const int64_t P = weights_.output_size, rows = rows_at(s);
    if (rows <= 0) return;
    const int64_t* const positions = steps_.position + compact(s, 0);
    const Packed<T>& packed = weights_.projection;
    const int64_t units = planted(Bug::half_of_the_units_projected) ? weights_.hidden_size / 2 : weights_.hidden_size;
    const Product<S, T> product{.x = source_rows(Source::reset_hidden, s),
                                .depth = {1, operands<T>(units), 0},
                                .weight = packed,
                                .places = nullptr,
                                .y = {call_.hidden + steps_.batch * P, P, positions},
                                .last_lanes = P - (packed.num_vectors - 1) * kLanes};
    const Range panels = panels_of(mine_.outputs, 1, packed);
    to_and_fro(panels, panels_together<T>(panels, rows), s + call_.turn, [&](Range some, int64_t next) {
      multiply<V>(product, 0, rows, some.begin, some.end, next);
      const Range blocks{some.begin * packed.panel, smaller(packed.num_vectors, some.end * packed.panel)};
      for (int64_t i = 0; i < rows; ++i) finish_hidden(s, i, positions[i], blocks);
    });
  }

  // What follows the h that a projection gave in some blocks of row i.
  void finish_hidden(int64_t s, int64_t i, int64_t position, Range blocks) {
    const int64_t P = weights_.output_size, row = (steps_.batch + position) * P, r = mine_.rows.begin + i;
    const S* mask = call_.options.hidden_mask ? call_.options.hidden_mask + r * padded_ : nullptr;
    for (int64_t unit = blocks.begin * kLanes; has_options_ && unit < smaller(P, blocks.end * kLanes); unit += kLanes)
      around_hidden<V>(call_.options, call_.hidden + steps_.before[compact(s, i)] * P + unit, call_.hidden + row + unit,
                       smaller(kLanes, P - unit), position * P + unit, mask ? mask + unit : nullptr,
                       mask ? call_.options.masked_hidden + row + unit : nullptr);
    if constexpr (kIsRounded) round_units(source_ + row, P, h_operands(s + 1) + r * stored<T>(padded_), blocks);
  }

  template <int kProduct>
  static constexpr Source source_of() {
    return kProduct < kInfo.num_phases() ? kInfo.products[kProduct].source : Source::reset_hidden;
  }
  int64_t source_size(Source source) const {
    return source == Source::hidden ? weights_.output_size : weights_.hidden_size;
  }

  Rows<const Left<T>> source_rows(Source source, int64_t s) const {
    if constexpr (kIsScaled<T>) {
      if (!in_parts_) quantise_source(source, s);
      return {source_operands(), operand_row<T>(padded_)};
    } else if constexpr (kIsRounded) {
      const int64_t stride = stored<T>(padded_);
      return {(source == Source::hidden ? h_operands(s) : call_.reset_operands) + mine_.rows.begin * stride, stride};
    } else {
      if (source == Source::hidden) return {source_, weights_.output_size, steps_.before + compact(s, 0)};
      return {call_.reset_hidden + (call_.has_tape ? compact(s, 0) : mine_.rows.begin) * padded_, padded_, nullptr};
    }
  }

  // A row's scale is that of the whole row: every worker makes the operands of its rows for itself.
  T* source_operands() const {
    return call_.h_operands + worker_.index * steps_.batch * operand_row<T>(padded_) + kOperandHeader<T>;
  }
  void quantise_source(Source source, int64_t s) const {
    for (int64_t i = 0; i < rows_at(s); ++i)
      round_row(source == Source::hidden || planted(Bug::hidden_in_eight_bits_is_not_reset)
                    ? source_ + steps_.before[compact(s, i)] * weights_.output_size
                    : call_.reset_hidden + (mine_.rows.begin + i) * padded_,
                source_size(source), source_operands() + i * operand_row<T>(padded_));
  }

  // The operands of the h before step s.
  T* h_operands(int64_t s) const { return call_.h_operands + s % 2 * steps_.batch * stored<T>(padded_); }

  // Blocks of a row of `width` units to operands; what the last one lacks is 0.
  void round_units(const S* units, int64_t width, T* to, Range blocks) const {
    for (int64_t block = blocks.begin; block < blocks.end; ++block)
      Operand<V, T>::store_along(load<V>(units + block * kLanes, smaller(kLanes, width - block * kLanes)),
                                 to + block * operands<T>(kLanes));
  }

  template <int kProduct>
  void equations(int64_t s, const int64_t* gate_row, int64_t rows, int64_t block_begin, int64_t block_end) {
    const int64_t H = weights_.hidden_size, B = steps_.batch;
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = compact(s, i), r = mine_.rows.begin + i;
      S* gates = gates_ + gate_row[i] * weights_.row;
      const S* h_before = call_.hidden + steps_.before[row] * weights_.output_size;
      S* carried = call_.memory + (call_.has_tape ? B + row : r) * padded_;
      S* memory = call_.options.new_memory ? call_.options.new_memory + row * padded_ : carried;
      const S* memory_before = call_.memory + (call_.has_tape && s > 0 ? B + compact(s - 1, i) : r) * padded_;
      S* reset_hidden = call_.reset_hidden + (call_.has_tape ? row : r) * padded_;
      S* h = kInfo.is_projected ? reset_hidden : call_.hidden + (B + steps_.position[row]) * H;
      const bool is_masked = call_.options.hidden_mask && !kInfo.is_projected;
      const S* mask = is_masked ? call_.options.hidden_mask + r * padded_ : nullptr;
      S* masked = mask ? call_.options.masked_hidden + (B + steps_.position[row]) * H : nullptr;
      if (is_normed_) normalise_products<Cell, kProduct, V>(weights_, gates);
      const auto block_at = [&]<class W>(int64_t block) {
        const int64_t unit = block * kLanes;
        return ForwardBlock<W>{.gates = gates + block * kInfo.num_slots * kLanes,
                               .step = kInfo.num_slots * kLanes,
                               .h_before = h_before + unit,
                               .memory_before = memory_before + unit,
                               .memory = memory + unit,
                               .reset_hidden = reset_hidden + unit,
                               .h = h + unit,
                               .peepholes = weights_.peepholes + block * kInfo.num_peepholes * kLanes,
                               .peephole_step = kInfo.num_peepholes * kLanes,
                               .lanes = smaller(W::kWidth, H - unit)};
      };
      const auto apply = [&]<class W>(int64_t block) {
        const int64_t unit = block * kLanes;
        const ForwardBlock<W> at = block_at.template operator()<W>(block);
        if constexpr (W::kWidth == kLanes) {
          if (has_options_)
            return forward_around<Cell, kProduct>(call_.options, at, steps_.position[row] * H + unit, carried + unit,
                                                  mask ? mask + unit : nullptr, mask ? masked + unit : nullptr);
        }
        Cell::template forward<kProduct>(at);
      };
      if constexpr (kHasMemory) {
        if (is_normed_) {
          S* const squashed = gates + normed_.squashed;
          S* const moments = gates + normed_.moments + kMemoryMoments;
          for_blocks<V>(block_begin, block_end, true, [&]<class W>(int64_t block) {
            ForwardBlock<W> at = block_at.template operator()<W>(block);
            at.memory = squashed + block * kLanes;  // not yet to its place, where the old one may be
            W c;
            Cell::remember(at, c);
          });
          take_moments<V>(squashed, H, weights_.blocks, 1, moments);
          for_blocks<V>(block_begin, block_end, !has_options_, [&]<class W>(int64_t block) {
            const int64_t unit = block * kLanes;
            const ForwardBlock<W> at = block_at.template operator()<W>(block);
            const W c = W::load(squashed + unit), old_memory = W::load(at.memory_before);
            const W shown = fma(W::load(weights_.norms.memory + unit), RowNorm<W>(moments)(c),
                                W::load(weights_.norms.memory_bias + unit));
            tanh(shown).store(squashed + unit);
            (planted(Bug::normalised_memory_carried) ? shown : c).store(at.memory);
            store(at.slot(Cell::kOutputGate) * W::load(squashed + unit), at.h, at.lanes);
            if constexpr (W::kWidth == kLanes) {
              if (has_options_)
                after_equations<Cell, kProduct>(call_.options, at, steps_.position[row] * H + unit, old_memory,
                                                carried + unit, mask ? mask + unit : nullptr,
                                                mask ? masked + unit : nullptr);
            }
          });
        }
      }
      if (!kHasMemory || !is_normed_) for_blocks<V>(block_begin, block_end, !has_options_, apply);
      if constexpr (kIsRounded && kMeets) {
        constexpr bool kGivesHidden = kProduct == kInfo.num_stages() - 1;
        const Range blocks{block_begin, block_end};
        if constexpr (kGivesHidden)
          round_units(mask ? masked : h, H, h_operands(s + 1) + r * stored<T>(padded_), blocks);
        else
          round_units(reset_hidden, H, call_.reset_operands + r * stored<T>(padded_), blocks);
      }
    }
  }

  const ForwardCall<S, T>& call_;
  const Steps& steps_;
  const Weights<S, T>& weights_;
  const threads::Worker& worker_;
  const int64_t padded_;
  const Share mine_;
  int64_t* const gate_row_;
  int64_t* const x_row_;
  const bool has_options_, is_normed_;
  const NormedRow normed_;
  const S* const source_;  // of the hidden products: h, or h times the mask
  S* const gates_;
  int64_t first_row_ = 0;  // the compact row at the start of the gates
  const bool in_parts_;
};

template <class Cell, class V, class T, class S = typename V::Scalar>
void forward(const ForwardCall<S, T>& call) {
  const auto run = [&](const threads::Worker& worker) {
    ForwardLoop<Cell, V, T>(call, worker, share_call(call.steps, call.split, *call.weights, worker)).run();
  };
  if (call.split == Split::rows)
    in_shares(call.workers, call.shares, run);
  else
    parallel(call.workers, run);
}

// One step in parts (unroll/stepper.h): its products in order, each when all parts of the one before are done, and each
// prepared before. The blocks are of units, or for a projection of h.
template <class Cell, class V, class T, class S = typename V::Scalar>
void forward_part(const ForwardCall<S, T>& call, int64_t s, int product, int64_t first_block, int64_t end_block) {
  const threads::Worker alone{0, 1, nullptr};
  const Range blocks{first_block, end_block};
  ForwardLoop<Cell, V, T>(call, alone, {{0, call.steps.batch}, blocks, blocks}, true).part(s, product);
  release_tiles();
}

// `with_hidden`: the operands of h are not there yet from the step before.
template <class Cell, class V, class T, class S = typename V::Scalar>
void prepare_part(const ForwardCall<S, T>& call, int64_t s, int product, bool with_hidden) {
  const threads::Worker alone{0, 1, nullptr};
  const Share all{{0, call.steps.batch}, {0, call.weights->blocks}, {0, call.weights->output_blocks}};
  ForwardLoop<Cell, V, T> loop(call, alone, all, true);
  if (with_hidden) loop.round_hidden(s);
  loop.prepare(s, product);
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
