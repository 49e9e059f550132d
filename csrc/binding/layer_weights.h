// A layer from the weights that Python gives: every check of their presence and shapes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "binding/layer_arrays.h"
#include "unroll/layer.h"

namespace rnnkit::binding {

struct LayerWeights {
  nb::handle weight_ih, weight_hh, bias_ih, bias_hh, weight_peephole, weight_hr;
  nb::dict norms;
};

// `owners`: keeps the arrays that the layer reads.
template <class S, class T>
std::unique_ptr<Layer<S, T>> make_layer(const RecurrentTable<S, T>& functions, const std::string& cell,
                                        const LayerWeights& weights, std::vector<AnyArray>& owners) {
  std::string names;
  for (int i = 0; i < functions.num_cells; ++i) {
    const CellInfo& info = *functions.cells[i].info;
    names += (i ? ", " : "") + std::string(info.name);
    if (cell != info.name) continue;
    const bool has_products = info.num_products > 0;
    const char* const hh_axes = info.is_projected ? "[G*H, P]" : "[G*H, H]";
    int64_t H = 0, P = 0, rows = -1;
    if (has_products) {
      P = H = static_cast<int64_t>(floats<S>(weights.weight_hh, "weight_hh", hh_axes, {-1, -1}).shape(1));
      if (info.is_projected)
        H = static_cast<int64_t>(floats<S>(weights.weight_hr, "weight_hr", "[P, H]", {P, -1}).shape(1));
      if (P < 1) raise("ShapeError", "weight_hh has hidden size 0, want at least 1; choose a hidden size");
      if (P > H)
        raise("ShapeError", "weight_hr projects " + text(H) + " units to " + text(P) +
                                ", want at most as many; choose a smaller projection");
      rows = info.num_gates * H;
      floats<S>(weights.weight_hh, "weight_hh", hh_axes, {rows, P});
    }
    const AnyArray w_ih = floats<S>(weights.weight_ih, "weight_ih", "[G*H, I]", {rows, -1});
    const auto I = static_cast<int64_t>(w_ih.shape(1));
    if (I < 1) raise("ShapeError", "weight_ih has input size 0, want at least 1; choose an input size");
    if (!has_products) {
      rows = static_cast<int64_t>(w_ih.shape(0));
      P = H = rows / info.num_gates;
      if (H < 1 || rows % info.num_gates != 0)
        raise("ShapeError", "weight_ih has " + text(rows) + " rows, want " + text(info.num_gates) +
                                " for each unit of " + info.name + "; check the layer's sizes");
    }
    owners.clear();
    const auto given = [&](nb::handle value, const char* name, const std::string& axes,
                           const std::vector<int64_t>& want, bool exists, bool is_optional) -> const S* {
      if (value.is_none() && (is_optional || !exists)) return nullptr;
      if (!exists)
        raise("ArgumentError", std::string(name) + " was given, a layer of " + info.name + " has none; leave it out");
      owners.push_back(floats<S>(value, name, axes, want));
      return static_cast<const S*>(owners.back().data());
    };
    const bool is_normed = weights.norms.size() > 0;  // then all of them must be there
    const auto norm = [&](const char* name, const char* axes, int64_t size, bool exists, bool is_optional) {
      const nb::object value = weights.norms.contains(name) ? nb::object(weights.norms[name]) : nb::none();
      return given(value, name, axes, {size}, exists, is_optional || !is_normed);
    };
    const typename Layer<S, T>::Arguments arguments{
        .input_size = I,
        .hidden_size = H,
        .output_size = P,
        .weight_ih = given(weights.weight_ih, "weight_ih", "[G*H, I]", {rows, I}, true, false),
        .weight_hh = given(weights.weight_hh, "weight_hh", hh_axes, {rows, P}, has_products, false),
        .bias_ih = given(weights.bias_ih, "bias_ih", "[G*H]", {rows}, true, true),
        .bias_hh = given(weights.bias_hh, "bias_hh", "[G*H]", {rows}, has_products, true),
        .weight_peephole = given(weights.weight_peephole, "weight_peephole", "[" + text(info.num_peepholes) + "*H]",
                                 {info.num_peepholes * H}, info.num_peepholes > 0, false),
        .weight_hr = given(weights.weight_hr, "weight_hr", "[P, H]", {P, H}, info.is_projected, false),
        .weight_norm_ih = norm("weight_norm_ih", "[G*H]", rows, true, false),
        .weight_norm_hh = norm("weight_norm_hh", "[G*H]", rows, has_products, false),
        .weight_norm_c = norm("weight_norm_c", "[H]", H, info.num_parts > 1, false),
        .bias_norm_c = norm("bias_norm_c", "[H]", H, info.num_parts > 1, true)};
    const nb::gil_scoped_release release;
    return std::make_unique<Layer<S, T>>(functions, functions.cells[i], arguments);
  }
  raise("ArgumentError",
        "cell is '" + std::string(cell.c_str()) + "', want one of " + names + "; see rnnkit.kernels.CELLS");
}

}  // namespace rnnkit::binding
