#include <nanobind/nanobind.h>

namespace rnnkit {
void bind_decode(nanobind::module_&) {}
}  // namespace rnnkit
