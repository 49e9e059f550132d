#include <nanobind/nanobind.h>

namespace rnnkit {
void bind_recurrent(nanobind::module_&) {}
}  // namespace rnnkit
