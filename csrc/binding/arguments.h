// What every binding needs to check its arguments and to raise the errors of rnnkit.errors; no arithmetic.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

#include "gemm/layout.h"
#include "memory.h"

namespace rnnkit::binding {

namespace nb = nanobind;

// Raises rnnkit.errors.<error_class>. The caller holds the GIL.
[[noreturn]] inline void raise(const char* error_class, const std::string& message) {
  nb::object type = nb::module_::import_("rnnkit.errors").attr(error_class);
  PyErr_SetString(type.ptr(), message.c_str());
  throw nb::python_error();
}

// A C-contiguous array in this process's memory (a strided one was copied), any dtype; `owner` keeps it alive.
using AnyArray = nb::ndarray<nb::ro, nb::c_contig>;

// The array itself, or a copy where its elements lie at odd addresses, which no plain load may read.
inline AnyArray aligned(const AnyArray& array) {
  const size_t element = array.itemsize();
  if (element == 0 || reinterpret_cast<uintptr_t>(array.data()) % element == 0) return array;
  void* const copy = memory::acquire(std::max<size_t>(1, array.nbytes()));
  nb::capsule owner(copy, [](void* p) noexcept { memory::release(p); });
  std::memcpy(copy, array.data(), array.nbytes());
  std::vector<size_t> shape(array.ndim());
  for (size_t axis = 0; axis < shape.size(); ++axis) shape[axis] = array.shape(axis);
  return AnyArray(copy, shape.size(), shape.data(), owner, nullptr, array.dtype());
}

inline std::string class_name(nb::handle value) { return Py_TYPE(value.ptr())->tp_name; }

inline std::string dtype_name(const AnyArray& array) {
  const auto dtype = array.dtype();
  const std::string bits = std::to_string(dtype.bits);
  switch (static_cast<nb::dlpack::dtype_code>(dtype.code)) {
    case nb::dlpack::dtype_code::Int:
      return "int" + bits;
    case nb::dlpack::dtype_code::UInt:
      return "uint" + bits;
    case nb::dlpack::dtype_code::Float:
      return "float" + bits;
    case nb::dlpack::dtype_code::Bfloat:
      return "bfloat" + bits;
    case nb::dlpack::dtype_code::Bool:
      return "bool";
    default:
      return "dtype code " + std::to_string(dtype.code);
  }
}

template <class Array>
std::string shape_text(const Array& array) {
  std::string text = "[";
  for (size_t axis = 0; axis < array.ndim(); ++axis) text += (axis ? ", " : "") + std::to_string(array.shape(axis));
  return text + "]";
}

template <class Array>
void check_array(const Array& array, const std::string& name, int ndim, const char* axes) {
  if (array.device_type() != nb::device::cpu::value)
    raise("DtypeError", name + " lives on another device; move it to the CPU first (.cpu())");
  if (static_cast<int>(array.ndim()) != ndim)
    raise("ShapeError", name + " has shape " + shape_text(array) + ", wanted " + std::to_string(ndim) + " axes " +
                            axes + "; reshape it");
  int64_t bytes = 16;
  for (size_t axis = 0; axis < array.ndim(); ++axis)
    if (array.shape(axis) != 0 && __builtin_mul_overflow(bytes, static_cast<int64_t>(array.shape(axis)), &bytes))
      raise("ShapeError", name + " has shape " + shape_text(array) + ", more than memory can hold; use smaller sizes");
}

// `axes` names the axes, for example "[N, I]"; it appears in the messages only. A strided array is checked before it is
// copied: its shape may lie about the memory behind it.
inline AnyArray any_array(nb::handle value, const std::string& name, int ndim, const char* axes) {
  AnyArray array;
  if (nb::try_cast(value, array, false) && array.is_valid()) {
    check_array(array, name, ndim, axes);
    return aligned(array);
  }
  nb::ndarray<nb::ro> view;
  if (!nb::try_cast(value, view, false) || !view.is_valid())
    raise("DtypeError", name + " is a " + class_name(value) + ", wanted a NumPy array or a CPU tensor " + axes +
                            "; convert it with numpy.asarray");
  check_array(view, name, ndim, axes);
  if (!nb::try_cast(value, array))
    raise("ShapeError", name + " of shape " + shape_text(view) + " is strided and cannot be copied; use smaller sizes");
  return aligned(array);
}

struct FloatArray {
  AnyArray owner;
  const float* data = nullptr;
  int64_t size(int axis) const { return static_cast<int64_t>(owner.shape(axis)); }
};

inline FloatArray float_array(nb::handle value, const std::string& name, int ndim, const char* axes) {
  FloatArray out{any_array(value, name, ndim, axes)};
  if (out.owner.dtype() != nb::dtype<float>())
    raise("DtypeError",
          name + " has dtype " + dtype_name(out.owner) + ", wanted float32; convert it with .astype or .float()");
  out.data = static_cast<const float*>(out.owner.data());
  return out;
}

// A mask of bytes; those of unsigned integers will do.
inline void check_bool(const AnyArray& array, const std::string& name) {
  const auto dtype = array.dtype();
  const auto code = static_cast<nb::dlpack::dtype_code>(dtype.code);
  if (dtype.bits != 8 || (code != nb::dlpack::dtype_code::Bool && code != nb::dlpack::dtype_code::UInt))
    raise("DtypeError", name + " has dtype " + dtype_name(array) + ", want bool; convert it first");
}

inline bool is_integer(const AnyArray& array) {
  const auto dtype = array.dtype();
  const auto code = static_cast<nb::dlpack::dtype_code>(dtype.code);
  return dtype.lanes == 1 &&
         (code == nb::dlpack::dtype_code::Int || (code == nb::dlpack::dtype_code::UInt && dtype.bits < 64));
}

// Any integer dtype that int64 can hold, copied as int64.
inline std::vector<int64_t> int_array(nb::handle value, const std::string& name, int ndim, const char* axes) {
  const AnyArray array = any_array(value, name, ndim, axes);
  if (!is_integer(array))
    raise("DtypeError", name + " has dtype " + dtype_name(array) + ", wanted integers (int32 or int64); convert it");
  std::vector<int64_t> out(array.size());
  const auto copy = [&]<typename T>(const T* from) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = from[i];
  };
  const bool is_signed = static_cast<nb::dlpack::dtype_code>(array.dtype().code) == nb::dlpack::dtype_code::Int;
  const void* data = array.data();
  switch (array.dtype().bits) {
    case 8:
      is_signed ? copy(static_cast<const int8_t*>(data)) : copy(static_cast<const uint8_t*>(data));
      break;
    case 16:
      is_signed ? copy(static_cast<const int16_t*>(data)) : copy(static_cast<const uint16_t*>(data));
      break;
    case 32:
      is_signed ? copy(static_cast<const int32_t*>(data)) : copy(static_cast<const uint32_t*>(data));
      break;
    default:
      copy(static_cast<const int64_t*>(data));
  }
  return out;
}

