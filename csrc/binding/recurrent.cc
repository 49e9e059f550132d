// Recurrent layers as Python sees them: every argument check, no arithmetic. Over 400 lines, since forward, step and
// backward read states, lengths and zoneout in the same ways.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <tuple>
#include <variant>
#include <vector>

#include "binding/arguments.h"
#include "binding/handles.h"
#include "binding/layer_arrays.h"
#include "binding/layer_weights.h"
#include "isa/table.h"
#include "unroll/layer.h"
#include "unroll/stepper.h"

namespace nb = nanobind;

namespace rnnkit {

namespace {

using namespace binding;

struct PyTape {
  std::variant<std::unique_ptr<Tape<float>>, std::unique_ptr<Tape<double>>> tape;
  std::optional<AnyArray> x;    // keeps the input alive,
  std::vector<AnyArray> masks;  // and the masks
  const void* layer;
  bool is_used = false;
};

// The stepper of the step before, for the next one of as many rows: to make one takes as long as a small step does.
template <class S>
struct KeptStepper {
  static constexpr int64_t kMostRows = 64;
  std::unique_ptr<Stepper<S>> stepper;
  int64_t rows = 0;
  bool one_hot = false;
};

class PyLayer {
 public:
  PyLayer(const std::string& cell, nb::handle weight_ih, nb::handle weight_hh, nb::handle bias_ih, nb::handle bias_hh,
          nb::handle weight_peephole, nb::handle weight_hr, const nb::dict& norms, const std::string& precision) {
    const LayerWeights weights{weight_ih, weight_hh, bias_ih, bias_hh, weight_peephole, weight_hr, norms};
    nb::ndarray<nb::ro> view;
    if (precision == "bf16") {
      layer_ = make_layer(table().recurrent_bf16, cell, weights, owners_);
    } else if (precision == "fp32_split" && table().recurrent_split != nullptr) {
      layer_ = make_layer(*table().recurrent_split, cell, weights, owners_);
    } else if (precision == "int8") {
      layer_ = make_layer(table().recurrent_int8, cell, weights, owners_);
      binding::check_quad_depth("the layer's input size", input_size());
      binding::check_quad_depth("the layer's hidden size", hidden_size());
    } else if (precision != "fp32" && precision != "fp32_split") {
      raise("ArgumentError", "precision is '" + precision + "', want 'fp32', 'fp32_split', 'bf16' or 'int8'");
    } else if (!weight_ih.is_none() && nb::try_cast(weight_ih, view) && view.dtype() == nb::dtype<double>()) {
      if (table().recurrent_double == nullptr)
        raise("DtypeError", std::string("weight_ih has dtype float64, the ") + table().isa +
                                " kernels compute in float32; convert it with .astype(numpy.float32)");
      layer_ = make_layer(*table().recurrent_double, cell, weights, owners_);
    } else {
      layer_ = make_layer(table().recurrent, cell, weights, owners_);
    }
  }

  int64_t input_size() const {
    return std::visit([](auto& layer) { return layer->input_size(); }, layer_);
  }
  int64_t hidden_size() const {
    return std::visit([](auto& layer) { return layer->hidden_size(); }, layer_);
  }
  int64_t output_size() const {
    return std::visit([](auto& layer) { return layer->output_size(); }, layer_);
  }
  const char* cell() const {
    return std::visit([](auto& layer) { return layer->info().name; }, layer_);
  }

  nb::tuple forward(nb::handle x, nb::handle state, nb::handle lengths, bool reverse, bool keep_tape, bool recompute,
                    bool trace, nb::handle zoneout, nb::handle hidden_mask) {
    return std::visit(
        [&](auto& layer) {
          return forward_of(*layer, x, state, lengths, reverse, keep_tape, recompute, trace, zoneout, hidden_mask);
        },
        layer_);
  }
  std::unique_ptr<Stepper<float>> stepper(int64_t batch, bool one_hot) {
    return std::visit(
        [&](auto& layer) -> std::unique_ptr<Stepper<float>> {
          if constexpr (std::is_same_v<decltype(make_stepper(*layer, batch, one_hot)), std::unique_ptr<Stepper<float>>>)
            return make_stepper(*layer, batch, one_hot);
          raise("DtypeError", "a layer computes in float64; sampling is for float32");
        },
        layer_);
  }
  void set_zoneout(nb::handle zoneout) {
    std::visit([&](auto& layer) { layer->set_zoneout(read_zoneout(*layer, zoneout, 0, 0, nullptr)); }, layer_);
  }
  // None for arguments that are to be made NumPy arrays first.
  nb::object step(nb::handle x, nb::handle state) {
    if (!is_numpy_or_none(x)) return nb::none();
    if (!state.is_none()) {
      if (!PyTuple_CheckExact(state.ptr())) return nb::none();
      for (const nb::handle part : nb::borrow<nb::tuple>(state))
        if (!is_numpy_or_none(part)) return nb::none();
    }
    return std::visit([&](auto& layer) -> nb::object { return step_of(*layer, x, state); }, layer_);
  }
  nb::tuple backward(PyTape& tape, nb::handle d_output, nb::handle d_state, bool need_dx) {
    return std::visit([&](auto& layer) { return backward_of(*layer, tape, d_output, d_state, need_dx); }, layer_);
  }

