// The Python module `rnnkit.kernels._core`: one bind function per subject.
#include <nanobind/nanobind.h>

#include "isa/table.h"
#include "mutants.h"

namespace rnnkit {
void bind_recurrent(nanobind::module_& m);
void bind_heads(nanobind::module_& m);
void bind_decode(nanobind::module_& m);
void bind_machine(nanobind::module_& m);
}  // namespace rnnkit

NB_MODULE(_core, m) {
  nanobind::set_leak_warnings(false);  // what a user's globals still hold at exit is no leak
  // rnnkit.kernels raises this as an error of ours when it is imported; None when all is well.
  m.attr("isa_problem") = rnnkit::choose_table();
  rnnkit::bind_recurrent(m);
  rnnkit::bind_heads(m);
  rnnkit::bind_decode(m);
  rnnkit::bind_machine(m);
#ifdef RNNKIT_MUTANTS
  m.def("plant", [](int bug) { rnnkit::planted_bug = bug; });
#endif
}
