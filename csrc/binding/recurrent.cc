// Recurrent layers as Python sees them: every argument check, no arithmetic.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "binding/errors.h"
#include "isa/table.h"
#include "memory.h"
#include "threads/team.h"

namespace nb = nanobind;

namespace rnnkit {

void bind_recurrent(nb::module_& m) {
  m.def("isa", [] { return table().isa; });
  m.def("get_num_threads", &threads::get_num_threads);
  m.def("set_num_threads", [](int count) {
    if (count < 1 || count > 4096) raise("ArgumentError", "num_threads is " + std::to_string(count) + ", want 1..4096");
    threads::set_num_threads(count);
  });
}

}  // namespace rnnkit
