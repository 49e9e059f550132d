// Linear + softmax + cross-entropy, forward and backward in one call, over chunks of rows: the logits of a whole batch
// never exist at once.
//
// The logits of a chunk are held transposed, [V][rows of the chunk]. So the weight is read as it lies in memory, only
// the few rows of x are packed, and all three products run over neighbouring memory:
//   logits^T = W X^T;   dW += D^T X;   dX = D W = (D^T)^T W      with D = w (softmax - target).
// The target is the one-hot row, or smoothed (1 - e) of it and e / V everywhere (Szegedy et al. 2016).
// The vocabulary is worked through in blocks of kBlock: a block's logits are still in the second-level cache when their
// largest and their sum of exponentials are taken, and D^T is when it is multiplied.
// Source of the idea: Liger Kernel (Hsu et al. 2024) and Cut Cross-Entropy (Wijmans et al. 2024) on a GPU.
#include "gemm/gradient.h"
#include "gemm/pack.h"
#include "gemm/product.h"
#include "heads/functions.h"
#include "heads/lanes.h"
#include "memory.h"
#include "simd/math.h"
#include "threads/parallel.h"

extern "C" double log(double) noexcept;

namespace rnnkit::RNNKIT_ISA_NAMESPACE {
namespace {

constexpr int64_t kBlock = 256;  // rows of the weight: one float sum of exponentials each
// Rows of a chunk: as many as these logits hold, but no more than keep a small vocabulary's chunk in the cache.
constexpr int64_t kLogitsBytes = int64_t{96} << 20, kMostRows = 1024;

using memory::acquire;

template <class T>
struct Chunk {
  const LinearCrossEntropy& call;
  const float* x;                 // [rows, inputs]: rows that count, side by side
  float* dx;                      // likewise
  const int64_t* index;           // row of the call behind each of them
  int64_t rows, vectors, stride;  // stride: of a row of `logits`
  bool is_first;
  Place* places;     // [vectors], over the rows of the chunk
  Packed<T> x_rows;  // X^T in panels
  T* x_rows_data;
  Packed<T> x_columns;  // X in panels
  T* x_columns_data;
  T* left;        // [workers][kBlock][operands of a row of the weight or of D^T]: the left side of a product, rounded
  float* logits;  // [V][stride]; without gradients [workers][kBlock][stride]
  float *block_largest, *block_sum;  // [blocks][stride]
  float* block_total;                // [blocks][stride]: of the logits themselves, where targets are smoothed
  float *largest, *scale;            // [stride]: of the row's logits; w / sum of exponentials
  float* target_logit;               // [stride]
  float* everywhere;                 // [stride]: w e / V, where targets are smoothed

