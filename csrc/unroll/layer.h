// One direction of one recurrent layer: the memory of its calls, and who does what.
//
// Compiled once. The loops themselves are per instruction set (forward.h, backward.h) and are reached through
// `functions`.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "memory.h"
#include "unroll/packed_layer.h"
#include "unroll/step_index.h"
#include "unroll/table.h"

namespace rnnkit {

// What forward leaves for backward. Inputs are borrowed: the caller keeps `x` and the masks alive and unchanged.
template <class S>
struct Tape {
  StepIndex index;
  int64_t num_steps, batch;
  const S* x;
  Buffer<int64_t> ids;
  Buffer<S> hidden, memory, reset_hidden, gates;  // no gates: backward runs the steps again
  Options<S> options;                             // points into the next three, and to masks that the caller keeps
  Buffer<S> new_memory, hidden_mask, masked_hidden;
  bool is_used = false;
};

template <class S>
struct Unrolled {
  Buffer<S> hidden;                // [B + T*B, H or P]: h0, then the output
  std::array<Buffer<S>, 2> state;  // [B, H or P], [B, H]
  std::unique_ptr<Tape<S>> tape;
  std::vector<Buffer<S>> trace;  // [T, B, H]: every gate in torch's order and the memory, if asked for
};

template <class S>
struct Gradients {
  Buffer<S> x;                     // [T, B, I]; empty when not wanted or one-hot
  std::array<Buffer<S>, 2> state;  // [B, H or P], [B, H]
  Buffer<S> weight_ih, weight_hh, bias_ih, bias_hh, weight_peephole, weight_hr;  // empty where the layer has none
  Buffer<S> weight_norm_ih, weight_norm_hh, weight_norm_c, bias_norm_c;
};

// T: the operands of its products; everything else is computed and kept in S.
template <class S, class T = S>
class Layer {
 public:
  using Arguments = typename PackedLayer<S, T>::Arguments;

  Layer(const RecurrentTable<S, T>& table, const CellFunctions<S, T>& functions, const Arguments& arguments)
      : functions_(functions), packed_(table, *functions.info, arguments) {}

  const CellInfo& info() const { return *functions_.info; }
  int64_t input_size() const { return packed_.arguments().input_size; }
  int64_t hidden_size() const { return packed_.arguments().hidden_size; }
  int64_t output_size() const { return packed_.arguments().output_size; }
  int64_t part_size(int part) const { return part == 0 ? output_size() : hidden_size(); }
  // Zoneout by a number: of each part of the state, in single steps and in calls that ask for nothing else.
  using Zoneouts = std::array<typename Options<S>::Zoneout, 2>;
  const Zoneouts& zoneout() const { return zoneout_; }
  void set_zoneout(const Zoneouts& zoneout) { zoneout_ = zoneout; }

  struct Call {
    int64_t num_steps, batch;
    const S* x;              // [T, B, I], or null with ids
    const int64_t* ids;      // [T, B], each in 0 .. I - 1
    const int64_t* lengths;  // [B] or null
    bool reverse;
    std::array<const S*, 2> state;  // [B, H or P], [B, H], or null for zeros
    bool keep_tape;
    bool recompute;  // the tape holds no gates
    bool trace;
    Zoneouts zoneout;
    const S* hidden_mask;  // [B, H or P] or null
  };
  Unrolled<S> forward(const Call& call);

  struct BackwardArguments {
    const S* d_output;                // [T, B, H or P] or null
    std::array<const S*, 2> d_state;  // [B, H or P], [B, H], or null
    bool need_dx;
  };
  Gradients<S> backward(Tape<S>& tape, const BackwardArguments& arguments);

  // For unroll/stepper.cc.
  const CellFunctions<S, T>& functions() const { return functions_; }
  const Weights<S, T>& weights_for_forward(bool one_hot) { return packed_.for_forward(one_hot); }
  int64_t next_turn() { return turn_.fetch_add(1, std::memory_order_relaxed); }

 private:
  Split choose_split(int64_t batch, int workers) const;
  int choose_shares(Split split, int64_t batch, int workers) const;
  int choose_workers(const Steps& steps) const;
  int64_t recurrent_weights() const;

  const CellFunctions<S, T>& functions_;
  PackedLayer<S, T> packed_;
  std::atomic<int64_t> turn_{0};
  Zoneouts zoneout_{};
};

}  // namespace rnnkit
