#include "decode/sample.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

// Built with -ffp-contract=off: a fused multiply-add on one machine and not on another would change texts.

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define RNNKIT_WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define RNNKIT_WIDEST
#endif

namespace rnnkit::decode {
namespace {

using Candidate = SamplingScratch::Candidate;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// exp(x) for x <= 0, within 1 ulp; 0 below -708, where the result leaves the normal numbers. No branch and no call, so
// that the compiler vectorises the loop around it, and no libm, whose last bit differs between machines.
inline double exp_of_negative(double x) {
  constexpr double kLog2E = 1.4426950408889634, kLn2High = 0x1.62e42fefa0000p-1, kLn2Low = 0x1.cf79abc9e3b3ap-40;
  constexpr double kRound = 0x1.8p52;  // adding it leaves the rounded integer in the low mantissa bits
  const double clamped = x > -708.0 ? x : -708.0;
  const double shifted = clamped * kLog2E + kRound;
  const double whole = shifted - kRound;
  const double r = (clamped - whole * kLn2High) - whole * kLn2Low;  // |r| <= ln(2)/2
  double series = 1.0 / 6227020800.0;                               // Taylor to r^13: the rest is below 5e-18
  series = series * r + 1.0 / 479001600.0;
  series = series * r + 1.0 / 39916800.0;
  series = series * r + 1.0 / 3628800.0;
  series = series * r + 1.0 / 362880.0;
  series = series * r + 1.0 / 40320.0;
  series = series * r + 1.0 / 5040.0;
  series = series * r + 1.0 / 720.0;
  series = series * r + 1.0 / 120.0;
  series = series * r + 1.0 / 24.0;
  series = series * r + 1.0 / 6.0;
  series = series * r + 0.5;
  series = series * r * r + r + 1.0;
  const double power = std::bit_cast<double>((std::bit_cast<uint64_t>(shifted) + 1023) << 52);  // 2^whole
  return x > -708.0 ? series * power : 0.0;
}

// The instruction set changes the width of this loop and no bit of its results.
RNNKIT_WIDEST void weigh(const double* __restrict scores, double* __restrict weights, size_t n, double highest,
                         double temperature) {
  for (size_t i = 0; i < n; ++i) weights[i] = exp_of_negative((scores[i] - highest) / temperature);
}

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

  const bool has_filter = options.top_k > 0 || options.top_p < 1;
  if (has_filter) {
    ids.resize(V);
    std::iota(ids.begin(), ids.end(), 0);
    if (options.top_k > 0) keep_top_k(scratch, static_cast<size_t>(options.top_k));
  }
  weights.resize(scores.size());
  weigh(scores.data(), weights.data(), scores.size(), highest, options.temperature);
  if (options.top_p < 1) keep_top_p(scratch, options.top_p);
  const size_t drawn = draw(weights, uniform);
  return {has_filter ? ids[drawn] : static_cast<int64_t>(drawn)};
}

}  // namespace rnnkit::decode
