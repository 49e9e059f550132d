// Argument checks of rnnkit.kernels.decode.
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <optional>

#include "binding/arguments.h"
#include "binding/handles.h"
#include "decode/loop.h"
#include "decode/philox.h"
#include "decode/sample.h"

namespace rnnkit {
namespace {

using namespace binding;
using decode::inputs_of;
using decode::outputs_of;
using decode::RowFault;

uint64_t word64(nb::handle value, const char* name) {
  uint64_t word;
  if (!nb::try_cast<uint64_t>(value, word))
    raise(
        PyLong_Check(value.ptr()) ? "ArgumentError" : "DtypeError",
        std::string(name) + " is " + nb::cast<std::string>(nb::repr(value)) + ", wanted an integer from 0 to 2^64 - 1");
  return word;
}

double number(nb::handle value, const char* name, const char* wanted, auto&& is_valid) {
  double out;
  if (!nb::try_cast<double>(value, out))
    raise("DtypeError", std::string(name) + " is a " + class_name(value) + ", wanted a number " + wanted);
  if (!is_valid(out))
    raise("ArgumentError", std::string(name) + " is " + nb::cast<std::string>(nb::repr(value)) + ", wanted " + wanted);
  return out;
}

std::string at_row(size_t row) { return " in row " + std::to_string(row); }

// One key word per row: an array [B], or (for the step) one integer for all.
std::vector<uint64_t> row_words(nb::handle value, const char* name, size_t B) {
  const auto signed_words = int_array(value, name, 1, "[B]");
  want_size(std::string("the length of ") + name, signed_words.size(), B, "one per row of logits");
  for (size_t b = 0; b < B; ++b)
    if (signed_words[b] < 0)
      raise("ArgumentError",
            std::string(name) + " is " + std::to_string(signed_words[b]) + at_row(b) + ", wanted 0 or more");
  return {signed_words.begin(), signed_words.end()};
}

std::vector<std::vector<int64_t>> previous_ids(nb::handle previous, size_t B, int64_t V) {
  std::vector<std::vector<int64_t>> rows(B);
  if (previous.is_none()) return rows;
  if (!nb::isinstance<nb::sequence>(previous) || nb::len(previous) != B)
    raise("ArgumentError",
          "previous must be a list of " + std::to_string(B) + " integer arrays, one per row of logits");
  for (size_t b = 0; b < B; ++b) {
    rows[b] = int_array(previous[b], "previous[" + std::to_string(b) + "]", 1, "[ids]");
    for (int64_t id : rows[b])
      if (id < 0 || id >= V)
        raise("ArgumentError", "previous holds id " + std::to_string(id) + at_row(b) + ", but logits has " +
                                   std::to_string(V) + " columns; encode with this model's tokenizer");
  }
  return rows;
}

[[noreturn]] void raise_fault(const decode::Draw& draw, size_t row) {
  if (draw.fault == RowFault::nothing_left)
    raise("ArgumentError", "every logit is -inf" + at_row(row) + ": no token is left to draw; loosen the mask");
  raise("ArgumentError", std::string("the logit of token ") + std::to_string(draw.column) + at_row(row) + " is " +
                             (draw.fault == RowFault::nan ? "nan" : "+inf") +
                             ", wanted a number (or -inf to forbid the token); check the model's weights");
}

decode::SamplingOptions sampling_options(nb::handle temperature, nb::handle top_k, nb::handle top_p, nb::handle min_p,
                                         nb::handle repetition_penalty) {
  decode::SamplingOptions options;
  options.temperature = number(temperature, "temperature", "0 (greedy) or a positive finite number",
                               [](double t) { return t >= 0 && std::isfinite(t); });
  options.top_p = number(top_p, "top_p", "from 0 to 1 (1 = off)", [](double p) { return p >= 0 && p <= 1; });
  options.min_p = number(min_p, "min_p", "from 0 (off) to 1", [](double p) { return p >= 0 && p <= 1; });
  options.repetition_penalty = number(repetition_penalty, "repetition_penalty", "a positive finite number (1 = off)",
                                      [](double p) { return p > 0 && std::isfinite(p); });
  if (!nb::try_cast<int64_t>(top_k, options.top_k) || options.top_k < 0)
    raise(PyLong_Check(top_k.ptr()) ? "ArgumentError" : "DtypeError",
          "top_k is " + nb::cast<std::string>(nb::repr(top_k)) + ", wanted an integer of 0 (off) or more");
  return options;
}

nb::object sample(nb::handle logits, nb::handle seed, nb::handle streams, nb::handle step, nb::handle temperature,
                  nb::handle top_k, nb::handle top_p, nb::handle min_p, nb::handle repetition_penalty,
                  nb::handle previous) {
  const FloatArray scores = float_array(logits, "logits", 2, "[B, V]");
  const auto B = static_cast<size_t>(scores.size(0));
  const int64_t V = scores.size(1);
  if (V == 0) raise("ShapeError", "logits has no columns, wanted at least one token; check the vocabulary");
  const uint64_t seed_word = word64(seed, "seed");
  const auto stream_words = row_words(streams, "streams", B);
  const auto step_words =
      PyLong_Check(step.ptr()) ? std::vector<uint64_t>(B, word64(step, "step")) : row_words(step, "step", B);

  const auto options = sampling_options(temperature, top_k, top_p, min_p, repetition_penalty);
  const auto previous_rows = previous_ids(previous, B, V);

  const auto ids = new_array<int64_t>("the result [B]", {static_cast<int64_t>(B)});
  std::vector<decode::Draw> draws;
  {
    nb::gil_scoped_release release;
    draws = decode::sample_rows({scores.data, V, seed_word, stream_words, step_words, previous_rows, options});
  }
  for (size_t b = 0; b < B; ++b) {
    if (draws[b].fault != RowFault::none) raise_fault(draws[b], b);
    ids.data[b] = draws[b].id;
  }
  return ids.object;
}

// Checks what a SamplingLoop is made of, and keeps alive what it borrows.
class SamplingLoopHandle {
 public:
  SamplingLoopHandle(const nb::tuple& layers, nb::handle embeddings, nb::handle projection, nb::handle scores,
                     const nb::tuple& state, nb::handle seed, nb::handle streams, nb::handle first_step,
                     nb::handle temperature, nb::handle top_k, nb::handle top_p, nb::handle min_p,
                     nb::handle repetition_penalty, nb::handle previous)
      : layers_(layers), projection_(nb::borrow(projection)), scores_(nb::borrow(scores)) {
    const auto rows = static_cast<int64_t>(nb::len(streams));
    const auto stream_words = row_words(streams, "streams", static_cast<size_t>(rows));
    if (layers.size() == 0 || state.size() != layers.size())
      raise("ArgumentError", "there are " + std::to_string(layers.size()) + " layers and " +
                                 std::to_string(state.size()) +
                                 " states, wanted one state for each of 1 or more layers");
    decode::SamplingLoop::Model model{};
    model.scores = packed_linear_of(scores);
    const int64_t V = outputs_of(model.scores);
    int64_t width = V;
    if (!embeddings.is_none()) {
      table_ = float_array(embeddings, "table", 2, "[V, E]");
      want_size("table's first axis", table_.size(0), V, "the number of scores");
      model.table = table_.data;
      width = model.width = table_.size(1);
    }
    for (size_t i = 0; i < layers.size(); ++i) {
      const std::string name = "layer " + std::to_string(i);
      want_size(name + "'s input size", nb::cast<int64_t>(layers[i].attr("input_size")), width,
                i > 0 ? "the width of the output of the layer below" : "the width of what a token stands for");
      width = nb::cast<int64_t>(layers[i].attr("output_size"));
      model.layers.push_back(stepper_of(layers[i], rows, i == 0 && model.table == nullptr));
      set_state(*model.layers.back(), state[i], "state[" + std::to_string(i) + "]", rows,
                {width, nb::cast<int64_t>(layers[i].attr("hidden_size"))});
    }
    if (!projection.is_none()) {
      model.projection = packed_linear_of(projection);
      want_size("projection's input size", inputs_of(*model.projection), width, "the width of the last layer's output");
      width = outputs_of(*model.projection);
    }
    want_size("the input size of scores", inputs_of(model.scores), width, "what they are computed from");
    checked_product("the logits [B, V]", {rows + 1, V}, 4 * sizeof(double));
    loop_ = std::make_unique<decode::SamplingLoop>(
        std::move(model), word64(seed, "seed"), stream_words, word64(first_step, "first_step"),
        sampling_options(temperature, top_k, top_p, min_p, repetition_penalty),
        previous_ids(previous, static_cast<size_t>(rows), V));
  }

