// Logits to token: one row at a time, from scores and one uniform number to the id that comes next.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rnnkit::decode {

struct SamplingOptions {
  double temperature = 1.0;         // 0 = greedy
  int64_t top_k = 0;                // 0 = all
  double top_p = 1.0;               // 1 = all; 0 = the most probable one
  double min_p = 0.0;               // 0 = all; as a share of the most probable one's probability
  double repetition_penalty = 1.0;  // 1 = none
};

enum class RowFault { none, nan, positive_infinity, nothing_left };

struct Draw {
  int64_t id = -1;  // valid when fault is none
  RowFault fault = RowFault::none;
  int64_t column = -1;  // where the fault is, for nan and positive_infinity
};

// Scratch of one thread; grows to the largest row it has seen and is reused. The three arrays run in parallel over the
// tokens that are still possible, by ascending id.
struct SamplingScratch {
  std::vector<int64_t> ids;     // filled only when a filter (top_k, top_p, min_p) is on
  std::vector<double> scores;   // penalised logits
  std::vector<double> weights;  // exp((score - highest) / temperature)
  struct Candidate {
    double score;
    int64_t id;
  };
  std::vector<Candidate> ranking;  // the part of the ranking that a filter looks at
};

// Draws one id. `previous` are ids in [0, V) already emitted; `uniform` is in [0, 1). Every sum runs in a fixed order
// and nothing but plain IEEE double operations is used, so equal arguments give equal ids on every machine.
Draw sample_row(std::span<const float> logits, std::span<const int64_t> previous, const SamplingOptions& options,
                double uniform, SamplingScratch& scratch);

// The rows of logits[B, V], shared among the workers; one stream, step and list of previous ids per row.
struct RowsToSample {
  const float* logits;
  int64_t V;
  uint64_t seed;
  std::span<const uint64_t> streams, steps;        // [B]
  std::span<const std::vector<int64_t>> previous;  // [B]
  SamplingOptions options;
};
std::vector<Draw> sample_rows(const RowsToSample& rows);

}  // namespace rnnkit::decode
