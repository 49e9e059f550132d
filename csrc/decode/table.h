// The decoding functions of one instruction set.
#pragma once

namespace rnnkit {

struct DecodeTable {};

}  // namespace rnnkit
