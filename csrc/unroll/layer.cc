// The memory of calls and how they are shared out; the arithmetic is elsewhere.
#include "unroll/layer.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "mutants.h"
#include "threads/team.h"
#include "unroll/padded.h"

namespace rnnkit {
namespace {

// Input rows projected together: enough to use the weights well, few enough for the cache.
constexpr int64_t kChunkRows = 128;
constexpr int64_t kWindowRows = 1024;  // steps run again together hold about so many rows: their gates leave the cache
constexpr int64_t kCache = 1 << 20;    // bytes of weights that stay in the second-level cache beside the rest

template <class T>
int64_t bytes_of(int64_t weights) {
  return operands<T>(weights) * static_cast<int64_t>(sizeof(T));
}

// Rows of operands are written without their ends, which must be 0.
template <class T>
void clear(const Buffer<T>& buffer, int64_t count) {
  std::memset(static_cast<void*>(buffer.get()), 0, static_cast<size_t>(count) * sizeof(T));
}

// Zeros beyond every row's length in [T, B, width].
template <class S>
void zero_padding(const StepIndex& index, int64_t num_steps, int64_t width, S* out) {
  if (!index.is_ragged() || planted(Bug::padding_not_zeroed)) return;
  const int64_t batch = index.steps().batch;
  for (int64_t r = 0; r < batch; ++r)
    for (int64_t t = index.length(r); t < num_steps; ++t)
      std::fill_n(out + (t * batch + index.row(r)) * width, width, S(0));
}

}  // namespace

// What a step multiplies beside its input.
template <class S, class T>
int64_t Layer<S, T>::recurrent_weights() const {
  const int64_t P = output_size();
  return (info().num_products > 0 ? info().num_gates * P : 0) * hidden_size() +
         (info().is_projected ? P * hidden_size() : 0);
}

// No bit depends on what the next two choose. Shares of rows need no barrier, but each streams all the weights: that
// pays with many rows, or while the weights stay in the second-level cache. Shares of units meet at every step, which a
// step must be worth: on a busy machine a barrier costs a time slice.
template <class S, class T>
Split Layer<S, T>::choose_split(int64_t batch, int workers) const {
  const int64_t blocks = packed_.weights().blocks;
  if (packed_.weights().norms.is_on())
    return Split::rows;  // a norm wants whole rows: units would meet twice more per product
  constexpr int64_t kManyRows = 24, kFewRows = 6, kWorthABarrier = 200'000;
  const int64_t weights = recurrent_weights(), rows = batch / workers;
  if (info().num_products == 0)  // nothing to wait for: units only where rows would leave a worker idle
    return rows >= 1 || blocks < kPanel * workers ? Split::rows : Split::units;
  if (rows >= kManyRows || (rows >= kFewRows && bytes_of<T>(weights) <= kCache)) return Split::rows;
  const bool can_part = blocks >= kPanel * workers;
  return can_part && batch * weights / workers >= kWorthABarrier ? Split::units : Split::rows;
}

// Shares of rows that the workers take one after the other, so that one who is held up leaves the rest of his to
// others: as many as cost nothing, since each goes through all the weights again.
template <class S, class T>
int Layer<S, T>::choose_shares(Split split, int64_t batch, int workers) const {
  constexpr int64_t kRowsOfAShare = 12;
  if (split == Split::units) return workers;
  const bool in_halves = batch >= 2 * workers * kRowsOfAShare && bytes_of<T>(recurrent_weights()) <= kCache;
  return in_halves ? 2 * workers : static_cast<int>(std::clamp<int64_t>(batch, 1, workers));
}

template <class S, class T>
int Layer<S, T>::choose_workers(const Steps& steps) const {
  constexpr int64_t kEnough = 1 << 22;  // multiplications that pay for waking a worker
  const int64_t weights = info().num_gates * hidden_size() * input_size() + recurrent_weights();
  // Weights that do not stay in the cache cost as much as eight rows of multiplications, however few the rows are.
  const int64_t least = bytes_of<T>(weights) > kCache ? 8 * steps.num_steps : 0;
  const int64_t work = std::max(steps.num_rows(), least) * weights;
  return static_cast<int>(std::clamp<int64_t>(work / kEnough, 1, threads::get_num_threads()));
}

template <class S, class T>
Unrolled<S> Layer<S, T>::forward(const Call& call) {
  const Weights<S, T>& weights = packed_.for_forward(call.ids != nullptr);
  const int64_t num_steps = call.num_steps, B = call.batch, H = hidden_size(), padded = weights.blocks * kLanes;
  const int64_t P = output_size();
  const CellInfo& cell = info();
  StepIndex index(num_steps, B, call.lengths, call.reverse);
  const Steps steps = index.steps();
  const int workers = choose_workers(steps);
  const Split split = choose_split(B, workers);
  const int shares = choose_shares(split, B, workers);
  const bool has_memory = cell.num_parts > 1, has_reset_hidden = cell.has_inner();
  const int64_t chunk_rows = std::max(kChunkRows, B), tape_rows = call.keep_tape ? steps.num_rows() : 0;

  Unrolled<S> result{.hidden = Buffer<S>((num_steps + 1) * B * P), .state = {}, .tape = nullptr};
  Buffer<S> memory(has_memory ? (B + tape_rows) * padded : 0);
  Buffer<S> reset_hidden(has_reset_hidden ? std::max(B, tape_rows) * padded : 0);
  const bool keep_gates = call.keep_tape && !call.recompute;
  Buffer<S> gates((keep_gates ? tape_rows : shares * chunk_rows) * weights.row);
  const bool has_mask = call.hidden_mask != nullptr;
  Buffer<S> new_memory, hidden_mask(has_mask ? B * padded : 0), masked_hidden(has_mask ? (num_steps + 1) * B * P : 0);
  if (call.keep_tape && has_memory && call.zoneout[1].is_on()) new_memory = Buffer<S>(tape_rows * padded);
  const Buffer<int64_t> lists(2 * shares * chunk_rows);
  const OperandRoom<T> room(B, shares, shares * chunk_rows, padded, call.ids == nullptr ? input_size() : 0,
                            has_reset_hidden);
  const Buffer<T> h_operands(room.hidden), reset_operands(room.reset_hidden), x_operands(room.input);
  clear(h_operands, room.hidden);
  clear(reset_operands, room.reset_hidden);
  copy_padded(call.state[0], B * P, B * P, result.hidden.get());
  zero_padding(index, num_steps, P, result.hidden.get() + B * P);
  for (int64_t r = 0; has_memory && r < B; ++r)
    copy_padded(call.state[1] ? call.state[1] + index.row(r) * H : nullptr, H, padded, memory.get() + r * padded);

  Options<S> options{};
  for (int part = 0; part < cell.num_parts; ++part) options.zoneout[part] = call.zoneout[part];
  options.new_memory = new_memory.get();
  for (int64_t r = 0; has_mask && r < B; ++r) {
    const S* mask = call.hidden_mask + index.row(r) * P;
    copy_padded(mask, P, padded, hidden_mask.get() + r * padded);
    for (int64_t at = index.row(r) * P, unit = 0; unit < P; ++unit)
      masked_hidden.get()[at + unit] = result.hidden.get()[at + unit] * mask[unit];
  }
  options.hidden_mask = has_mask ? hidden_mask.get() : nullptr;
  options.masked_hidden = has_mask ? masked_hidden.get() : nullptr;
  Options<S> traced = options;
  if (call.trace) {
    for (int i = 0; i < cell.num_gates + (has_memory ? 1 : 0); ++i) {
      result.trace.emplace_back(num_steps * B * H);
      zero_padding(index, num_steps, H, result.trace[i].get());
    }
    for (int slot = 0; slot < cell.num_gates; ++slot)
      traced.trace[slot] =
          result.trace[planted(Bug::trace_in_another_order) ? cell.num_gates - 1 - slot : cell.input_gates[slot]].get();
    traced.trace[4] = has_memory ? result.trace[cell.num_gates].get() : nullptr;
  }

  functions_.forward({.weights = &weights,
                      .steps = steps,
                      .split = split,
                      .workers = workers,
                      .shares = shares,
                      .x = call.x,
                      .ids = call.ids,
                      .hidden = result.hidden.get(),
                      .memory = memory.get(),
                      .reset_hidden = reset_hidden.get(),
                      .gates = gates.get(),
                      .has_tape = call.keep_tape,
                      .has_gates = keep_gates,
                      .chunk_rows = chunk_rows,
                      .lists = lists.get(),
                      .x_operands = x_operands.get(),
                      .h_operands = h_operands.get(),
                      .reset_operands = reset_operands.get(),
                      .options = traced,
                      .turn = next_turn()});

  for (int part = 0; part < cell.num_parts; ++part) result.state[part] = Buffer<S>(B * part_size(part));
  for (int64_t r = 0; r < B; ++r) {
    const int64_t b = index.row(r), last = index.length(r) - 1;
    const int64_t row = last < 0 ? r : steps.offset[last] + r;  // compact
    const int64_t h_row = last < 0                                     ? b
                          : planted(Bug::state_taken_at_the_last_step) ? num_steps * B + b
                                                                       : B + steps.position[row];
    std::memcpy(result.state[0].get() + b * P, result.hidden.get() + h_row * P, P * sizeof(S));
    if (has_memory) {
      const int64_t memory_row = call.keep_tape && last >= 0 ? B + row : r;
      std::memcpy(result.state[1].get() + b * H, memory.get() + memory_row * padded, H * sizeof(S));
    }
  }
  if (call.keep_tape) {
    result.tape = std::make_unique<Tape<S>>(Tape<S>{index, num_steps, B, call.x, Buffer<int64_t>(), result.hidden,
                                                    memory, reset_hidden, keep_gates ? gates : Buffer<S>(), options,
                                                    new_memory, hidden_mask, masked_hidden});
    if (call.ids != nullptr) {
      result.tape->ids = Buffer<int64_t>(num_steps * B);
      std::copy_n(call.ids, num_steps * B, result.tape->ids.get());
    }
  }
  return result;
}

template <class S, class T>
Gradients<S> Layer<S, T>::backward(Tape<S>& tape, const BackwardArguments& arguments) {
  const bool one_hot = static_cast<bool>(tape.ids), need_dx = arguments.need_dx && !one_hot;
  const Weights<S, T>& weights = packed_.for_backward(need_dx);
  const Arguments& given = packed_.arguments();
  const int64_t num_steps = tape.num_steps, B = tape.batch, I = input_size(), H = hidden_size();
  const int64_t padded = weights.blocks * kLanes, P = output_size(), padded_output = weights.output_blocks * kLanes;
  const CellInfo& cell = info();
  const Steps steps = tape.index.steps();
  const int workers = choose_workers(steps);
  const bool again = !tape.gates;  // without gates on the tape the steps are run again, window by window
  const Split split = choose_split(B, workers);
  const int shares = again ? workers : choose_shares(split, B, workers), most = std::max(workers, shares);
  const int64_t chunk_rows = std::max(kChunkRows, B), G = cell.num_gates;
  const int64_t scratch_size = gradient_scratch<T>(ceil_div(std::max(I, H), kLanes) + 2);

  Gradients<S> result;
  if (need_dx) {
    result.x = Buffer<S>(num_steps * B * I);
    zero_padding(tape.index, num_steps, I, result.x.get());
  }
  result.weight_ih = Buffer<S>(G * H * I);
  if (cell.num_products > 0) result.weight_hh = Buffer<S>(G * H * P);
  if (cell.is_projected) result.weight_hr = Buffer<S>(P * H);
  if (cell.num_peepholes > 0) result.weight_peephole = Buffer<S>(cell.num_peepholes * H);
  const bool is_normed = weights.norms.is_on();
  if (is_normed) result.weight_norm_ih = Buffer<S>(G * H);
  if (is_normed && cell.num_products > 0) result.weight_norm_hh = Buffer<S>(G * H);
  if (is_normed && cell.num_parts > 1) result.weight_norm_c = Buffer<S>(H);
  if (given.bias_norm_c != nullptr) result.bias_norm_c = Buffer<S>(H);
  if (given.bias_ih != nullptr) result.bias_ih = Buffer<S>(G * H);
  if (given.bias_hh != nullptr) result.bias_hh = Buffer<S>(G * H);
  std::array<Buffer<S>, 2> d_state{Buffer<S>(0), Buffer<S>(0)};
  for (int part = 0; part < cell.num_parts; ++part) {
    d_state[part] = Buffer<S>(B * padded);
    const S* d_final = part == 1 && planted(Bug::final_memory_gradient_ignored) ? nullptr : arguments.d_state[part];
    const int64_t width = part_size(part);
    for (int64_t r = 0; r < B; ++r)
      copy_padded(d_final ? d_final + tape.index.row(r) * width : nullptr, width, padded,
                  d_state[part].get() + r * padded);
  }
  const Buffer<S> d_reset_hidden(cell.has_inner() ? B * padded : 0);
  const Buffer<S> d_projected(cell.is_projected ? steps.num_rows() * padded_output : 0);
  const bool is_rounded = kPerOperand<T> > 1;
  const int64_t gate_size =
      is_rounded || is_normed ? 2 * B * rnnkit::gate_operands<Left<T>>(cell, weights.blocks, cell.num_products) : 0;
  const int64_t chunk_size =
      (is_rounded || is_normed) && need_dx ? chunk_rows * stored<Left<T>>(weights.blocks * G * kLanes) : 0;
  const int64_t projected_size = is_rounded && cell.is_projected ? B * stored<T>(padded_output) : 0;
  const Buffer<T> projected_operands(projected_size);
  clear(projected_operands, projected_size);
  const Buffer<Left<T>> gate_operands(gate_size), chunk_operands(most * chunk_size);
  const Buffer<T> scratch(workers * scratch_size);
  clear(gate_operands, gate_size);
  const Buffer<int64_t> lists(2 * most * chunk_rows);
  const Buffer<S> d_masked(tape.options.hidden_mask ? B * padded : 0);
  Buffer<S> d_table;
  Buffer<int64_t> sorted;
  if (one_hot) {
    d_table = Buffer<S>(I * weights.blocks * G * kLanes);
    sorted = Buffer<int64_t>(steps.num_rows());
    std::iota(sorted.get(), sorted.get() + steps.num_rows(), int64_t{0});
    const auto id = [&](int64_t row) { return tape.ids.get()[steps.position[row]]; };
    for (int64_t begin = 0; begin < steps.num_rows(); begin += kGradientBlock)
      std::stable_sort(sorted.get() + begin, sorted.get() + std::min(begin + kGradientBlock, steps.num_rows()),
                       [&](int64_t a, int64_t b) { return id(a) < id(b); });
  }

  // Everything that it takes to run the steps of a window again.
  const int64_t window_rows = std::min(std::max(kWindowRows, 4 * B) + kGradientBlock, steps.num_rows());
  const Buffer<S> window(again ? window_rows * weights.row : 0);
  const int64_t h_row = again && is_rounded ? stored<T>(padded) : 0;
  const Buffer<int64_t> lists_again(again ? 2 * workers * chunk_rows : 0);
  const Buffer<T> x_operands(again && is_rounded && !one_hot ? workers * chunk_rows * stored<T>(I) : 0);
  const Buffer<T> h_operands(2 * B * h_row), reset_operands(cell.has_inner() ? B * h_row : 0);
  clear(h_operands, 2 * B * h_row);
  if (cell.has_inner()) clear(reset_operands, B * h_row);
  const ForwardCall<S, T> forward_again{.weights = &weights,
                                        .steps = steps,
                                        .split = split,
                                        .workers = workers,
                                        .shares = shares,
                                        .x = tape.x,
                                        .ids = tape.ids.get(),
                                        .hidden = tape.hidden.get(),
                                        .memory = tape.memory.get(),
                                        .reset_hidden = tape.reset_hidden.get(),
                                        .gates = window.get(),
                                        .has_tape = true,
                                        .has_gates = true,
                                        .chunk_rows = chunk_rows,
                                        .lists = lists_again.get(),
                                        .x_operands = x_operands.get(),
                                        .h_operands = h_operands.get(),
                                        .reset_operands = reset_operands.get(),
                                        .options = tape.options,
                                        .turn = 0};

  functions_.backward({.weights = &weights,
                       .steps = steps,
                       .split = split,
                       .workers = workers,
                       .shares = shares,
                       .is_alone = split == Split::rows && B == 1 && workers > 1 && !again,
                       .x = tape.x,
                       .ids = tape.ids.get(),
                       .sorted = sorted.get(),
                       .hidden = tape.hidden.get(),
                       .memory = tape.memory.get(),
                       .reset_hidden = tape.reset_hidden.get(),
                       .options = tape.options,
                       .gates = again ? window.get() : tape.gates.get(),
                       .again = again ? &forward_again : nullptr,
                       .window_rows = window_rows,
                       .d_output = arguments.d_output,
                       .dh = d_state[0].get(),
                       .d_memory = d_state[1].get(),
                       .d_reset_hidden = d_reset_hidden.get(),
                       .d_projected = d_projected.get(),
                       .d_masked = d_masked.get(),
                       .dx = result.x.get(),
                       .d_weight_ih = result.weight_ih.get(),
                       .d_weight_hh = result.weight_hh.get(),
                       .d_weight_hr = result.weight_hr.get(),
                       .d_bias_ih = result.bias_ih.get(),
                       .d_bias_hh = result.bias_hh.get(),
                       .d_peephole = result.weight_peephole.get(),
                       .d_norm_ih = result.weight_norm_ih.get(),
                       .d_norm_hh = result.weight_norm_hh.get(),
                       .d_norm_c = result.weight_norm_c.get(),
                       .d_norm_bias_c = result.bias_norm_c.get(),
                       .d_table = d_table.get(),
                       .chunk_rows = chunk_rows,
                       .lists = lists.get(),
                       .gate_operands = gate_operands.get(),
                       .projected_operands = projected_operands.get(),
                       .chunk_operands = chunk_operands.get(),
                       .scratch = scratch.get(),
                       .scratch_size = scratch_size});

  for (int part = 0; part < cell.num_parts; ++part) {
    const int64_t width = part_size(part);
    result.state[part] = Buffer<S>(B * width);
    for (int64_t r = 0; r < B; ++r) {
      const int64_t b = planted(Bug::initial_gradients_left_sorted) ? r : tape.index.row(r);
      std::memcpy(result.state[part].get() + b * width, d_state[part].get() + r * padded, width * sizeof(S));
    }
  }
  tape.gates = Buffer<S>();  // overwritten; the rest goes with the tape
  tape.is_used = true;
  return result;
}

template class Layer<float>;
template class Layer<float, Pair>;
template class Layer<float, Triple>;
template class Layer<float, Quad>;
template class Layer<double>;

}  // namespace rnnkit
