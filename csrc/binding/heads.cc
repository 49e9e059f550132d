// Argument checks of rnnkit.kernels.heads.
#include <nanobind/nanobind.h>

#include <cstring>
#include <memory>
#include <variant>

#include "binding/arguments.h"
#include "binding/handles.h"
#include "isa/table.h"
#include "memory.h"

namespace rnnkit {
namespace {

using namespace binding;

struct Weight {
  FloatArray weight, bias;  // bias.data is null without one
  int64_t inputs, outputs;
};

Weight weight_arguments(nb::handle weight, nb::handle bias) {
  Weight w{float_array(weight, "weight", 2, "[O, I]"), {}, 0, 0};
  w.outputs = w.weight.size(0);
  w.inputs = w.weight.size(1);
  if (w.outputs == 0 || w.inputs == 0)
    raise("ShapeError", "weight has shape " + shape_text(w.weight.owner) + ", wanted at least one row and one column");
  if (!bias.is_none()) {
    w.bias = float_array(bias, "bias", 1, "[O]");
    want_size("the length of bias", w.bias.size(0), w.outputs, "one per row of weight");
  }
  return w;
}

FloatArray rows_for(const Weight& w, nb::handle x) {
  FloatArray rows = float_array(x, "x", 2, "[N, I]");
  want_size("x's last axis", rows.size(1), w.inputs, "the weight's number of columns");
  return rows;
}

// Calls body with the functions of the named precision.
auto with_precision(const std::string& precision, auto&& body) {
  if (precision == "fp32_split" && table().heads.fp32_split != nullptr) return body(*table().heads.fp32_split);
  if (precision == "fp32" || precision == "fp32_split") return body(table().heads.fp32);
  if (precision != "bf16")
    raise("ArgumentError", "precision is '" + precision + "', want 'fp32', 'fp32_split' or 'bf16'" +
                               (precision == "int8" ? ": int8 has no gradients" : ""));
  return body(table().heads.bf16);
}

class PackedLinearHandle {
 public:
  PackedLinearHandle(nb::handle weight, nb::handle bias, const std::string& precision) {
    const Weight w = weight_arguments(weight, bias);
    const auto pack = [&]<class T>(const ProductHeads<T>& heads) {
      const PackedLinearSize size = heads.packed_size(w.inputs, w.outputs);
      weight_.reset(memory::acquire<T>(size.weight));
      if (w.bias.data) bias_.reset(memory::acquire<float>(size.bias));
      const PackedLinear<T> packed{w.inputs, w.outputs, static_cast<T*>(weight_.get()),
                                   static_cast<float*>(bias_.get())};
      packed_ = packed;
      const nb::gil_scoped_release release;
      heads.pack(w.weight.data, w.bias.data, packed);
    };
    if (precision == "int8") {
      check_quad_depth("weight's number of columns", w.inputs);
      pack(table().heads.int8);
    } else {
      with_precision(precision, pack);
    }
  }

  nb::object operator()(nb::handle x) const {
    const FloatArray rows = float_array(x, "x", 2, "[N, I]");
    want_size("x's last axis", rows.size(1), inputs(), "the weight's number of columns");
    const auto y = new_array<float>("the result [N, O]", {rows.size(0), outputs()});
    const nb::gil_scoped_release release;
    decode::run_linear(packed_, rows.data, rows.size(0), y.data);
    return y.object;
  }

  const decode::AnyLinear& packed() const { return packed_; }
  int64_t inputs() const {
    return std::visit([](const auto& packed) { return packed.inputs; }, packed_);
  }
  int64_t outputs() const {
    return std::visit([](const auto& packed) { return packed.outputs; }, packed_);
  }