  // kBlock rows or fewer of the weight or of D^T as the left side of a product.
  Rows<const T> left_rows(const float* values, int64_t row_stride, int64_t rows_wanted, int64_t width,
                          const threads::Worker& worker) const {
    if constexpr (kPerOperand<T> == 1) {
      return {values, row_stride};
    } else {
      const int64_t operands_wide = stored<T>(width);
      T* to = left + worker.index * kBlock * stored<T>(larger(call.inputs, stride));
      for (int64_t r = 0; r < rows_wanted; ++r) round_row(values + r * row_stride, width, to + r * operands_wide);
      return {to, operands_wide};
    }
  }
};

// Rows of x in one chunk: a multiple of kBlock, from the vocabulary's size alone.
int64_t chunk_rows(int64_t outputs) {
  const int64_t blocks = kLogitsBytes / (outputs * int64_t{sizeof(float)} * kBlock);
  return smaller(kMostRows, larger<int64_t>(1, blocks) * kBlock);
}

// One column of vectors (16 rows of the chunk each) through one block of logits: adds the bias; leaves largest and sum.
template <class T>
void summarise(const Chunk<T>& c, float* logits, int64_t v_begin, int64_t v_end, int64_t vector, int64_t summary) {
  const float* bias = c.call.bias;
  float* column = logits + vector * kLanes;
  F top = F::broadcast(kLowest);
  for (int64_t v = v_begin; v < v_end; ++v, column += c.stride) {
    F logit = F::load(column);
    if (bias) (logit = logit + F::broadcast(bias[v])).store(column);
    top = max(logit, top);
  }
  F total = F::zero();
  column = logits + vector * kLanes;
  for (int64_t v = v_begin; v < v_end; ++v, column += c.stride) total = total + exp(F::load(column) - top);
  top.store(c.block_largest + summary + vector * kLanes);
  total.store(c.block_sum + summary + vector * kLanes);
  if (c.call.smoothing == 0) return;
  F plain = F::zero();
  column = logits + vector * kLanes;
  for (int64_t v = v_begin; v < v_end; ++v, column += c.stride) plain = plain + F::load(column);
  plain.store(c.block_total + summary + vector * kLanes);
}

template <class T>
void forward_block(const Chunk<T>& c, int64_t block, Range panels, float* logits, const threads::Worker& worker) {
  const int64_t v_begin = block * kBlock, v_end = smaller(c.call.outputs, v_begin + kBlock);
  const int64_t inputs = c.call.inputs;
  const Product<float, T> product{
      .x = c.left_rows(c.call.weight + v_begin * inputs, inputs, v_end - v_begin, inputs, worker),
      .depth = {1, operands<T>(inputs), 0},
      .weight = c.x_rows,
      .places = nullptr,
      .y = {logits, c.stride}};
  multiply<F>(product, 0, v_end - v_begin, panels.begin, panels.end);
  const int64_t begin = panels.begin * kPanel, end = smaller(c.vectors, panels.end * kPanel);
  for (int64_t vector = begin; vector < end; ++vector) summarise(c, logits, v_begin, v_end, vector, block * c.stride);
  for (int64_t r = begin * kLanes; r < smaller(c.rows, end * kLanes); ++r) {
    const int64_t target = c.call.targets[c.index[r]];
    if (target >= v_begin && target < v_end) c.target_logit[r] = logits[(target - v_begin) * c.stride + r];
  }
}

// From the blocks' sums to the loss of sixteen rows and to what their gradient needs; the blocks are added in double.
template <class T>
void finish_rows(const Chunk<T>& c, int64_t vector, int64_t num_blocks) {
  const int64_t at = vector * kLanes;
  F top = F::broadcast(kLowest);
  for (int64_t b = 0; b < num_blocks; ++b) top = max(F::load(c.block_largest + b * c.stride + at), top);
  double total[kLanes] = {};
  for (int64_t b = 0; b < num_blocks; ++b) {
    float factor[kLanes];
    const F largest = F::load(c.block_largest + b * c.stride + at);
    exp((planted(Bug::blocks_of_the_vocabulary_added_as_they_are) ? top : largest) - top).store(factor);
    const float* sum = c.block_sum + b * c.stride + at;
    for (int64_t i = 0; i < kLanes; ++i) total[i] += static_cast<double>(factor[i]) * sum[i];
  }
  top.store(c.largest + at);
  const double smoothing = c.call.smoothing, outputs = static_cast<double>(c.call.outputs);
  for (int64_t i = 0; i < kLanes; ++i) {
    const bool is_row = at + i < c.rows;
    const int64_t row = is_row ? c.index[at + i] : 0;
    const double weight = !is_row ? 0.0 : c.call.row_weights ? c.call.row_weights[row] : 1.0;
    if (is_row) {
      double loss = ::log(total[i]) + (static_cast<double>(c.largest[at + i]) - c.target_logit[at + i]);
      if (smoothing != 0 && !planted(Bug::smoothing_missing_in_the_loss)) {
        double plain = 0;
        for (int64_t b = 0; b < num_blocks; ++b) plain += c.block_total[b * c.stride + at + i];
        loss += smoothing * (c.target_logit[at + i] - plain / outputs);
      }
      c.call.losses[row] = static_cast<float>(loss);
    }
    c.scale[at + i] = is_row ? static_cast<float>(weight / total[i]) : 0.0f;
    c.everywhere[at + i] = static_cast<float>(weight * smoothing / outputs);
  }
}

// Logits of one block to D^T, in place; its targets lose their row's weight.
template <class T>
void differentiate(const Chunk<T>& c, int64_t block, Range panels) {
  const int64_t v_begin = block * kBlock, v_end = smaller(c.call.outputs, v_begin + kBlock);
  const int64_t begin = panels.begin * kPanel, end = smaller(c.vectors, panels.end * kPanel);
  const bool is_smoothed = c.call.smoothing != 0 && !planted(Bug::smoothing_missing_in_the_gradient);
  const float of_target = is_smoothed ? 1.0f - c.call.smoothing : 1.0f;
  for (int64_t v = v_begin; v < v_end; ++v) {
    float* row = c.logits + v * c.stride;
    for (int64_t vector = begin; vector < end; ++vector) {
      float* at = row + vector * kLanes;
      F d = exp(F::load(at) - F::load(c.largest + vector * kLanes)) * F::load(c.scale + vector * kLanes);
      if (is_smoothed) d = d - F::load(c.everywhere + vector * kLanes);
      d.store(at);
    }
  }
  for (int64_t r = begin * kLanes; r < smaller(c.rows, end * kLanes); ++r) {
    const int64_t row = c.index[r], target = c.call.targets[row];
    if (target >= v_begin && target < v_end)
      c.logits[target * c.stride + r] -=
          of_target *
          (c.call.row_weights && !planted(Bug::weight_of_a_row_not_on_its_target) ? c.call.row_weights[row] : 1.0f);
  }
}

// dW and db of one block, input columns of `panels`, added to those of the chunks before.
template <class T>
void weight_gradient(const Chunk<T>& c, int64_t block, Range panels, const threads::Worker& worker) {
  const int64_t v_begin = block * kBlock, v_end = smaller(c.call.outputs, v_begin + kBlock), inputs = c.call.inputs;
  const Product<float, T> product{
      .x = c.left_rows(c.logits + v_begin * c.stride, c.stride, v_end - v_begin, c.rows, worker),
      .depth = {1, operands<T>(c.rows), 0},
      .weight = c.x_columns,
      .places = nullptr,
      .y = {c.call.dweight + v_begin * inputs, inputs},
      .last_lanes = inputs - (c.x_columns.num_vectors - 1) * kLanes,
      .accumulate = !c.is_first && !planted(Bug::gradient_of_the_last_chunk_only)};
  multiply<F>(product, 0, v_end - v_begin, panels.begin, panels.end);
  if (c.call.dbias == nullptr || panels.begin != 0 || panels.end == 0) return;  // the worker of the first panel only
  for (int64_t v = v_begin; v < v_end; ++v) {                                   // D^T is 0 beyond the chunk's rows
    F sum = F::zero();
    for (int64_t i = 0; i < c.vectors; ++i) sum = sum + F::load(c.logits + v * c.stride + i * kLanes);
    const float total = sum_lanes(sum);
    c.call.dbias[v] = c.is_first ? total : c.call.dbias[v] + total;
  }
}

// One worker's part of a chunk. Work is split over blocks of the vocabulary, or over rows where there are few blocks.
template <class T>
void work(const Chunk<T>& c, const threads::Worker& worker) {
  const int64_t inputs = c.call.inputs, num_blocks = ceil_div(c.call.outputs, kBlock);
  const bool is_training = c.call.dx != nullptr, by_rows = num_blocks < 2 * worker.size;
  const Range all_panels{0, c.x_rows.num_panels()}, my_panels = share(all_panels.end, worker.index, worker.size);
  const Range blocks = by_rows ? Range{0, num_blocks} : share(num_blocks, worker.index, worker.size);
  const Range panels = by_rows ? my_panels : all_panels;
  const int64_t input_vectors = ceil_div(inputs, kLanes), input_panels = ceil_div(input_vectors, kPanel);
  const Range my_inputs = share(input_panels, worker.index, worker.size);

  pack_rows<F>(c.x, inputs, c.places, c.x_rows, c.x_rows_data, my_panels.begin, my_panels.end);
  if (is_training)
    pack_columns<F>(c.x, inputs, c.places, c.vectors, false, c.x_columns, c.x_columns_data, my_inputs.begin,
                    my_inputs.end);
  threads::wait(worker);

  for (int64_t b = blocks.begin; b < blocks.end; ++b)
    forward_block(c, b, panels, c.logits + (is_training ? b : worker.index) * kBlock * c.stride, worker);
  threads::wait(worker);
  const Range my_vectors = share(c.vectors, worker.index, worker.size);
  for (int64_t vector = my_vectors.begin; vector < my_vectors.end; ++vector) finish_rows(c, vector, num_blocks);
  threads::wait(worker);
  if (!is_training) return;

  for (int64_t b = blocks.begin; b < blocks.end; ++b) {
    differentiate(c, b, panels);
    if (!by_rows) weight_gradient(c, b, {0, input_panels}, worker);
  }
  threads::wait(worker);
  if (by_rows) {
    for (int64_t b = 0; b < num_blocks; ++b) weight_gradient(c, b, my_inputs, worker);
  }
  T* scratch = acquire<T>(gradient_scratch<T>(input_vectors));
  const WeightGradient<float> dx{{c.logits, c.stride}, c.places, c.vectors, {c.call.weight, inputs}, inputs,
                                 c.call.outputs,       c.dx};
  if (c.vectors >= input_vectors) {
    gradient<F>(dx, my_vectors.begin, my_vectors.end, 0, input_vectors, scratch);
  } else {
    const Range columns = share(ceil_div(input_vectors, tiles::kGradientColumns), worker.index, worker.size);
    gradient<F>(dx, 0, c.vectors, columns.begin * tiles::kGradientColumns,
                smaller(input_vectors, columns.end * tiles::kGradientColumns), scratch);
  }
  memory::release(scratch);
  threads::wait(worker);
}

}  // namespace

template <class T>
void linear_cross_entropy(const LinearCrossEntropy& call) {
  const bool is_training = call.dx != nullptr;
  const int64_t inputs = call.inputs;
  int64_t* index = acquire<int64_t>(call.rows + 1);
  int64_t active = 0;
  for (int64_t r = 0; r < call.rows; ++r) {
    if (call.row_weights == nullptr || call.row_weights[r] != 0) {
      index[active++] = r;
      continue;
    }
    call.losses[r] = 0;
    if (is_training) memset(call.dx + r * inputs, 0, static_cast<size_t>(inputs) * sizeof(float));
  }
  const bool all_count = active == call.rows;
  float* gathered = acquire<float>(all_count ? 1 : active * inputs + 1);
  float* gathered_dx = acquire<float>(all_count || !is_training ? 1 : active * inputs + 1);
  for (int64_t r = 0; r < active && !all_count; ++r)
    memcpy(gathered + r * inputs, call.x + index[r] * inputs, static_cast<size_t>(inputs) * sizeof(float));
  if (is_training && active == 0) {
    memset(call.dweight, 0, static_cast<size_t>(call.outputs * inputs) * sizeof(float));
    if (call.dbias) memset(call.dbias, 0, static_cast<size_t>(call.outputs) * sizeof(float));
  }

  const int64_t most = smaller(active, chunk_rows(call.outputs)), vectors = ceil_div(most, kLanes);
  // Rows a multiple of 1 KiB apart would fall into the same few sets of the first-level cache.
  const int64_t stride = vectors * kLanes + (vectors % 16 == 0 ? kLanes : 0);
  const int64_t num_blocks = ceil_div(call.outputs, kBlock), num_workers = threads::get_num_threads();
  Place* places = acquire<Place>(vectors + 1);
  T* x_rows = acquire<T>(vectors * kLanes * stored<T>(inputs) + 1);
  T* x_columns = acquire<T>(is_training ? stored<T>(most) * ceil_div(inputs, kLanes) * kLanes + 1 : 1);
  T* left = acquire<T>(kPerOperand<T> == 1 ? 1 : num_workers * kBlock * stored<T>(larger(inputs, stride)) + 1);
  float* logits = acquire<float>(stride * (is_training ? call.outputs : kBlock * num_workers) + 1);
  float* summaries = acquire<float>(stride * (3 * num_blocks + 4) + 1);

  for (int64_t begin = 0; begin < active; begin += most) {
    const int64_t rows = smaller(most, active - begin);
    plain_places(rows, places);
    const Packed<T> by_row{x_rows, stored<T>(inputs), ceil_div(rows, kLanes), kPanel};
    const Packed<T> by_column{x_columns, stored<T>(rows), ceil_div(inputs, kLanes), kPanel};
    float* const rest = summaries + 3 * num_blocks * stride;
    const Chunk<T> chunk{call,
                         (all_count ? call.x : gathered) + begin * inputs,
                         is_training ? (all_count ? call.dx : gathered_dx) + begin * inputs : nullptr,
                         index + begin,
                         rows,
                         by_row.num_vectors,
                         stride,
                         begin == 0,
                         places,
                         by_row,
                         x_rows,
                         by_column,
                         x_columns,
                         left,
                         logits,
                         summaries,
                         summaries + num_blocks * stride,
                         summaries + 2 * num_blocks * stride,
                         rest,
                         rest + stride,
                         rest + 2 * stride,
                         rest + 3 * stride};
    const int64_t worth = rows * inputs * call.outputs / (1 << 18);  // about ten microseconds of work each
    parallel(static_cast<int>(larger<int64_t>(1, smaller(num_workers, worth))),
             [&](const threads::Worker& worker) { work(chunk, worker); });
  }

  for (int64_t r = 0; r < active && !all_count && is_training; ++r)
    memcpy(call.dx + index[r] * inputs, gathered_dx + r * inputs, static_cast<size_t>(inputs) * sizeof(float));
  memory::release(summaries);
  memory::release(logits);
  memory::release(left);
  memory::release(x_columns);
  memory::release(x_rows);
  memory::release(places);
  memory::release(gathered_dx);
  memory::release(gathered);
  memory::release(index);
}

template void linear_cross_entropy<float>(const LinearCrossEntropy&);
template void linear_cross_entropy<Pair>(const LinearCrossEntropy&);

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