 private:
  static nb::tuple part_tuple(const CellInfo& info, nb::handle value, const std::string& name) {
    if (!nb::isinstance<nb::tuple>(value))
      raise("DtypeError", name + " is a " + binding::class_name(value) + ", want a tuple of " + text(info.num_parts) +
                              " arrays [B, H]");
    auto tuple = nb::borrow<nb::tuple>(value);
    if (static_cast<int>(tuple.size()) != info.num_parts)
      raise("ShapeError", name + " has " + text(static_cast<int64_t>(tuple.size())) + " parts, the " + info.name +
                              " cell has " + text(info.num_parts) + "; give one array for each part");
    return tuple;
  }

  static const char* part_axes(const CellInfo& info, int part) {
    return info.is_projected && part == 0 ? "[B, P]" : "[B, H]";
  }

  // Whether x holds ids; refuses what is neither ids nor floats.
  static bool is_one_hot(nb::handle x, const char* float_axes, const char* id_axes) {
    nb::ndarray<nb::ro> view;
    if (x.is_none() || !nb::try_cast(x, view)) return false;
    const AnyArray array(view);
    if (binding::is_integer(array)) return true;
    if (array.dtype().code != static_cast<uint8_t>(nb::dlpack::dtype_code::Float))
      raise("DtypeError", "x has dtype " + binding::dtype_name(array) + ", want floats " + float_axes +
                              " or integers " + id_axes + " up to int64; convert it first");
    return false;
  }

  // The parts of a state, each [B, H] or None; None for all of them.
  template <class S, class T>
  std::array<std::optional<AnyArray>, 2> parts(const Layer<S, T>& layer, nb::handle value, const std::string& name,
                                               int64_t B) {
    std::array<std::optional<AnyArray>, 2> result;
    if (value.is_none()) return result;
    const CellInfo& info = layer.info();
    const nb::tuple tuple = part_tuple(info, value, name);
    for (int i = 0; i < info.num_parts; ++i)
      if (!tuple[i].is_none())
        result[i] = floats<S>(tuple[i], name + "." + info.parts[i], part_axes(info, i), {B, layer.part_size(i)});
    return result;
  }

  // For each part of the state: None, a number in 0 .. 1, or a mask [T, B, H] of bytes 0 and 1.
  template <class S, class T>
  typename Layer<S, T>::Zoneouts read_zoneout(const Layer<S, T>& layer, nb::handle value, int64_t num_steps,
                                              int64_t batch, std::vector<AnyArray>* masks) {
    typename Layer<S, T>::Zoneouts result{};
    const CellInfo& info = layer.info();
    if (!nb::isinstance<nb::tuple>(value) || nb::len(value) != static_cast<size_t>(info.num_parts))
      raise("ArgumentError", std::string("zoneout must be a tuple with one entry for each of the ") +
                                 text(info.num_parts) + " parts of the " + info.name + " cell's state");
    const auto tuple = nb::borrow<nb::tuple>(value);
    for (int part = 0; part < info.num_parts; ++part) {
      const std::string name = std::string("zoneout.") + info.parts[part];
      double share = 0;
      if (tuple[part].is_none()) continue;
      if (nb::try_cast(tuple[part], share)) {
        if (!(share >= 0 && share <= 1)) raise("ArgumentError", name + " must be a number in 0 .. 1, or a mask");
        result[part].share = static_cast<S>(share);
        continue;
      }
      if (masks == nullptr) raise("ArgumentError", name + " must be a number in 0 .. 1 here; give masks to forward");
      const char* const axes = info.is_projected && part == 0 ? "[T, B, P]" : "[T, B, H]";
      AnyArray mask = array(tuple[part], name, axes, {num_steps, batch, layer.part_size(part)});
      check_bool(mask, name);
      masks->push_back(mask);
      result[part].mask = static_cast<const uint8_t*>(mask.data());
    }
    return result;
  }