inline void want_size(const std::string& what, int64_t got, int64_t want, const std::string& why) {
  if (got != want)
    raise("ShapeError", what + " is " + std::to_string(got) + ", wanted " + std::to_string(want) + ": " + why);
}

// Sums of products of eight bits must fit 32.
inline void check_quad_depth(const std::string& what, int64_t size) {
  if (size > 4 * kMostQuadDepth)
    raise("ShapeError", what + " is " + std::to_string(size) + ", int8 takes up to " +
                            std::to_string(4 * kMostQuadDepth) + "; use precision 'bf16'");
}

// The product of sizes, refused before anything is allocated when `bytes_each` times it passes 2^62.
inline int64_t checked_product(const std::string& what, std::initializer_list<int64_t> sizes, int64_t bytes_each) {
  int64_t product = 1;
  for (int64_t size : sizes)
    if (__builtin_mul_overflow(product, size, &product) || product > (int64_t{1} << 62) / bytes_each)
      raise("ShapeError", what + " would hold more than 2^62 bytes; use smaller sizes");
  return product;
}

// A new NumPy array and where its elements lie; its memory goes back to the pool when Python lets go of it.
template <typename T>
struct NewArray {
  nb::object object;
  T* data;
};
template <typename T>
NewArray<T> new_array(const std::string& what, std::initializer_list<int64_t> shape) {
  const auto bytes = static_cast<size_t>(checked_product(what, shape, sizeof(T))) * sizeof(T);
  T* data = static_cast<T*>(memory::acquire(bytes));
  nb::capsule owner(data, [](void* p) noexcept { memory::release(p); });
  const std::vector<size_t> sizes(shape.begin(), shape.end());
  return {nb::cast(nb::ndarray<nb::numpy, T>(data, sizes.size(), sizes.data(), owner)), data};
}

}  // namespace rnnkit::binding
