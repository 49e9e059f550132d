// The memory and order of single steps. Two halves of `hidden` take turns: one step reads the first and writes the
// second, the next one the other way round, so that nothing is moved between steps.
#include "unroll/stepper.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "mutants.h"
#include "threads/team.h"
#include "unroll/layer.h"

namespace rnnkit {
namespace {

constexpr int64_t kLanes = 16;

template <class S, class T>
class LayerStepper final : public Stepper<S> {
 public:
  LayerStepper(Layer<S, T>& layer, int64_t batch, bool one_hot)
      : layer_(layer),
        functions_(layer.functions()),
        weights_(layer.weights_for_forward(one_hot)),
        granule_(weights_.norms.is_on()          ? weights_.blocks  // a norm is that of a whole row
                 : weights_.cell->num_slots == 1 ? 2 * kPanel
                                                 : kPanel),
        one_hot_(one_hot) {
    const int64_t bytes = lay_out(nullptr, batch);
    memory_ = Buffer<char>(bytes);
    lay_out(memory_.get(), batch);
    if (kPerOperand<T> > 1) std::memset(memory_.get(), 0, static_cast<size_t>(bytes));  // ends of operands stay so
    call_.turn = layer.next_turn();
    set_batch(batch);
  }

  int num_parts() const override { return weights_.cell->num_parts; }

  void set_state(const std::array<const S*, 2>& parts) override {
    const int64_t H = weights_.hidden_size, padded = weights_.blocks * kLanes;
    for (int part = 0; part < 2; ++part) call_.options.zoneout[part] = layer_.zoneout()[part];
    copy_or_clear(parts[0], batch_ * weights_.output_size, call_.hidden);
    for (int64_t b = 0; has_memory() && b < batch_; ++b) {
      copy_or_clear(parts[1] ? parts[1] + b * H : nullptr, H, call_.memory + b * padded);
      std::fill_n(call_.memory + b * padded + H, padded - H, S(0));
    }
    call_.turn += step_;  // the next step still begins where the one before has ended
    step_ = 0;
    has_operands_ = false;
  }

  void copy_state(const std::array<S*, 2>& parts) const override {
    const int64_t H = weights_.hidden_size, padded = weights_.blocks * kLanes;
    std::memcpy(parts[0], hidden(), batch_ * weights_.output_size * sizeof(S));
    for (int64_t b = 0; has_memory() && b < batch_; ++b)
      std::memcpy(parts[1] + b * H, call_.memory + b * padded, H * sizeof(S));
  }

  const S* hidden() const override { return call_.hidden + step_ * batch_ * weights_.output_size; }

  void begin(const S* x, const int64_t* ids) override {
    call_.x = x;
    call_.ids = ids;
  }

  int num_phases() const override { return weights_.cell->num_stages(); }

  threads::Phase phase(int product) override {
    functions_.prepare_part(call_, step_, product, !has_operands_);
    has_operands_ = true;
    return {(blocks(product) + granule_ - 1) / granule_, (step_ + call_.turn) % 2 != 0};
  }

  void part(int product, int64_t part) override {
    functions_.forward_part(call_, step_, product, part * granule_, std::min(blocks(product), (part + 1) * granule_));
  }

  void end() override { step_ = 1 - step_; }

  void keep(const int64_t* rows, int64_t num_rows) override {
    const int64_t widths[2]{weights_.output_size, weights_.hidden_size};
    std::vector<S> before[2]{std::vector<S>(batch_ * widths[0]), std::vector<S>(batch_ * widths[1])};
    copy_state({before[0].data(), before[1].data()});
    std::vector<S> kept[2]{std::vector<S>(num_rows * widths[0]), std::vector<S>(num_rows * widths[1])};
    for (int part = 0; part < 2; ++part)
      for (int64_t r = 0, width = widths[part]; r < num_rows; ++r)
        std::memcpy(kept[part].data() + r * width, before[part].data() + rows[r] * width, width * sizeof(S));
    set_batch(num_rows);
    set_state({kept[0].data(), kept[1].data()});
  }

  int64_t cost() const override {
    const int64_t H = weights_.hidden_size, P = weights_.output_size;
    const int64_t depth = (weights_.cell->num_products > 0 ? P : 0) + (one_hot_ ? 0 : weights_.input_size);
    const int64_t weights = (weights_.cell->num_gates * depth + (weights_.cell->is_projected ? P : 0)) * H;
    const int64_t bytes = operands<T>(weights) * static_cast<int64_t>(sizeof(T));
    return std::max(bytes, batch_ * weights) / 100;  // 100 GB/s, 100 billion multiplications a second
  }