 private:
  struct Release {
    void operator()(void* buffer) const { memory::release(buffer); }
  };
  std::unique_ptr<void, Release> weight_, bias_;
  decode::AnyLinear packed_;
};

nb::object linear(nb::handle x, nb::handle weight, nb::handle bias, const std::string& precision) {
  return PackedLinearHandle(weight, bias, precision)(x);
}

nb::object linear_backward(nb::handle x, nb::handle weight, nb::handle dy, bool need_dx, bool with_bias,
                           const std::string& precision) {
  const Weight w = weight_arguments(weight, nb::none());
  const FloatArray rows = rows_for(w, x), gradient = float_array(dy, "d_y", 2, "[N, O]");
  const int64_t N = rows.size(0);
  want_size("d_y's first axis", gradient.size(0), N, "the number of rows of x");
  want_size("d_y's last axis", gradient.size(1), w.outputs, "the weight's number of rows");
  const auto dweight = new_array<float>("dweight [O, I]", {w.outputs, w.inputs});
  NewArray<float> dx{nb::none(), nullptr}, dbias{nb::none(), nullptr};
  if (need_dx) dx = new_array<float>("dx [N, I]", {N, w.inputs});
  if (with_bias) dbias = new_array<float>("dbias [O]", {w.outputs});
  const LinearGradient call{rows.data, w.weight.data, gradient.data, N,         w.inputs,
                            w.outputs, dx.data,       dweight.data,  dbias.data};
  with_precision(precision, [&](const auto& heads) {
    const nb::gil_scoped_release release;
    heads.linear_gradient(call);
  });
  return nb::make_tuple(dx.object, dweight.object, dbias.object);
}

// Of x [N, height, width, C] and a square window. Raises ArgumentError, ShapeError.
Images images_of(const FloatArray& x, int64_t kernel, int64_t stride, int64_t padding) {
  const auto wanted = [](const char* name, int64_t value, int64_t least, int64_t most) {
    if (value < least || value > most)
      raise("ArgumentError", std::string(name) + " is " + std::to_string(value) + ", wanted " + std::to_string(least) +
                                 " to " + std::to_string(most));
  };
  constexpr int64_t kMost = 1 << 15;
  wanted("the window's size", kernel, 1, kMost);
  wanted("stride", stride, 1, kMost);
  wanted("padding", padding, 0, kernel - 1);  // a window that saw nothing but zeros would say nothing
  const Images images{x.size(0), x.size(1), x.size(2), x.size(3), kernel, stride, padding};
  if (images.channels == 0) raise("ShapeError", "x has no channels, wanted at least one");
  for (const int64_t size : {images.height, images.width})
    if (size == 0 || size + 2 * padding < kernel)
      raise("ShapeError", "x has images of " + std::to_string(images.height) + " x " + std::to_string(images.width) +
                              ", with padding too small for a window of " + std::to_string(kernel));
  checked_product("the patches of an image", {images.rows(), images.columns(), kernel, kernel, images.channels},
                  sizeof(float));
  return images;
}

nb::object convolution(nb::handle x, const PackedLinearHandle& weight, int64_t kernel, int64_t stride,
                       int64_t padding) {
  const FloatArray from = float_array(x, "x", 4, "[N, height, width, C]");
  const Images images = images_of(from, kernel, stride, padding);
  want_size("the weight's window times its channels", weight.inputs(), images.patch(),
            "kernel * kernel * x's last axis");
  const auto y = new_array<float>("the result [N, rows, columns, O]",
                                  {images.count, images.rows(), images.columns(), weight.outputs()});
  const nb::gil_scoped_release release;
  decode::run_convolution(weight.packed(), images, from.data, y.data);
  return y.object;
}

nb::object convolution_backward(nb::handle x, nb::handle weight, nb::handle dy, int64_t stride, int64_t padding,
                                bool need_dx, bool with_bias, const std::string& precision) {
  const FloatArray from = float_array(x, "x", 4, "[N, height, width, C]");
  const FloatArray w = float_array(weight, "weight", 4, "[O, K, K, C]");
  const FloatArray gradient = float_array(dy, "d_y", 4, "[N, rows, columns, O]");
  const Images images = images_of(from, w.size(1), stride, padding);
  want_size("weight's third axis", w.size(2), w.size(1), "windows are square");
  want_size("weight's last axis", w.size(3), images.channels, "x's last axis");
  const int64_t O = w.size(0);
  if (O == 0) raise("ShapeError", "weight has no rows, wanted at least one");
  const int64_t wanted[] = {images.count, images.rows(), images.columns(), O};
  for (int axis = 0; axis < 4; ++axis)
    want_size("d_y's axis " + std::to_string(axis), gradient.size(axis), wanted[axis], "the size of the result");
  const auto dweight = new_array<float>("dweight [O, K, K, C]", {O, images.kernel, images.kernel, images.channels});
  NewArray<float> dx{nb::none(), nullptr}, dbias{nb::none(), nullptr};
  if (need_dx) dx = new_array<float>("dx", {images.count, images.height, images.width, images.channels});
  if (with_bias) dbias = new_array<float>("dbias [O]", {O});
  const ConvolutionGradient call{images, from.data, w.data, gradient.data, O, dx.data, dweight.data, dbias.data};
  with_precision(precision, [&](const auto& heads) {
    const nb::gil_scoped_release release;
    heads.convolution_gradient(call);
  });
  return nb::make_tuple(dx.object, dweight.object, dbias.object);
}

nb::object log_softmax(nb::handle logits) {
  const FloatArray in = float_array(logits, "logits", 2, "[N, V]");
  if (in.size(1) == 0) raise("ShapeError", "logits has no columns, wanted at least one; check the vocabulary");
  const auto out = new_array<float>("the result [N, V]", {in.size(0), in.size(1)});
  nb::gil_scoped_release release;
  table().heads.log_softmax(in.data, in.size(0), in.size(1), out.data);
  return out.object;
}

nb::object linear_cross_entropy(nb::handle x, nb::handle weight, nb::handle bias, nb::handle targets,
                                nb::handle row_weights, bool need_grad, const std::string& precision, float smoothing) {
  if (!(smoothing >= 0 && smoothing < 1))
    raise("ArgumentError", "label_smoothing is " + std::to_string(smoothing) + ", wanted a share in [0, 1)");
  const Weight w = weight_arguments(weight, bias);
  const FloatArray rows = rows_for(w, x);
  const int64_t N = rows.size(0);
  const std::vector<int64_t> ids = int_array(targets, "targets", 1, "[N]");
  want_size("the length of targets", static_cast<int64_t>(ids.size()), N, "one per row of x");
  FloatArray weights;
  if (!row_weights.is_none()) {
    weights = float_array(row_weights, "row_weights", 1, "[N]");
    want_size("the length of row_weights", weights.size(0), N, "one per row of x");
  }
  for (int64_t n = 0; n < N; ++n)
    if ((ids[n] < 0 || ids[n] >= w.outputs) && (weights.data == nullptr || weights.data[n] != 0))
      raise("ArgumentError", "targets is " + std::to_string(ids[n]) + " in row " + std::to_string(n) +
                                 ", wanted 0 to " + std::to_string(w.outputs - 1) +
                                 "; give a row that has no target the weight 0");
  checked_product("the logits [N, V]", {N, w.outputs}, sizeof(float));

  const auto losses = new_array<float>("losses [N]", {N});
  NewArray<float> dx{nb::none(), nullptr}, dweight = dx, dbias = dx;
  if (need_grad) {
    dx = new_array<float>("dx [N, I]", {N, w.inputs});
    dweight = new_array<float>("dweight [V, I]", {w.outputs, w.inputs});
    if (w.bias.data) dbias = new_array<float>("dbias [V]", {w.outputs});
  }
  const LinearCrossEntropy call{rows.data, w.weight.data, w.bias.data, ids.data(), weights.data, N,         w.inputs,
                                w.outputs, smoothing,     losses.data, dx.data,    dweight.data, dbias.data};
  with_precision(precision, [&](const auto& heads) {
    const nb::gil_scoped_release release;
    heads.linear_cross_entropy(call);
  });
  return nb::make_tuple(losses.object, dx.object, dweight.object, dbias.object);
}

// What a call of attention is given, checked; `in` points into the rest.
struct AttentionArguments {
  FloatArray queries, keys, values, score;
  std::vector<int64_t> lengths;
  AttentionInputs in;

