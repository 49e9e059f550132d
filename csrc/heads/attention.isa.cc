// Attention and its gradient: of every query a softmax over the keys of its row, and the mean of their values under it.
//
// A row has keys of its own, so rows are what workers share. Each is worked through in one order, whoever does it and
// whatever stands beside it; of its keys and values only those before its length are read.
#include "heads/functions.h"
#include "heads/lanes.h"
#include "memory.h"
#include "mutants.h"
#include "simd/math.h"
#include "threads/parallel.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {
namespace {

constexpr int64_t kWorthAWorker = 1 << 16;  // multiplications

// One row of a call: its own queries, keys and values.
class Row {
 public:
  Row(const AttentionInputs& call, int64_t row)
      : call_(call),
        row_(row),
        keys_(call.keys + (planted(Bug::attention_of_the_first_row) ? 0 : row) * call.places * call.width),
        values_(call.values + row * call.places * call.value_width),
        length_(planted(Bug::attention_past_the_length) ? call.places : call.lengths[row]) {}

  int64_t length() const { return length_; }
  const float* query(int64_t t) const { return call_.queries + at(t) * call_.width; }
  const float* key(int64_t s) const { return keys_ + s * call_.width; }
  const float* value(int64_t s) const { return values_ + s * call_.value_width; }
  int64_t at(int64_t t) const { return t * call_.rows + row_; }  // of a step, in an array [steps, rows, ...]