 private:
  bool has_memory() const { return weights_.cell->num_parts > 1; }
  // Of units, or of the h that a projection gives.
  int64_t blocks(int product) const {
    return product < weights_.cell->num_phases() ? weights_.blocks : weights_.output_blocks;
  }

  // Where everything lies behind `base`; returns the bytes it takes.
  int64_t lay_out(char* base, int64_t batch) {
    const int64_t padded = weights_.blocks * kLanes;
    const bool has_reset_hidden = weights_.cell->has_inner();
    int64_t at = 0;
    const auto take = [&](auto*& pointer, int64_t count) {
      pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(base + at);
      at += (count * static_cast<int64_t>(sizeof(*pointer)) + 63) / 64 * 64;
    };
    take(call_.hidden, 2 * batch * weights_.output_size);
    take(call_.memory, has_memory() ? batch * padded : 0);
    take(call_.reset_hidden, has_reset_hidden ? batch * padded : 0);
    take(call_.gates, batch * weights_.row);
    take(call_.lists, 2 * batch);
    const OperandRoom<T> room(batch, 1, batch, padded, one_hot_ ? 0 : weights_.input_size, has_reset_hidden);
    take(call_.x_operands, room.input);
    take(call_.h_operands, room.hidden);
    take(call_.reset_operands, room.reset_hidden);
    take(order_, 4 * batch);
    return at;
  }

  void set_batch(int64_t batch) {
    batch_ = batch;
    for (int step = 0; step < 3; ++step) offset_[step] = step * batch;
    int64_t *const position = order_, *const before = order_ + 2 * batch;
    for (int64_t b = 0; b < batch; ++b) {
      position[b] = b;  // rows of `hidden` behind the first `batch`
      position[batch + b] = b - batch;
      before[b] = b;
      before[batch + b] = planted(Bug::every_second_step_reads_the_first_h) ? b : batch + b;
    }
    for (int list = 0; list < 2; ++list)
      std::iota(call_.lists + list * batch, call_.lists + (list + 1) * batch, int64_t{0});
    call_.weights = &weights_;
    call_.steps = {batch, 2, offset_, position, before};
    call_.split = Split::units;
    call_.chunk_rows = batch;
  }

  static void copy_or_clear(const S* from, int64_t count, S* to) {
    if (from != nullptr)
      std::memcpy(to, from, count * sizeof(S));
    else
      std::fill_n(to, count, S(0));
  }

  const Layer<S, T>& layer_;
  const CellFunctions<S, T>& functions_;
  const Weights<S, T>& weights_;
  const int64_t granule_;  // blocks of a part
  const bool one_hot_;
  Buffer<char> memory_;
  int64_t batch_ = 0, step_ = 0;
  bool has_operands_ = false;  // whether equations have left those of h
  int64_t offset_[3] = {};
  int64_t* order_ = nullptr;  // [4, batch]
  ForwardCall<S, T> call_{};
};

}  // namespace

int workers_for_cost(int64_t nanoseconds) {
  constexpr int64_t kWorthAWorker = 2500;
  return static_cast<int>(std::clamp<int64_t>(nanoseconds / kWorthAWorker, 1, threads::get_num_threads()));
}

template <class S>
void run_step(Stepper<S>& stepper, const S* x, const int64_t* ids) {
  stepper.begin(x, ids);
  struct Context {
    Stepper<S>& stepper;
    int product = -1;
  } context{stepper};
  threads::run_phases(workers_for_cost(stepper.cost()),
                      {&context,
                       [](void* pointer) -> threads::Phase {
                         auto& [stepper, product] = *static_cast<Context*>(pointer);
                         return ++product < stepper.num_phases() ? stepper.phase(product) : threads::Phase{0};
                       },
                       [](void* pointer, int64_t part, int) {
                         auto& [stepper, product] = *static_cast<Context*>(pointer);
                         stepper.part(product, part);
                       }});
  stepper.end();
}

template <class S, class T>
std::unique_ptr<Stepper<S>> make_stepper(Layer<S, T>& layer, int64_t batch, bool one_hot) {
  return std::make_unique<LayerStepper<S, T>>(layer, batch, one_hot);
}

template void run_step(Stepper<float>&, const float*, const int64_t*);
template void run_step(Stepper<double>&, const double*, const int64_t*);
template std::unique_ptr<Stepper<float>> make_stepper(Layer<float>&, int64_t, bool);
template std::unique_ptr<Stepper<float>> make_stepper(Layer<float, Pair>&, int64_t, bool);
template std::unique_ptr<Stepper<float>> make_stepper(Layer<float, Triple>&, int64_t, bool);
template std::unique_ptr<Stepper<float>> make_stepper(Layer<float, Quad>&, int64_t, bool);
template std::unique_ptr<Stepper<double>> make_stepper(Layer<double>&, int64_t, bool);

}  // namespace rnnkit