  nb::object draw(int64_t count, nb::handle allowed) {
    if (count < 1) raise("ArgumentError", "count is " + std::to_string(count) + ", wanted 1 or more tokens");
    const int64_t batch = loop_->batch();
    checked_product("the tokens [count, B]", {count, batch}, sizeof(int64_t));
    std::vector<int64_t> drawn(count * batch);
    std::optional<AnyArray> mask;
    if (!allowed.is_none()) {
      if (count != 1)
        raise("ArgumentError", "count is " + std::to_string(count) + ", wanted 1 with allowed=, which is of one token");
      mask = any_array(allowed, "allowed", 2, "[B, V]");
      check_bool(*mask, "allowed");
      want_size("allowed's first axis", static_cast<int64_t>(mask->shape(0)), batch, "one row per stream");
      want_size("allowed's last axis", static_cast<int64_t>(mask->shape(1)), loop_->vocab_size(), "one for each token");
    }
    int64_t num_drawn;
    {
      nb::gil_scoped_release release;
      const std::lock_guard<std::mutex> lock(in_use_);
      num_drawn = loop_->draw(count, drawn.data(), mask ? static_cast<const uint8_t*>(mask->data()) : nullptr);
    }
    if (num_drawn == 0 && loop_->stop()) raise_fault(loop_->stop()->draw, loop_->stop()->row);
    const auto ids = new_array<int64_t>("the result [count, B]", {num_drawn, batch});
    std::copy_n(drawn.data(), num_drawn * batch, ids.data);
    return ids.object;
  }

