// Raising the errors of rnnkit.errors from C++.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

namespace rnnkit {

// Raises rnnkit.errors.<name>(message). The calling thread must hold the GIL.
[[noreturn]] inline void raise(const char* name, const std::string& message) {
  const nanobind::object error = nanobind::module_::import_("rnnkit.errors").attr(name);
  PyErr_SetString(error.ptr(), message.c_str());
  throw nanobind::python_error();
}

}  // namespace rnnkit
