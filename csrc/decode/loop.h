// Tokens one after the other without a way back to Python between them: layers, scores, draw, and again.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "decode/sample.h"
#include "heads/table.h"
#include "unroll/stepper.h"

namespace rnnkit::decode {

using AnyLinear = std::variant<PackedLinear<float>, PackedLinear<Pair>, PackedLinear<Triple>, PackedLinear<Quad>>;
// y [rows, outputs] of x [rows, inputs], by as many workers as that is worth.
void run_linear(const AnyLinear& linear, const float* x, int64_t rows, float* y);
// Likewise of images; linear: of [outputs, patch].
void run_convolution(const AnyLinear& linear, const Images& images, const float* x, float* y);
int64_t inputs_of(const AnyLinear& linear);
int64_t outputs_of(const AnyLinear& linear);

// B streams side by side, each drawn as sample_rows() would draw it. The state of the layers is the loop's own; the
// last layer's h, after what was read so far, is what the first token is scored from.
class SamplingLoop {
 public:
  struct Model {
    std::vector<std::unique_ptr<Stepper<float>>> layers;
    const float* table;                   // [V, width of the first layer's input]; null: ids enter it as one-hot rows
    int64_t width;                        // of the table
    std::optional<AnyLinear> projection;  // between the last layer and the scores
    AnyLinear scores;
  };
  struct Stop {  // why a row has no further token
    Draw draw;
    size_t row;
  };

  SamplingLoop(Model model, uint64_t seed, std::vector<uint64_t> streams, uint64_t first_step, SamplingOptions options,
               const std::vector<std::vector<int64_t>>& previous);

  int64_t batch() const { return static_cast<int64_t>(streams_.size()); }
  int64_t vocab_size() const { return outputs_of(model_.scores); }
  // Draws up to `count` tokens for every row into ids [count, B]; returns how many there are. They are fewer when a row
  // cannot go on: then `stop` says why. allowed: bytes [B, V], 0 for what none of them may be; null: anything.
  int64_t draw(int64_t count, int64_t* ids, const uint8_t* allowed = nullptr);
  const std::optional<Stop>& stop() const { return stop_; }
  // Keeps some rows, in this order.
  void keep(const std::vector<int64_t>& rows);

 private:
  enum class Stage { token, layer, projection, scores, draw, drawn };

  threads::Phase next();
  void part(int64_t part, int worker);
  bool is_shared(int64_t parts);
  void begin_layer();
  void take_tokens();
  void make_room();
  int64_t cost() const;

  Model model_;
  uint64_t seed_;
  std::vector<uint64_t> streams_;
  SamplingOptions options_;
  std::vector<std::vector<int64_t>> seen_;     // [B] what the penalty counts, each id once
  std::vector<std::vector<bool>> is_seen_;     // [B][V]; empty without a penalty
  std::vector<int64_t> tokens_;                // [B] drawn last
  std::vector<Draw> draws_;                    // [B]
  std::vector<float> x_, projected_, logits_;  // [B, width], [B, .], [B, V]
  std::vector<SamplingScratch> scratch_;       // [workers]
  uint64_t step_;                              // the number of the next draw in each stream
  bool is_read_ = true;                        // whether the layers have read tokens_
  std::optional<Stop> stop_;

  // of the call in progress
  Stage stage_ = Stage::token, running_ = Stage::token;
  size_t layer_ = 0;
  int product_ = 0;
  int64_t num_parts_ = 0, wanted_ = 0, drawn_ = 0;
  int64_t* ids_ = nullptr;
  const uint8_t* allowed_ = nullptr;
  std::atomic<bool> is_out_of_memory_{false};
};

}  // namespace rnnkit::decode
