// What the core knows of the machine: instruction set, threads, memory; and its elementary functions, for tests.
#include <nanobind/nanobind.h>

#include <string>

#include "binding/layer_arrays.h"
#include "isa/table.h"
#include "memory.h"
#include "threads/team.h"

namespace nb = nanobind;

namespace rnnkit {

using namespace binding;

void bind_machine(nb::module_& m) {
  m.def("isa", [] { return table().isa; });
  m.def("get_num_threads", &threads::get_num_threads);
  m.def(
      "set_num_threads",
      [](int64_t count) {
        if (count < 1 || count > 4096) raise("ArgumentError", "num_threads is " + text(count) + ", want 1 .. 4096");
        threads::set_num_threads(static_cast<int>(count));
      },
      nb::arg("count"));
  m.def("thread_pool", &threads::last_pool);

  // For tests and the memory report only.
  m.def("fill_scratch_with_nan", &memory::fill_with_nan, nb::arg("enabled"));
  m.def("memory_usage", [] {
    const memory::Usage usage = memory::usage();
    return nb::make_tuple(usage.held, usage.peak, usage.kept);
  });
  m.def("reset_memory_peak", &memory::reset_peak);
  m.def(
      "apply_math",
      [](const std::string& function, nb::handle x) {
        const AnyArray in = floats<float>(x, "x", "[N]", {-1});
        const Buffer<float> out(static_cast<int64_t>(in.shape(0)));
        table().math.apply(function.c_str(), static_cast<const float*>(in.data()), out.get(),
                           static_cast<int64_t>(in.shape(0)));
        return numpy(out, {in.shape(0)});
      },
      nb::arg("function"), nb::arg("x").none());
}

}  // namespace rnnkit