  template <class S, class T>
  nb::tuple forward_of(Layer<S, T>& layer, nb::handle x, nb::handle state, nb::handle lengths, bool reverse,
                       bool keep_tape, bool recompute, bool trace, nb::handle zoneout, nb::handle hidden_mask) {
    const int64_t I = layer.input_size(), H = layer.hidden_size(), P = layer.output_size();
    const bool one_hot = is_one_hot(x, "[T, B, I]", "[T, B]");
    if (kIsScaled<T> && keep_tape)
      raise("ArgumentError",
            "keep_tape is True, but int8 has no gradients; make the layer with precision 'fp32' or 'bf16'");
    typename Layer<S, T>::Call call{};
    std::optional<AnyArray> input;
    std::vector<int64_t> ids, length_values;
    if (one_hot) {
      const AnyArray given = array(x, "x", "[T, B]", {-1, -1});
      call.num_steps = static_cast<int64_t>(given.shape(0));
      call.batch = static_cast<int64_t>(given.shape(1));
      ids = binding::int_array(x, "x", 2, "[T, B]");
    } else {
      input = floats<S>(x, "x", "[T, B, I]", {-1, -1, I});
      call.num_steps = static_cast<int64_t>(input->shape(0));
      call.batch = static_cast<int64_t>(input->shape(1));
    }
    for (size_t i = 0; i < ids.size(); ++i)
      if (ids[i] < 0 || ids[i] >= I)
        raise("ArgumentError", "x[" + text(i / call.batch) + ", " + text(i % call.batch) + "] is " + text(ids[i]) +
                                   ", want 0 <= id < " + text(I) + ", the layer's input size");
    if (!lengths.is_none()) {
      array(lengths, "lengths", "[B]", {call.batch});
      length_values = binding::int_array(lengths, "lengths", 1, "[B]");
      for (size_t b = 0; b < length_values.size(); ++b)
        if (length_values[b] < 0 || length_values[b] > call.num_steps)
          raise("ArgumentError", "lengths[" + text(b) + "] is " + text(length_values[b]) +
                                     ", want 0 <= length <= T = " + text(call.num_steps) +
                                     "; pad x or cut the lengths");
      call.lengths = length_values.data();
    }
    const auto state_parts = parts(layer, state, "state", call.batch);
    // The tape is the largest of all: five rows of gates' worth covers every buffer of a call.
    binding::checked_product("the tape of x",
                             {call.num_steps + 1, call.batch + 1, H + 16, 5, layer.info().num_slots + 1}, sizeof(S));
    binding::checked_product("the gradient of x", {call.num_steps + 1, call.batch + 1, I}, sizeof(S));
    call.x = data<S>(input);
    call.ids = one_hot ? ids.data() : nullptr;
    call.reverse = reverse;
    call.state = {data<S>(state_parts[0]), data<S>(state_parts[1])};
    call.keep_tape = keep_tape;
    call.recompute = recompute;
    call.trace = trace;
    std::vector<AnyArray> masks;
    call.zoneout =
        zoneout.is_none() ? layer.zoneout() : read_zoneout(layer, zoneout, call.num_steps, call.batch, &masks);
    if (!hidden_mask.is_none()) {
      if (layer.info().num_products == 0)
        raise("ArgumentError", std::string("recurrent_mask was given, a layer of ") + layer.info().name +
                                   " multiplies no h that it could mask; leave it out");
      masks.push_back(floats<S>(hidden_mask, "recurrent_mask", part_axes(layer.info(), 0), {call.batch, P}));
      call.hidden_mask = static_cast<const S*>(masks.back().data());
    }

    Unrolled<S> result;
    {
      const nb::gil_scoped_release release;
      result = layer.forward(call);
    }
    const auto num_steps = static_cast<size_t>(call.num_steps), B = static_cast<size_t>(call.batch),
               width = static_cast<size_t>(H), output_width = static_cast<size_t>(P);
    nb::object tape = nb::none();
    if (result.tape)
      tape =
          nb::cast(new PyTape{std::move(result.tape), input, std::move(masks), &layer}, nb::rv_policy::take_ownership);
    const nb::object output = numpy(result.hidden, {num_steps, B, output_width}, call.batch * P);
    nb::object traced = nb::none();
    if (trace) {
      nb::list arrays;
      for (const Buffer<S>& buffer : result.trace) arrays.append(numpy(buffer, {num_steps, B, width}));
      traced = arrays;
    }
    if (layer.info().num_parts == 1)
      return nb::make_tuple(output, nb::make_tuple(numpy(result.state[0], {B, output_width})), tape, traced);
    return nb::make_tuple(output,
                          nb::make_tuple(numpy(result.state[0], {B, output_width}), numpy(result.state[1], {B, width})),
                          tape, traced);
  }