  AttentionArguments(nb::handle of_queries, nb::handle of_keys, nb::handle of_values, nb::handle of_score,
                     nb::handle of_lengths)
      : queries(float_array(of_queries, "queries", 3, "[T, B, K]")),
        keys(float_array(of_keys, "keys", 3, "[B, S, K]")),
        values(float_array(of_values, "values", 3, "[B, S, W]")),
        lengths(int_array(of_lengths, "lengths", 1, "[B]")) {
    const int64_t rows = queries.size(1), width = queries.size(2), places = keys.size(1);
    if (!of_score.is_none()) {
      score = float_array(of_score, "score", 1, "[K]");
      want_size("the length of score", score.size(0), width, "the last axis of queries");
    }
    want_size("keys' first axis", keys.size(0), rows, "the rows of queries");
    want_size("keys' last axis", keys.size(2), width, "the last axis of queries");
    want_size("values' first axis", values.size(0), rows, "the rows of queries");
    want_size("values' second axis", values.size(1), places, "the places of keys");
    want_size("the length of lengths", static_cast<int64_t>(lengths.size()), rows, "one per row of queries");
    for (int64_t b = 0; b < rows; ++b)
      if (lengths[b] < 0 || lengths[b] > places)
        raise("ArgumentError", "lengths is " + std::to_string(lengths[b]) + " in row " + std::to_string(b) +
                                   ", wanted 0 to " + std::to_string(places) + ", the places of keys");
    in = {queries.data,    keys.data, values.data, score.data, lengths.data(),
          queries.size(0), rows,      places,      width,      values.size(2)};
  }
};

nb::object attention(nb::handle queries, nb::handle keys, nb::handle values, nb::handle score, nb::handle lengths) {
  const AttentionArguments given(queries, keys, values, score, lengths);
  const AttentionInputs& in = given.in;
  const auto context = new_array<float>("the context [T, B, W]", {in.steps, in.rows, in.value_width});
  const auto weights = new_array<float>("the weights [T, B, S]", {in.steps, in.rows, in.places});
  {
    const nb::gil_scoped_release release;
    table().heads.attention({in, context.data, weights.data});
  }
  return nb::make_tuple(context.object, weights.object);
}

nb::object attention_backward(nb::handle queries, nb::handle keys, nb::handle values, nb::handle score,
                              nb::handle lengths, nb::handle weights, nb::handle d_context, nb::handle d_weights,
                              bool need_queries, bool need_keys) {
  const AttentionArguments given(queries, keys, values, score, lengths);
  const AttentionInputs& in = given.in;
  const auto as_result = [&](nb::handle value, const std::string& name, int64_t last) {
    FloatArray array = float_array(value, name, 3, "[T, B, ...]");
    const int64_t wanted[] = {in.steps, in.rows, last};
    for (int axis = 0; axis < 3; ++axis)
      want_size(name + "'s axis " + std::to_string(axis), array.size(axis), wanted[axis], "the size of the result");
    return array;
  };
  const FloatArray shares = as_result(weights, "weights", in.places);
  const FloatArray of_context = as_result(d_context, "d_context", in.value_width);
  FloatArray of_weights;
  if (!d_weights.is_none()) of_weights = as_result(d_weights, "d_weights", in.places);
  NewArray<float> dqueries{nb::none(), nullptr}, dkeys = dqueries, dvalues = dqueries, dscore = dqueries;
  if (need_queries) dqueries = new_array<float>("dqueries [T, B, K]", {in.steps, in.rows, in.width});
  if (need_keys) {
    dkeys = new_array<float>("dkeys [B, S, K]", {in.rows, in.places, in.width});
    dvalues = new_array<float>("dvalues [B, S, W]", {in.rows, in.places, in.value_width});
  }
  if (in.score) dscore = new_array<float>("dscore [K]", {in.width});
  {
    const nb::gil_scoped_release release;
    table().heads.attention_gradient(
        {in, shares.data, of_context.data, of_weights.data, dqueries.data, dkeys.data, dvalues.data, dscore.data});
  }
  return nb::make_tuple(dqueries.object, dkeys.object, dvalues.object, dscore.object);
}

nb::object embedding(nb::handle ids, nb::handle embeddings) {
  const std::vector<int64_t> rows = int_array(ids, "ids", 1, "[N]");
  const FloatArray from = float_array(embeddings, "table", 2, "[V, E]");
  const int64_t V = from.size(0), E = from.size(1);
  for (size_t n = 0; n < rows.size(); ++n)
    if (rows[n] < 0 || rows[n] >= V)
      raise("ArgumentError", "ids is " + std::to_string(rows[n]) + " at " + std::to_string(n) + ", wanted 0 to " +
                                 std::to_string(V - 1) + "; encode with this model's tokenizer");
  const auto out = new_array<float>("the result [N, E]", {static_cast<int64_t>(rows.size()), E});
  nb::gil_scoped_release release;
  for (size_t n = 0; n < rows.size(); ++n) std::memcpy(out.data + n * E, from.data + rows[n] * E, E * sizeof(float));
  return out.object;
}

}  // namespace

const decode::AnyLinear& binding::packed_linear_of(nb::handle packed) {
  return nb::cast<const PackedLinearHandle&>(packed).packed();
}

void bind_heads(nb::module_& m) {
  const auto any = [] { return nb::arg().none(); };
  nb::class_<PackedLinearHandle>(m, "PackedLinear")
      .def(nb::init<nb::handle, nb::handle, const std::string&>(), any(), any(), nb::arg())
      .def("__call__", &PackedLinearHandle::operator(), any())
      .def_prop_ro("input_size", &PackedLinearHandle::inputs)
      .def_prop_ro("output_size", &PackedLinearHandle::outputs);
  m.def("linear", &linear, any(), any(), any(), nb::arg());
  m.def("linear_backward", &linear_backward, any(), any(), any(), nb::arg(), nb::arg(), nb::arg());
  m.def("convolution", &convolution, any(), nb::arg(), nb::arg(), nb::arg(), nb::arg());
  m.def("convolution_backward", &convolution_backward, any(), any(), any(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
        nb::arg());
  m.def("log_softmax", &log_softmax, any());
  m.def("linear_cross_entropy", &linear_cross_entropy, any(), any(), any(), any(), any(), nb::arg(), nb::arg(),
        nb::arg());
  m.def("attention", &attention, any(), any(), any(), any(), any());
  m.def("attention_backward", &attention_backward, any(), any(), any(), any(), any(), any(), any(), any(), nb::arg(),
        nb::arg());
  m.def("embedding", &embedding, any(), any());
}

}  // namespace rnnkit