 private:
  const AttentionInputs& call_;
  const int64_t row_;
  const float *keys_, *values_;
  const int64_t length_;
};

float dot(const float* a, const float* b, int64_t size) {
  F sum = F::zero();
  for (int64_t i = 0; i < size; i += kLanes) sum = fma(load_lanes(a + i, size - i), load_lanes(b + i, size - i), sum);
  return sum_lanes(sum);
}

float additive(const float* query, const float* key, const float* score, int64_t size) {
  F sum = F::zero();
  for (int64_t i = 0; i < size; i += kLanes) {
    const F unit = tanh(load_lanes(query + i, size - i) + load_lanes(key + i, size - i));
    sum = fma(load_lanes(score + i, size - i), unit, sum);
  }
  return sum_lanes(sum);
}

// to[i] = sum over n of factors[n * stride] * vector(n)[i], from the first n on.
template <class Vector>
void mix(const float* factors, int64_t stride, int64_t count, const Vector& vector, int64_t size, float* to) {
  for (int64_t i = 0; i < size; i += kLanes) {
    F sum = F::zero();
    for (int64_t n = 0; n < count; ++n)
      sum = fma(F::broadcast(factors[n * stride]), load_lanes(vector(n) + i, size - i), sum);
    store_lanes(sum, to + i, size - i);
  }
}

void softmax(float* scores, int64_t count) {
  F largest = F::broadcast(kLowest), total = F::zero();
  for (int64_t i = 0; i < count; i += kLanes) largest = max(load_or_nothing(scores + i, count - i), largest);
  const F top = F::broadcast(max_lanes(largest));
  for (int64_t i = 0; i < count; i += kLanes) {
    const F share = exp(load_or_nothing(scores + i, count - i) - top);
    total = total + share;
    store_lanes(share, scores + i, count - i);
  }
  const F sum = F::broadcast(sum_lanes(total));
  for (int64_t i = 0; i < count; i += kLanes)
    store_lanes(load_lanes(scores + i, count - i) / sum, scores + i, count - i);
}

void zero(float* from, int64_t count) { memset(from, 0, static_cast<size_t>(count) * sizeof(float)); }

void attend_row(const Attention& call, int64_t b) {
  const AttentionInputs& in = call.in;
  const Row row(in, b);
  for (int64_t t = 0; t < in.steps; ++t) {
    float* weights = call.weights + row.at(t) * in.places;
    for (int64_t s = 0; s < row.length(); ++s)
      weights[s] =
          in.score ? additive(row.query(t), row.key(s), in.score, in.width) : dot(row.query(t), row.key(s), in.width);
    softmax(weights, row.length());
    zero(weights + row.length(), in.places - row.length());
    mix(
        weights, 1, row.length(), [&](int64_t s) { return row.value(s); }, in.value_width,
        call.context + row.at(t) * in.value_width);
  }
}

// dscores [steps, length] of a row: those of the sums that its softmax was taken of.
void differentiate_softmax(const AttentionGradient& call, const Row& row, float* dscores) {
  const AttentionInputs& in = call.in;
  for (int64_t t = 0; t < in.steps; ++t, dscores += row.length()) {
    const float* weights = call.weights + row.at(t) * in.places;
    const float* dcontext = call.dcontext + row.at(t) * in.value_width;
    for (int64_t s = 0; s < row.length(); ++s) {
      dscores[s] = dot(dcontext, row.value(s), in.value_width);
      if (call.dweights) dscores[s] += call.dweights[row.at(t) * in.places + s];
    }
    const float mean = planted(Bug::attention_gradient_without_its_mean) ? 0.0f : dot(weights, dscores, row.length());
    for (int64_t s = 0; s < row.length(); ++s) dscores[s] = weights[s] * (dscores[s] - mean);
  }
}

// Gradients of v tanh(q + k) for all steps and keys of a row; a vector of lanes at a time.
void differentiate_additive(const AttentionGradient& call, const Row& row, const float* dscores, float* dkeys,
                            float* dscore) {
  const AttentionInputs& in = call.in;
  for (int64_t i = 0; i < in.width; i += kLanes) {
    const int64_t left = in.width - i;
    const F score = load_lanes(in.score + i, left), one = F::broadcast(1.0f);
    F total = F::zero();
    for (int64_t t = 0; t < in.steps; ++t) {
      const F query = load_lanes(row.query(t) + i, left);
      F of_query = F::zero();
      for (int64_t s = 0; s < row.length(); ++s) {
        const F d = F::broadcast(dscores[t * row.length() + s]);
        const F unit = tanh(query + load_lanes(row.key(s) + i, left));
        const F inner = d * score * (one - unit * unit);
        total = fma(d, unit, total);
        of_query = of_query + inner;
        if (dkeys) {
          float* of_key = dkeys + s * in.width + i;
          store_lanes((t ? load_lanes(of_key, left) : F::zero()) + inner, of_key, left);
        }
      }
      if (call.dqueries) store_lanes(of_query, call.dqueries + row.at(t) * in.width + i, left);
    }
    store_lanes(total, dscore + i, left);
  }
}

void differentiate_row(const AttentionGradient& call, int64_t b, float* dscores, float* dscore) {
  const AttentionInputs& in = call.in;
  const Row row(in, b);
  const int64_t length = row.length();
  float* const dkeys = call.dkeys ? call.dkeys + b * in.places * in.width : nullptr;
  differentiate_softmax(call, row, dscores);
  if (in.score) {
    differentiate_additive(call, row, dscores, dkeys, dscore);
  } else {
    for (int64_t t = 0; t < in.steps && call.dqueries; ++t)
      mix(
          dscores + t * length, 1, length, [&](int64_t s) { return row.key(s); }, in.width,
          call.dqueries + row.at(t) * in.width);
    for (int64_t s = 0; s < length && dkeys; ++s)
      mix(dscores + s, length, in.steps, [&](int64_t t) { return row.query(t); }, in.width, dkeys + s * in.width);
  }
  if (!dkeys) return;
  float* const dvalues = call.dvalues + b * in.places * in.value_width;
  for (int64_t s = 0; s < length; ++s)
    mix(
        call.weights + row.at(0) * in.places + s, in.rows * in.places, in.steps,
        [&](int64_t t) { return call.dcontext + row.at(t) * in.value_width; }, in.value_width,
        dvalues + s * in.value_width);
  const int64_t written = in.steps ? length : 0;  // without steps additive keys have no gradient to begin with
  zero(dkeys + written * in.width, (in.places - written) * in.width);
  zero(dvalues + length * in.value_width, (in.places - length) * in.value_width);
}

int64_t rows_worth_a_worker(const AttentionInputs& in) {
  const int64_t of_a_row = in.steps * in.places * (in.width * (in.score ? 8 : 1) + in.value_width);
  return kWorthAWorker / (of_a_row + 1) + 1;
}

}  // namespace

void attention(const Attention& call) {
  parallel_for(call.in.rows, rows_worth_a_worker(call.in), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) attend_row(call, b);
  });
}

void attention_gradient(const AttentionGradient& call) {
  const AttentionInputs& in = call.in;
  float* const of_rows = memory::acquire<float>(call.dscore ? in.rows * in.width + 1 : 1);  // [rows, width]
  parallel_for(in.rows, rows_worth_a_worker(in), [&](int64_t begin, int64_t end) {
    float* const dscores = memory::acquire<float>(in.steps * in.places + 1);
    for (int64_t b = begin; b < end; ++b) differentiate_row(call, b, dscores, of_rows + b * in.width);
    memory::release(dscores);
  });
  if (call.dscore) {
    zero(call.dscore, in.width);
    for (int64_t b = planted(Bug::attention_score_gradient_of_the_last_row) ? in.rows - 1 : 0; b < in.rows; ++b)
      for (int64_t k = 0; k < in.width; ++k) call.dscore[k] += of_rows[b * in.width + k];
  }
  memory::release(of_rows);
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
