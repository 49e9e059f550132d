// The head functions of one instruction set.
#pragma once

namespace rnnkit {

struct HeadsTable {};

}  // namespace rnnkit
