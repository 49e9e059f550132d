#include <nanobind/nanobind.h>

namespace rnnkit {
void bind_heads(nanobind::module_&) {}
}  // namespace rnnkit