  template <class S, class T>
  nb::tuple step_of(Layer<S, T>& layer, nb::handle x, nb::handle state) {
    const int64_t I = layer.input_size(), H = layer.hidden_size();
    const CellInfo& info = layer.info();
    StepArray<S> input, parts[2];
    std::vector<int64_t> ids;
    if (!input.take(x, -1, I)) {
      if (is_one_hot(x, "[B, I]", "[B]")) {
        array(x, "x", "[B]", {-1});
        ids = binding::int_array(x, "x", 1, "[B]");
        for (size_t b = 0; b < ids.size(); ++b)
          if (ids[b] < 0 || ids[b] >= I)
            raise("ArgumentError", "x[" + text(static_cast<int64_t>(b)) + "] is " + text(ids[b]) + ", want 0 <= id < " +
                                       text(I) + ", the layer's input size");
        input.num_rows = static_cast<int64_t>(ids.size());
      } else {
        input.check(x, "x", "[B, I]", -1, I);
      }
    }
    const int64_t B = input.num_rows;
    if (!state.is_none()) {
      const nb::tuple tuple = part_tuple(info, state, "state");
      for (int i = 0; i < info.num_parts; ++i)
        if (!tuple[i].is_none() && !parts[i].take(tuple[i], B, layer.part_size(i)))
          parts[i].check(tuple[i], std::string("state.") + info.parts[i], part_axes(info, i), B, layer.part_size(i));
    }
    binding::checked_product("the gates of x", {B + 1, H + 16, 5, info.num_slots + 1}, sizeof(S));
    const int64_t P = layer.output_size();
    const StepResult<S> output(B, P), h(B, P);
    std::optional<StepResult<S>> memory;
    if (info.num_parts > 1) memory.emplace(B, H);
    const bool one_hot = input.data == nullptr;
    // Only whoever holds the GIL takes the kept one or puts it back; a second thread meanwhile makes its own.
    auto& kept = std::get<KeptStepper<S>>(kept_);
    std::unique_ptr<Stepper<S>> stepper;
    if (kept.rows == B && kept.one_hot == one_hot) stepper = std::move(kept.stepper);
    {
      const nb::gil_scoped_release release;
      if (stepper == nullptr) stepper = make_stepper(layer, B, one_hot);
      stepper->set_state({parts[0].data, parts[1].data});
      run_step(*stepper, input.data, ids.data());
      stepper->copy_state({h.data, memory ? memory->data : nullptr});
      std::copy_n(h.data, B * P, output.data);
    }
    if (B <= kept.kMostRows) kept = {std::move(stepper), B, one_hot};
    return nb::make_tuple(output.array, memory ? nb::make_tuple(h.array, memory->array) : nb::make_tuple(h.array));
  }

  template <class S, class T>
  nb::tuple backward_of(Layer<S, T>& layer, PyTape& py_tape, nb::handle d_output, nb::handle d_state, bool need_dx) {
    if (py_tape.layer != &layer)
      raise("ArgumentError", "tape belongs to another layer; give it to the layer whose forward made it");
    Tape<S>& tape = *std::get<std::unique_ptr<Tape<S>>>(py_tape.tape);
    const int64_t num_steps = tape.num_steps, B = tape.batch, I = layer.input_size(), H = layer.hidden_size();
    const CellInfo& info = layer.info();
    std::optional<AnyArray> upstream;
    const int64_t P = layer.output_size();
    if (!d_output.is_none())
      upstream = floats<S>(d_output, "d_output", info.is_projected ? "[T, B, P]" : "[T, B, H]", {num_steps, B, P});
    const auto state_parts = parts(layer, d_state, "d_state", B);
    if (py_tape.is_used)
      raise("ArgumentError",
            "tape was used by an earlier backward, which overwrote it; run forward again with keep_tape=True for a "
            "second one");
    py_tape.is_used = true;
    Gradients<S> result;
    {
      const nb::gil_scoped_release release;
      result = layer.backward(tape, {data<S>(upstream), {data<S>(state_parts[0]), data<S>(state_parts[1])}, need_dx});
    }
    const auto batch = static_cast<size_t>(B), width = static_cast<size_t>(H), input = static_cast<size_t>(I);
    const size_t rows = info.num_gates * width, output_width = static_cast<size_t>(P);
    nb::tuple state = nb::make_tuple(numpy(result.state[0], {batch, output_width}));
    if (info.num_parts == 2) state = nb::make_tuple(state[0], numpy(result.state[1], {batch, width}));
    return nb::make_tuple(
        numpy(result.x, {static_cast<size_t>(num_steps), batch, input}), state, numpy(result.weight_ih, {rows, input}),
        numpy(result.weight_hh, {rows, output_width}), numpy(result.bias_ih, {rows}), numpy(result.bias_hh, {rows}),
        numpy(result.weight_peephole, {info.num_peepholes * width}), numpy(result.weight_hr, {output_width, width}),
        numpy(result.weight_norm_ih, {rows}), numpy(result.weight_norm_hh, {rows}),
        numpy(result.weight_norm_c, {width}), numpy(result.bias_norm_c, {width}));
  }

