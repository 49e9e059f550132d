// The gradients of a layer's parameters from those of its gates: products over rows, in blocks of kGradientBlock whose
// sums are added from the last one to the first.
#pragma once

#include "gemm/gradient.h"
#include "gemm/row_norm.h"
#include "threads/team.h"
#include "unroll/call.h"
#include "unroll/norm.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

template <class Cell, class V, class T, class S = typename V::Scalar>
class WeightGradients {
 public:
  WeightGradients(const BackwardCall<S, T>& call, const threads::Worker& worker)
      : call_(call),
        steps_(call.steps),
        weights_(*call.weights),
        worker_(worker),
        padded_(weights_.blocks * kLanes),
        is_normed_(weights_.norms.is_on()),
        normed_(normed_row(kInfo, weights_.blocks)) {}

  // Before the first and after the last of the rows are added.
  void begin() {
    if (call_.ids != nullptr) clear_table();
  }
  void end() {
    if (call_.ids != nullptr) one_hot_weights();
  }

  // The compact rows [begin, end); those behind them have been added before. The gates begin with those of `first_row`.
  void add(int64_t begin, int64_t end, int64_t first_row) {
    first_row_ = first_row;
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
      weight_gradient(
          begin, end, {call_.d_projected + begin * weights_.output_blocks * kLanes, weights_.output_blocks * kLanes},
          weights_.projection_places, weights_.output_blocks, {call_.reset_hidden + begin * padded_, padded_},
          weights_.hidden_size, call_.d_weight_hr, nullptr, nullptr);
    if constexpr (kInfo.num_peepholes > 0) peephole_gradients(begin, end);
    if (kInfo.num_parts > 1 && is_normed_) memory_norm_gradients(begin, end);
  }

 private:
  static constexpr const CellInfo& kInfo = Cell::info;

  S* gates(int64_t row) const { return call_.gates + (row - first_row_) * weights_.row; }

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
  const int64_t padded_;
  const bool is_normed_;
  const NormedRow normed_;
  int64_t first_row_ = 0;
};

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
