// Argument checks of rnnkit.kernels.decode.
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>

#include <cmath>

#include "binding/arguments.h"
#include "decode/philox.h"
#include "decode/sample.h"

namespace rnnkit {
namespace {

using namespace binding;
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

nb::object sample(nb::handle logits, nb::handle seed, nb::handle streams, nb::handle step, nb::handle temperature,
                  nb::handle top_k, nb::handle top_p, nb::handle repetition_penalty, nb::handle previous) {
  const FloatArray scores = float_array(logits, "logits", 2, "[B, V]");
  const auto B = static_cast<size_t>(scores.size(0));
  const int64_t V = scores.size(1);
  if (V == 0) raise("ShapeError", "logits has no columns, wanted at least one token; check the vocabulary");
  const uint64_t seed_word = word64(seed, "seed");
  const auto stream_words = row_words(streams, "streams", B);
  const auto step_words =
      PyLong_Check(step.ptr()) ? std::vector<uint64_t>(B, word64(step, "step")) : row_words(step, "step", B);

  decode::SamplingOptions options;
  options.temperature = number(temperature, "temperature", "0 (greedy) or a positive finite number",
                               [](double t) { return t >= 0 && std::isfinite(t); });
  options.top_p = number(top_p, "top_p", "from 0 to 1 (1 = off)", [](double p) { return p >= 0 && p <= 1; });
  options.repetition_penalty = number(repetition_penalty, "repetition_penalty", "a positive finite number (1 = off)",
                                      [](double p) { return p > 0 && std::isfinite(p); });
  if (!nb::try_cast<int64_t>(top_k, options.top_k) || options.top_k < 0)
    raise(PyLong_Check(top_k.ptr()) ? "ArgumentError" : "DtypeError",
          "top_k is " + nb::cast<std::string>(nb::repr(top_k)) + ", wanted an integer of 0 (off) or more");
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

double uniform(nb::handle seed, nb::handle stream, nb::handle step) {
  return decode::philox_uniform(word64(seed, "seed"), word64(stream, "stream"), word64(step, "step"));
}

}  // namespace

void bind_decode(nb::module_& m) {
  m.def("philox4x32_10", &decode::philox4x32_10, nb::arg("counter"), nb::arg("key"));
  m.def("philox_uniform", &uniform, nb::arg().none(), nb::arg().none(), nb::arg().none());
  m.def("sample", &sample, nb::arg().none(), nb::arg().none(), nb::arg().none(), nb::arg().none(), nb::arg().none(),
        nb::arg().none(), nb::arg().none(), nb::arg().none(), nb::arg().none());
}

}  // namespace rnnkit
