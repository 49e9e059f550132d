// Steps of a layer one at a time, each in parts that any worker may do: what `step` and the sampling loop run.
//
// The state lives here from step to step; a step allocates nothing. Its bits are those of Layer::forward.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "threads/crew.h"

namespace rnnkit {

template <class S>
class Stepper {
 public:
  virtual ~Stepper() = default;

  virtual int num_parts() const = 0;  // of the state
  // Starts from a state of [B, H] each (h of projected cells [B, P]), null for zeros; what it is after the last step.
  virtual void set_state(const std::array<const S*, 2>& parts) = 0;
  virtual void copy_state(const std::array<S*, 2>& parts) const = 0;
  virtual const S* hidden() const = 0;  // [B, H or P]: the first part, which is the output

  // What the next step reads: x [B, I] or ids [B], the other null. They stay valid during the step.
  virtual void begin(const S* x, const int64_t* ids) = 0;
  virtual int num_phases() const = 0;             // of a step, one after the other: its products, at least one
  virtual threads::Phase phase(int product) = 0;  // prepares it
  virtual void part(int product, int64_t part) = 0;
  virtual void end() = 0;

  // Keeps some rows, in this order; num_rows is at most the batch.
  virtual void keep(const int64_t* rows, int64_t num_rows) = 0;
  // About how many nanoseconds one core works for a step.
  virtual int64_t cost() const = 0;
};

// How many workers are worth the waking for so many nanoseconds of one core.
int workers_for_cost(int64_t nanoseconds);

// One step, by all the workers that it is worth.
template <class S>
void run_step(Stepper<S>& stepper, const S* x, const int64_t* ids);

template <class S, class T>
class Layer;
// `layer` outlives it. `one_hot`: whether steps will read ids.
template <class S, class T>
std::unique_ptr<Stepper<S>> make_stepper(Layer<S, T>& layer, int64_t batch, bool one_hot);

}  // namespace rnnkit
