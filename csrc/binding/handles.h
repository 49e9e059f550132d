// What one subject's binding needs of another's objects.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <memory>

#include "decode/loop.h"
#include "unroll/stepper.h"

namespace rnnkit::binding {

// Of a `_core.Layer`, which the caller keeps alive. Raises DtypeError for a layer in float64.
std::unique_ptr<Stepper<float>> stepper_of(nanobind::handle layer, int64_t batch, bool one_hot);

// Of a `_core.PackedLinear`, which the caller keeps alive.
const decode::AnyLinear& packed_linear_of(nanobind::handle packed);

}  // namespace rnnkit::binding
