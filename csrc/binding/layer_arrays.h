// The arrays of a layer's calls: checked with the name of the argument on the way in, owned by NumPy on the way out.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

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
  return contiguous;
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

// The elements of an array that a step reads. A contiguous NumPy array of the right type and shape gives them by its
// buffer, in a tenth of the time that DLPack takes; any other goes the way of `floats`, which names what is wrong.
template <class S>
class StepArray {
 public:
  StepArray() = default;
  ~StepArray() {
    if (buffer_.obj != nullptr) PyBuffer_Release(&buffer_);
  }
  StepArray(const StepArray&) = delete;
  StepArray& operator=(const StepArray&) = delete;

  // Whether the short way was open; `rows` -1 for any.
  bool take(nb::handle value, int64_t rows, int64_t columns) {
    if (PyObject_GetBuffer(value.ptr(), &buffer_, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) != 0) {
      PyErr_Clear();
      return false;
    }
    const char* const format = sizeof(S) == 4 ? "f" : "d";
    if (buffer_.ndim != 2 || std::strcmp(buffer_.format, format) != 0 || buffer_.shape[1] != columns ||
        (rows >= 0 && buffer_.shape[0] != rows))
      return false;
    data = static_cast<const S*>(buffer_.buf);
    num_rows = buffer_.shape[0];
    return true;
  }
  void check(nb::handle value, const std::string& name, const std::string& axes, int64_t rows, int64_t columns) {
    checked_ = floats<S>(value, name, axes, {rows, columns});
    data = static_cast<const S*>(checked_->data());
    num_rows = static_cast<int64_t>(checked_->shape(0));
  }

  const S* data = nullptr;
  int64_t num_rows = 0;

 private:
  Py_buffer buffer_{};
  std::optional<AnyArray> checked_;
};

// A new NumPy array [rows, columns] and its elements.
template <class S>
struct StepResult {
  StepResult(int64_t rows, int64_t columns) {
    static PyObject* const empty = nb::object(nb::module_::import_("numpy").attr("empty")).release().ptr();
    static PyObject* const dtype =
        nb::object(nb::module_::import_("numpy").attr(sizeof(S) == 4 ? "float32" : "float64")).release().ptr();
    const nb::tuple shape = nb::make_tuple(rows, columns);
    PyObject* arguments[] = {shape.ptr(), dtype};
    array = nb::steal(PyObject_Vectorcall(empty, arguments, 2, nullptr));
    if (!array.is_valid()) throw nb::python_error();
    Py_buffer buffer;
    if (PyObject_GetBuffer(array.ptr(), &buffer, PyBUF_WRITABLE) != 0) throw nb::python_error();
    data = static_cast<S*>(buffer.buf);
    PyBuffer_Release(&buffer);  // the array itself keeps the memory
  }
  nb::object array;
  S* data;
};

}  // namespace rnnkit::binding