  std::vector<AnyArray> owners_;  // the weights, which the layer borrows
  std::variant<std::unique_ptr<Layer<float>>, std::unique_ptr<Layer<float, Pair>>,
               std::unique_ptr<Layer<float, Triple>>, std::unique_ptr<Layer<float, Quad>>,
               std::unique_ptr<Layer<double>>>
      layer_;
  std::tuple<KeptStepper<float>, KeptStepper<double>> kept_;  // borrow from the layer: they go first
};

nb::tuple cell_tuple(const char* const* names, int count) {
  nb::list list;
  for (int i = 0; i < count; ++i) list.append(names[i]);
  return nb::tuple(list);
}

}  // namespace

std::unique_ptr<Stepper<float>> binding::stepper_of(nb::handle layer, int64_t batch, bool one_hot) {
  return nb::cast<PyLayer&>(layer).stepper(batch, one_hot);
}

void bind_recurrent(nb::module_& m) {
  if (_import_array() < 0) throw nb::python_error();
  nb::class_<PyTape>(m, "Tape");
  nb::class_<PyLayer>(m, "Layer")
      .def(nb::init<const std::string&, nb::handle, nb::handle, nb::handle, nb::handle, nb::handle, nb::handle,
                    const nb::dict&, const std::string&>(),
           nb::arg("cell"), nb::arg("weight_ih").none(), nb::arg("weight_hh").none(), nb::arg("bias_ih").none(),
           nb::arg("bias_hh").none(), nb::arg("weight_peephole").none(), nb::arg("weight_hr").none(), nb::arg("norms"),
           nb::arg("precision"))
      .def_prop_ro("cell", &PyLayer::cell)
      .def_prop_ro("input_size", &PyLayer::input_size)
      .def_prop_ro("hidden_size", &PyLayer::hidden_size)
      .def_prop_ro("output_size", &PyLayer::output_size)
      .def("forward", &PyLayer::forward, nb::arg("x").none(), nb::arg("state").none(), nb::arg("lengths").none(),
           nb::arg("reverse"), nb::arg("keep_tape"), nb::arg("recompute"), nb::arg("trace"), nb::arg("zoneout").none(),
           nb::arg("recurrent_mask").none())
      .def("set_zoneout", &PyLayer::set_zoneout, nb::arg("zoneout"))
      .def("step", &PyLayer::step, nb::arg().none(), nb::arg().none())
      .def("backward", &PyLayer::backward, nb::arg("tape"), nb::arg("d_output").none(), nb::arg("d_state").none(),
           nb::arg("need_dx"));

  // name → (gates in torch's order, parts of the state, axes of every parameter by name, and of layer normalisation's)
  m.def("cells", [] {
    nb::dict cells;
    for (int i = 0; i < table().recurrent.num_cells; ++i) {
      const CellInfo& info = *table().recurrent.cells[i].info;
      nb::dict parameters;
      parameters["weight_ih"] = nb::make_tuple("G*H", "I");
      if (info.num_products > 0) parameters["weight_hh"] = nb::make_tuple("G*H", info.is_projected ? "P" : "H");
      parameters["bias_ih"] = nb::make_tuple("G*H");
      if (info.num_products > 0) parameters["bias_hh"] = nb::make_tuple("G*H");
      if (info.num_peepholes > 0) parameters["weight_peephole"] = nb::make_tuple(text(info.num_peepholes) + "*H");
      if (info.is_projected) parameters["weight_hr"] = nb::make_tuple("P", "H");
      nb::dict norms;
      norms["weight_norm_ih"] = nb::make_tuple("G*H");
      if (info.num_products > 0) norms["weight_norm_hh"] = nb::make_tuple("G*H");
      if (info.num_parts > 1) {
        norms["weight_norm_c"] = nb::make_tuple("H");
        norms["bias_norm_c"] = nb::make_tuple("H");
      }
      cells[info.name] = nb::make_tuple(cell_tuple(info.gates, info.num_gates), cell_tuple(info.parts, info.num_parts),
                                        parameters, norms);
    }
    return cells;
  });
}

}  // namespace rnnkit
