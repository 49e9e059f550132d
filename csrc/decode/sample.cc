#include "decode/sample.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <new>
#include <numeric>
#include <utility>

#include "decode/philox.h"
#include "isa/table.h"
#include "mutants.h"
#include "threads/team.h"

namespace rnnkit::decode {
namespace {

using Candidate = SamplingScratch::Candidate;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Hugging Face's rule (Keskar et al. 2019, CTRL, section 4.1, with the sign handled): each distinct previous id once.
void penalise(std::vector<double>& scores, std::span<const float> logits, std::span<const int64_t> previous,
              double penalty) {
  for (int64_t id : previous) {
    const double logit = logits[id];
    scores[id] = logit < 0 ? logit * penalty : logit / penalty;
  }
}

bool ranks_before(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.id < b.id);
}

// Drops every token that ranks behind `last`: what a filter keeps is always a prefix of the ranking.
void keep_up_to(const Candidate& last, SamplingScratch& s, bool with_weights) {
  size_t kept = 0;
  for (size_t i = 0; i < s.ids.size(); ++i) {
    if (ranks_before(last, {s.scores[i], s.ids[i]})) continue;
    s.ids[kept] = s.ids[i];
    s.scores[kept] = s.scores[i];
    if (with_weights) s.weights[kept] = s.weights[i];
    ++kept;
  }
  s.ids.resize(kept);
  s.scores.resize(kept);
  if (with_weights) s.weights.resize(kept);
}

// One pass with room for 2k: whenever it is full, the better half stays and its worst member is the bar for the rest.
void keep_top_k(SamplingScratch& s, size_t k) {
  if (k >= s.ids.size()) return;
  auto& best = s.ranking;
  best.clear();
  Candidate bar{-kInfinity, std::numeric_limits<int64_t>::max()};
  const auto halve = [&] {
    std::nth_element(best.begin(), best.begin() + (k - 1), best.end(), ranks_before);
    best.resize(k);
    bar = best[k - 1];
  };
  for (size_t i = 0; i < s.ids.size(); ++i) {
    const Candidate candidate{s.scores[i], s.ids[i]};
    if (!ranks_before(candidate, bar)) continue;
    best.push_back(candidate);
    if (best.size() == 2 * k) halve();
  }
  halve();
  keep_up_to(bar, s, false);
}

// Keeps the shortest prefix of the ranking whose probability reaches top_p; at least one token (Holtzman et al. 2020).
// Tokens so light that all of them together weigh less than half of what may go are not looked at, and the rest is
// sorted only as far as needed: a trained model's prefix is a few hundred of tens of thousands.
void keep_top_p(SamplingScratch& s, double top_p) {
  double total = 0;
  for (double w : s.weights) total += w;
  const double too_light = (1 - top_p) * total / (2.0 * static_cast<double>(s.weights.size()));
  auto& ranking = s.ranking;
  ranking.clear();
  for (size_t i = 0; i < s.ids.size(); ++i)
    if (s.weights[i] > too_light) ranking.push_back({s.scores[i], static_cast<int64_t>(i)});

  double sum = 0;
  size_t rank = 0;
  for (size_t sorted = 0; rank == sorted && sorted < ranking.size();) {
    const size_t next = std::min(ranking.size(), std::max<size_t>(256, 4 * sorted));
    std::nth_element(ranking.begin() + sorted, ranking.begin() + (next - 1), ranking.end(), ranks_before);
    std::sort(ranking.begin() + sorted, ranking.begin() + next, ranks_before);
    sorted = next;
    while (rank < sorted && (rank == 0 || sum < top_p * total)) sum += s.weights[ranking[rank++].id];
  }
  const Candidate& last = ranking[rank - 1];
  keep_up_to({last.score, s.ids[last.id]}, s, true);
}

// Keeps the tokens that have this share of the most probable one's weight, which is 1 (Nguyen et al. 2024).
void keep_min_p(SamplingScratch& s, double min_p) {
  size_t kept = 0;
  for (size_t i = 0; i < s.ids.size(); ++i) {
    if (s.weights[i] < min_p && !planted(Bug::min_p_is_ignored)) continue;
    s.ids[kept] = s.ids[i];
    s.weights[kept] = s.weights[i];
    ++kept;
  }
  s.ids.resize(kept);
  s.weights.resize(kept);
}

// The first index whose running sum passes uniform * total; the weights become their running sums, in index order.
size_t draw(std::vector<double>& weights, double uniform) {
  double sum = 0;
  for (double& w : weights) w = sum += w;
  return std::upper_bound(weights.begin(), weights.end(), uniform * sum) - weights.begin();
}

}  // namespace

