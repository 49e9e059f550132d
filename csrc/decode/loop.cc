// The stages of a token as phases of the crew: the products of each layer, the scores, the draw.
#include "decode/loop.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <new>
#include <utility>

#include "decode/philox.h"
#include "isa/table.h"
#include "mutants.h"
#include "threads/team.h"

namespace rnnkit::decode {
namespace {

constexpr int64_t kPartCost = 1000;       // nanoseconds: a part that is worth taking
constexpr int64_t kWorthAWorker = 1500;   // nanoseconds of a token; the helpers are awake between tokens
constexpr int64_t kLogitsOfAPart = 8192;  // that are drawn from together

const ProductHeads<float>& heads_of(const PackedLinear<float>&) { return table().heads.fp32; }
const ProductHeads<Pair>& heads_of(const PackedLinear<Pair>&) { return table().heads.bf16; }
const ProductHeads<Triple>& heads_of(const PackedLinear<Triple>&) { return *table().heads.fp32_split; }
const ProductHeads<Quad>& heads_of(const PackedLinear<Quad>&) { return table().heads.int8; }

void run_part(const AnyLinear& linear, const float* x, int64_t rows, float* y, int64_t part, int64_t parts) {
  std::visit([&](const auto& packed) { heads_of(packed).linear_part(packed, x, rows, y, part, parts); }, linear);
}

// As in unroll/stepper.cc: 100 GB/s, 100 billion multiplications a second.
int64_t linear_cost(const AnyLinear& linear, int64_t rows) {
  return std::visit(
      [&]<class T>(const PackedLinear<T>& packed) {
        const int64_t weights = packed.inputs * packed.outputs;
        return std::max(operands<T>(weights) * static_cast<int64_t>(sizeof(T)), rows * weights) / 100;
      },
      linear);
}

int64_t linear_parts(const AnyLinear& linear, int64_t rows) {
  const int64_t panels = (outputs_of(linear) + 16 * kPanel - 1) / (16 * kPanel);
  return std::clamp<int64_t>(linear_cost(linear, rows) / kPartCost, 1, std::min<int64_t>(panels, 4096));
}

}  // namespace

void run_linear(const AnyLinear& linear, const float* x, int64_t rows, float* y) {
  std::visit([&](const auto& packed) { heads_of(packed).linear(packed, x, rows, y); }, linear);
}
void run_convolution(const AnyLinear& linear, const Images& images, const float* x, float* y) {
  std::visit([&](const auto& packed) { heads_of(packed).convolution(packed, images, x, y); }, linear);
}
int64_t inputs_of(const AnyLinear& linear) {
  return std::visit([](const auto& packed) { return packed.inputs; }, linear);
}
int64_t outputs_of(const AnyLinear& linear) {
  return std::visit([](const auto& packed) { return packed.outputs; }, linear);
}

SamplingLoop::SamplingLoop(Model model, uint64_t seed, std::vector<uint64_t> streams, uint64_t first_step,
                           SamplingOptions options, const std::vector<std::vector<int64_t>>& previous)
    : model_(std::move(model)),
      seed_(seed),
      streams_(std::move(streams)),
      options_(options),
      seen_(streams_.size()),
      step_(first_step) {
  if (options_.repetition_penalty != 1.0) {
    is_seen_.assign(streams_.size(), std::vector<bool>(vocab_size()));
    for (size_t b = 0; b < previous.size(); ++b)
      for (int64_t id : previous[b])
        if (!is_seen_[b][id]) {
          is_seen_[b][id] = true;
          seen_[b].push_back(id);
        }
  }
  scratch_.resize(threads::most_workers(threads::get_num_threads()));
  make_room();
}

void SamplingLoop::make_room() {
  const size_t B = streams_.size();
  tokens_.resize(B);
  draws_.resize(B);
  x_.resize(model_.table ? B * model_.width : 0);
  projected_.resize(model_.projection ? B * outputs_of(*model_.projection) : 0);
  logits_.resize(B * vocab_size());
}

int64_t SamplingLoop::draw(int64_t count, int64_t* ids, const uint8_t* allowed) {
  ids_ = ids;
  allowed_ = allowed;
  wanted_ = stop_ ? 0 : count;
  drawn_ = 0;
  stage_ = Stage::token;
  const int workers =
      static_cast<int>(std::clamp<int64_t>(cost() / kWorthAWorker, 1, static_cast<int64_t>(scratch_.size())));
  threads::run_phases(
      workers, {this, [](void* loop) { return static_cast<SamplingLoop*>(loop)->next(); },
                [](void* loop, int64_t part, int worker) { static_cast<SamplingLoop*>(loop)->part(part, worker); }});
  if (is_out_of_memory_) throw std::bad_alloc();
  return drawn_;
}

int64_t SamplingLoop::cost() const {
  int64_t total = linear_cost(model_.scores, batch());
  if (model_.projection) total += linear_cost(*model_.projection, batch());
  for (const auto& layer : model_.layers) total += layer->cost();
  return total;
}

threads::Phase SamplingLoop::next() {
  for (;;) {
    running_ = stage_;
    switch (stage_) {
      case Stage::token:
        if (drawn_ == wanted_ || stop_ || is_out_of_memory_) return {0};
        layer_ = 0;
        stage_ = is_read_ ? Stage::projection : Stage::layer;
        if (!is_read_) begin_layer();
        is_read_ = true;
        break;
      case Stage::layer:
        if (++product_ < model_.layers[layer_]->num_phases()) return model_.layers[layer_]->phase(product_);
        model_.layers[layer_]->end();
        if (++layer_ < model_.layers.size())
          begin_layer();
        else
          stage_ = Stage::projection;
        break;
      case Stage::projection:
        stage_ = Stage::scores;
        if (model_.projection && is_shared(linear_parts(*model_.projection, batch()))) return {num_parts_};
        break;
      case Stage::scores:
        stage_ = Stage::draw;
        if (is_shared(linear_parts(model_.scores, batch()))) return {num_parts_};
        break;
      case Stage::draw:
        stage_ = Stage::drawn;
        if (is_shared(std::clamp<int64_t>(batch() * vocab_size() / kLogitsOfAPart, 1, batch()))) return {num_parts_};
        break;
      case Stage::drawn:
        take_tokens();
        stage_ = Stage::token;
        break;
    }
  }
}

// Whether the running stage has parts to share. A single one is done here and now: to open a phase for it would cost
// more than it does, and a second worker would fetch what this one has in its cache.
bool SamplingLoop::is_shared(int64_t parts) {
  num_parts_ = parts;
  if (parts == 1) part(0, 0);
  return parts > 1;
}

void SamplingLoop::begin_layer() {
  product_ = -1;
  Stepper<float>& layer = *model_.layers[layer_];
  if (layer_ > 0) return layer.begin(model_.layers[layer_ - 1]->hidden(), nullptr);
  if (model_.table == nullptr) return layer.begin(nullptr, tokens_.data());
  for (size_t b = 0; b < tokens_.size(); ++b)
    std::copy_n(model_.table + tokens_[b] * model_.width, model_.width, x_.data() + b * model_.width);
  layer.begin(x_.data(), nullptr);
}

void SamplingLoop::part(int64_t part, int worker) {
  const float* features = model_.layers.back()->hidden();
  switch (running_) {
    case Stage::layer:
      model_.layers[layer_]->part(product_, part);
      break;
    case Stage::projection:
      run_part(*model_.projection, features, batch(), projected_.data(), part, num_parts_);
      break;
    case Stage::scores:
      run_part(model_.scores, model_.projection ? projected_.data() : features, batch(), logits_.data(), part,
               num_parts_);
      break;
    default:
      try {
        const auto V = static_cast<size_t>(vocab_size());
        for (int64_t b = batch() * part / num_parts_; b < batch() * (part + 1) / num_parts_; ++b) {
          float* const logits = logits_.data() + b * V;
          for (size_t v = 0; allowed_ != nullptr && v < V; ++v)
            if (!allowed_[b * V + v]) logits[v] = -std::numeric_limits<float>::infinity();
          draws_[b] =
              sample_row({logits, V}, seen_[b], options_, philox_uniform(seed_, streams_[b], step_), scratch_[worker]);
        }
      } catch (const std::bad_alloc&) {
        is_out_of_memory_ = true;
      }
  }
}

// Without a fault the tokens are the rows' next ones.
void SamplingLoop::take_tokens() {
  for (size_t b = 0; b < draws_.size(); ++b)
    if (draws_[b].fault != RowFault::none) {
      stop_ = Stop{draws_[b], b};
      return;
    }
  try {
    for (size_t b = 0; b < draws_.size(); ++b) {
      const int64_t id = tokens_[b] = ids_[drawn_ * batch() + static_cast<int64_t>(b)] = draws_[b].id;
      if (!is_seen_.empty() && !is_seen_[b][id] && !planted(Bug::drawn_tokens_are_not_punished)) {
        is_seen_[b][id] = true;
        seen_[b].push_back(id);
      }
    }
  } catch (const std::bad_alloc&) {
    is_out_of_memory_ = true;
  }
  is_read_ = false;
  ++step_;
  ++drawn_;
}

void SamplingLoop::keep(const std::vector<int64_t>& rows) {
  const auto pick = [&](auto& values) {
    std::remove_reference_t<decltype(values)> kept;
    for (int64_t row : rows) kept.push_back(values[row]);
    values = std::move(kept);
  };
  for (const auto& layer : model_.layers) layer->keep(rows.data(), static_cast<int64_t>(rows.size()));
  if (planted(Bug::kept_rows_draw_from_the_first_streams))
    streams_.resize(rows.size());
  else
    pick(streams_);
  pick(tokens_);
  pick(seen_);
  if (!is_seen_.empty()) pick(is_seen_);
  make_room();
}

}  // namespace rnnkit::decode
