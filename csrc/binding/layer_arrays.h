// The arrays of a layer's calls: checked with the name of the argument on the way in, owned by NumPy on the way out.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "binding/arguments.h"
#include "unroll/layer.h"

namespace rnnkit::binding {

inline std::string text(int64_t number) { return std::to_string(number); }

// An array of known shape and type. `want` gives the sizes, -1 for any; `axes` names them, as in "[T, B, I]".
inline AnyArray array(nb::handle value, const std::string& name, const std::string& axes,
                      const std::vector<int64_t>& want) {
  nb::ndarray<nb::ro> view;  // before anything is copied: a shape may lie about the memory behind it
  if (value.is_none() || !nb::try_cast(value, view) || !view.is_valid())
    raise("DtypeError",
          name + " is a " + class_name(value) + ", want an array " + axes + "; convert it with numpy.asarray");
  if (view.device_type() != nb::device::cpu::value)
    raise("DtypeError", name + " lives on another device; move it to the CPU first (.cpu())");
  std::string shape = "[", wanted = "[";
  bool fits = view.ndim() == want.size();
  int64_t bytes = std::max<int64_t>(1, view.dtype().bits / 8);
  for (size_t axis = 0; axis < view.ndim(); ++axis) {
    const auto size = static_cast<int64_t>(view.shape(axis));
    shape += (axis ? ", " : "") + text(size);
    fits = fits && (want[axis] < 0 || want[axis] == size);
    if (size != 0 && __builtin_mul_overflow(bytes, size, &bytes))
      raise("ShapeError", name + " has sizes whose product overflows; give the array that is really in memory");
  }
  for (size_t axis = 0; axis < want.size(); ++axis)
    wanted += (axis ? ", " : "") + (want[axis] < 0 ? "any" : text(want[axis]));
  if (!fits)
    raise("ShapeError",
          name + " has shape " + shape + "], want " + axes + " = " + wanted + "]; check the layer's sizes");
  AnyArray contiguous;
  if (!nb::try_cast(value, contiguous))
    raise("ShapeError",
          name + " of shape " + shape + "] cannot be made contiguous; there may be too little memory for a copy");
  return aligned(contiguous);
}

template <class S>
AnyArray floats(nb::handle value, const std::string& name, const std::string& axes, const std::vector<int64_t>& want) {
  AnyArray result = array(value, name, axes, want);
  if (result.dtype() != nb::dtype<S>())
    raise("DtypeError", name + " has dtype " + dtype_name(result) + ", want " +
                            (sizeof(S) == 4 ? "float32" : "float64") + " like the layer's weights; convert it first");
  return result;
}

template <class S>
const S* data(const std::optional<AnyArray>& array) {
  return array ? static_cast<const S*>(array->data()) : nullptr;
}

// A NumPy array over (part of) a buffer, which lives as long as the array; None for an empty buffer.
template <class S>
nb::object numpy(const Buffer<S>& buffer, std::initializer_list<size_t> shape, int64_t offset = 0) {
  if (!buffer) return nb::none();
  nb::capsule owner(new std::shared_ptr<S>(buffer.owner()),
                    [](void* p) noexcept { delete static_cast<std::shared_ptr<S>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, S>(buffer.get() + offset, shape.size(), shape.begin(), owner));
}

// Through NumPy's own interface: DLPack and the buffer protocol take as long as a small layer's step.
inline bool is_numpy_or_none(nb::handle value) { return value.is_none() || PyArray_Check(value.ptr()); }
template <class S>
constexpr int kNumpyType = sizeof(S) == 4 ? NPY_FLOAT32 : NPY_FLOAT64;

// The elements of an array that a step reads.
template <class S>
class StepArray {
 public:
  // Whether this is a contiguous NumPy array of the right type and shape; `rows` -1 for any.
  bool take(nb::handle value, int64_t rows, int64_t columns) {
    if (!PyArray_Check(value.ptr())) return false;
    PyArrayObject* const array = reinterpret_cast<PyArrayObject*>(value.ptr());
    if (PyArray_TYPE(array) != kNumpyType<S> || PyArray_NDIM(array) != 2 || PyArray_DIM(array, 1) != columns ||
        (rows >= 0 && PyArray_DIM(array, 0) != rows) || !PyArray_ISCARRAY_RO(array))
      return false;
    data = static_cast<const S*>(PyArray_DATA(array));
    num_rows = PyArray_DIM(array, 0);
    return true;
  }
  // The way of `floats` for any other, which names what is wrong.
  void check(nb::handle value, const std::string& name, const std::string& axes, int64_t rows, int64_t columns) {
    checked_ = floats<S>(value, name, axes, {rows, columns});
    data = static_cast<const S*>(checked_->data());
    num_rows = static_cast<int64_t>(checked_->shape(0));
  }

  const S* data = nullptr;
  int64_t num_rows = 0;

 private:
  std::optional<AnyArray> checked_;
};

// A new NumPy array [rows, columns] and its elements.
template <class S>
struct StepResult {
  StepResult(npy_intp rows, npy_intp columns) {
    npy_intp shape[] = {rows, columns};
    array = nb::steal(PyArray_EMPTY(2, shape, kNumpyType<S>, 0));
    if (!array.is_valid()) throw nb::python_error();
    data = static_cast<S*>(PyArray_DATA(reinterpret_cast<PyArrayObject*>(array.ptr())));
  }
  nb::object array;
  S* data;
};

}  // namespace rnnkit::binding