Draw sample_row(std::span<const float> logits, std::span<const int64_t> previous, const SamplingOptions& options,
                double uniform, SamplingScratch& scratch) {
  auto& [ids, scores, weights, ranking] = scratch;
  const size_t V = logits.size();
  scores.assign(logits.begin(), logits.end());
  if (options.repetition_penalty != 1.0) penalise(scores, logits, previous, options.repetition_penalty);

  size_t best = 0;
  for (size_t v = 0; v < V; ++v) {
    if (!(scores[v] < kInfinity))
      return {-1, std::isnan(scores[v]) ? RowFault::nan : RowFault::positive_infinity, static_cast<int64_t>(v)};
    if (scores[v] > scores[best]) best = v;
  }
  const double highest = scores[best];
  if (highest == -kInfinity) return {-1, RowFault::nothing_left};
  if (options.temperature == 0) return {static_cast<int64_t>(best)};

  const bool has_filter = options.top_k > 0 || options.top_p < 1 || options.min_p > 0;
  if (has_filter) {
    ids.resize(V);
    std::iota(ids.begin(), ids.end(), 0);
    if (options.top_k > 0) keep_top_k(scratch, static_cast<size_t>(options.top_k));
  }
  weights.resize(scores.size());
  table().decode.weigh(scores.data(), static_cast<int64_t>(scores.size()), highest, options.temperature,
                       weights.data());
  if (options.top_p < 1) keep_top_p(scratch, options.top_p);
  if (options.min_p > 0) keep_min_p(scratch, options.min_p);
  const size_t drawn = draw(weights, uniform);
  return {has_filter ? ids[drawn] : static_cast<int64_t>(drawn)};
}

std::vector<Draw> sample_rows(const RowsToSample& rows) {
  const auto B = static_cast<int64_t>(rows.streams.size());
  struct Call {
    const RowsToSample& rows;
    std::vector<Draw> draws;
    std::atomic<bool> is_out_of_memory{false};
  } call{.rows = rows, .draws = std::vector<Draw>(B)};
  const auto body = [](void* context, const threads::Worker& worker) noexcept {
    Call& call = *static_cast<Call*>(context);
    const RowsToSample& rows = call.rows;
    static thread_local SamplingScratch scratch;
    const auto B = static_cast<int64_t>(call.draws.size());
    try {
      for (int64_t b = B * worker.index / worker.size; b < B * (worker.index + 1) / worker.size; ++b)
        call.draws[b] = sample_row({rows.logits + b * rows.V, static_cast<size_t>(rows.V)}, rows.previous[b],
                                   rows.options, philox_uniform(rows.seed, rows.streams[b], rows.steps[b]), scratch);
    } catch (const std::bad_alloc&) {
      call.is_out_of_memory = true;
    }
  };
  constexpr int64_t kWorthAWorker = 1 << 14;  // logits: some tens of microseconds
  const int64_t wanted = std::clamp<int64_t>(B * rows.V / kWorthAWorker, 1, threads::get_num_threads());
  threads::run(static_cast<int>(wanted), body, &call);
  if (call.is_out_of_memory) throw std::bad_alloc();
  return std::move(call.draws);
}

}  // namespace rnnkit::decode
