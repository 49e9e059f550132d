// The LSTM whose h is narrower than its memory.  Source: Sak, Senior and Beaufays 2014, without the second,
// non-recurrent projection.
//
//   as the LSTM up to c';  m = o∘tanh(c');  h' = W_hr m, with W_hr [P, H] and U [G*H, P]
//
// The equations are the LSTM's: what they call h is m. The product with W_hr is the loops' (unroll/).
#pragma once

#include "cells/lstm.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

struct LstmProjected : Lstm {
  static constexpr CellInfo info = [] {
    CellInfo info = Lstm::info;
    info.name = "lstm_projected";
    info.is_projected = true;
    return info;
  }();
};

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
