// One direction of one recurrent layer: its packed weights, and the memory and row order of a call.
//
// Compiled once. The loops themselves are per instruction set (forward.h, backward.h) and are reached through
// `functions`.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "memory.h"
#include "unroll/table.h"

namespace rnnkit {

// A block of memory from the pool, given back when the last owner goes.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t count)
      : data_(static_cast<T*>(memory::acquire(static_cast<size_t>(count) * sizeof(T))), &memory::release) {}
  T* get() const { return data_.get(); }
  const std::shared_ptr<T>& owner() const { return data_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  std::shared_ptr<T> data_;
};

// The order of the rows of one call and where each step's input and output lie (unroll/call.h).
class StepIndex {
 public:
  StepIndex() = default;
  // lengths: [B] in 0..T, or null for all T.
  StepIndex(int64_t num_steps, int64_t batch, const int64_t* lengths, bool reverse);

  Steps steps() const;
  int64_t row(int64_t r) const { return order_.get()[r]; }       // the batch row that is sorted row r
  int64_t length(int64_t r) const { return lengths_.get()[r]; }  // of sorted row r
  bool is_ragged() const { return is_ragged_; }

 private:
  int64_t batch_ = 0, num_steps_ = 0;
  bool is_ragged_ = false;
  Buffer<int64_t> order_, lengths_, offset_, position_, before_;
};

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
  struct Arguments {
    int64_t input_size, hidden_size;
    int64_t output_size;       // of h: P of projected cells, else H
    const S* weight_ih;        // [G*H, I]; all of them stay valid and unchanged as long as the layer
    const S* weight_hh;        // [G*H, H or P], for cells that multiply their state
    const S* bias_ih;          // [G*H] or null
    const S* bias_hh;          // [G*H] or null
    const S* weight_peephole;  // [num_peepholes*H]
    const S* weight_hr;        // [P, H], for projected cells
    const S* weight_norm_ih;   // [G*H]; null: no layer normalisation. With it, and where the cell has what they act on:
    const S* weight_norm_hh;   // [G*H]
    const S* weight_norm_c;    // [H]
    const S* bias_norm_c;      // [H] or null
  };

  Layer(const RecurrentTable<S, T>& table, const CellFunctions<S, T>& functions, const Arguments& arguments);

  const CellInfo& info() const { return *functions_.info; }
  int64_t input_size() const { return arguments_.input_size; }
  int64_t hidden_size() const { return arguments_.hidden_size; }
  int64_t output_size() const { return arguments_.output_size; }
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
  const Weights<S, T>& weights_for_forward(bool one_hot) {
    pack_for_forward(one_hot);
    return weights_;
  }
  int64_t next_turn() { return turn_.fetch_add(1, std::memory_order_relaxed); }

 private:
  void pack_norms();
  void pack_for_forward(bool one_hot);
  void pack_for_backward(bool need_dx);
  Packed<T> pack_rows(const S* weight, int64_t inputs, const std::vector<Place>& places, int64_t panel);
  Packed<T> pack_columns(const S* weight, int64_t columns, const std::vector<Place>& places);
  Split choose_split(int64_t batch, int workers) const;
  int choose_workers(const Steps& steps) const;
  int64_t recurrent_weights() const;

  const RecurrentTable<S, T>& table_;
  const CellFunctions<S, T>& functions_;
  const Arguments arguments_;
  std::vector<Place> input_places_;
  std::array<std::vector<Place>, 2> recurrent_places_;
  std::vector<Place> projection_places_;
  std::vector<Buffer<T>> packed_;  // what weights_ points to
  Buffer<S> input_table_, input_bias_, late_bias_, peepholes_, norms_;
  std::mutex packing_;
  std::atomic<int64_t> turn_{0};
  Zoneouts zoneout_{};
  Weights<S, T> weights_{};
};

}  // namespace rnnkit