  void keep(nb::handle rows) {
    const std::vector<int64_t> kept = int_array(rows, "rows", 1, "[rows]");
    for (size_t i = 0; i < kept.size(); ++i)
      if (kept[i] < 0 || kept[i] >= loop_->batch() || (i > 0 && kept[i] <= kept[i - 1]))
        raise("ArgumentError", "rows[" + std::to_string(i) + "] is " + std::to_string(kept[i]) +
                                   ", wanted rising rows below " + std::to_string(loop_->batch()));
    const std::lock_guard<std::mutex> lock(in_use_);
    loop_->keep(kept);
  }

 private:
  static void set_state(Stepper<float>& layer, nb::handle value, const std::string& name, int64_t rows,
                        const std::array<int64_t, 2>& widths) {
    if (!nb::isinstance<nb::tuple>(value) || nb::len(value) != static_cast<size_t>(layer.num_parts()))
      raise("ArgumentError", name + " must be a tuple of " + std::to_string(layer.num_parts()) + " arrays [B, H]");
    std::array<const float*, 2> data{};
    std::array<FloatArray, 2> parts;
    for (int i = 0; i < layer.num_parts(); ++i) {
      parts[i] = float_array(value[i], name + "[" + std::to_string(i) + "]", 2, "[B, H]");
      want_size(name + "'s first axis", parts[i].size(0), rows, "one row per stream");
      want_size(name + "'s last axis", parts[i].size(1), widths[i], "the layer's hidden size");
      data[i] = parts[i].data;
    }
    layer.set_state(data);
  }

  nb::tuple layers_;
  nb::object projection_, scores_;
  FloatArray table_;
  std::mutex in_use_;
  std::unique_ptr<decode::SamplingLoop> loop_;
};

double uniform(nb::handle seed, nb::handle stream, nb::handle step) {
  return decode::philox_uniform(word64(seed, "seed"), word64(stream, "stream"), word64(step, "step"));
}

}  // namespace

void bind_decode(nb::module_& m) {
  m.def("philox4x32_10", &decode::philox4x32_10, nb::arg("counter"), nb::arg("key"));
  m.def("philox_uniform", &uniform, nb::arg().none(), nb::arg().none(), nb::arg().none());
  m.def("sample", &sample, nb::arg().none(), nb::arg().none(), nb::arg().none(), nb::arg().none(), nb::arg().none(),
        nb::arg().none(), nb::arg().none(), nb::arg().none(), nb::arg().none(), nb::arg().none());
  const auto any = [] { return nb::arg().none(); };
  nb::class_<SamplingLoopHandle>(m, "SamplingLoop")
      .def(nb::init<const nb::tuple&, nb::handle, nb::handle, nb::handle, const nb::tuple&, nb::handle, nb::handle,
                    nb::handle, nb::handle, nb::handle, nb::handle, nb::handle, nb::handle, nb::handle>(),
           nb::arg(), any(), any(), nb::arg(), nb::arg(), any(), any(), any(), any(), any(), any(), any(), any(), any())
      .def("draw", &SamplingLoopHandle::draw, nb::arg("count"), nb::arg("allowed").none())
      .def("keep", &SamplingLoopHandle::keep, any());
}

}  // namespace rnnkit
