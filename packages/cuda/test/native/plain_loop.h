// What a kernel must have written, by a plain loop over the tokens.
#pragma once

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "common/candidate.h"
#include "common/noise.h"
#include "common/score.h"
#include "epilogue/winner_store.cuh"
#include "kernel_case.h"

namespace flashsampling {

class PlainLoop {
 public:
  // logits: [batch_size, vocab_size], exact.
  PlainLoop(const KernelCase& c, const RowInputs& inputs, std::vector<float> logits)
      : c_(c), inputs_(inputs), rows_(inputs.params()), scheme_(static_cast<NoiseScheme>(c.scheme)),
        logits_(std::move(logits)) {}

  // Compares every output; gives what is wrong first, or "".
  std::string check(const Results& results) const {
    for (uint32_t row = 0; row < c_.batch_size; row++) {
      const std::string wrong = check_row(results, row);
      if (!wrong.empty()) return "row " + std::to_string(row) + ": " + wrong;
    }
    return "";
  }

 private:
  // A row's logits on their way, and what is true of the whole row.
  struct Row {
    std::vector<float> transformed;  // as the kernels round it
    std::vector<double> exact;       // the same in float64
    std::vector<double> counted;     // in the log-mass, by logprobs_mode
    float temperature, divisor;
    double log_sum_exp;
    uint32_t num_samples;
    int32_t status;
  };

  Row transform_row(uint32_t row_idx) const {
    Row row;
    row.temperature = row_temperature(rows_, row_idx);
    row.divisor = temperature_divisor(row.temperature);
    row.num_samples = row_num_samples(rows_, row_idx, c_.num_draws);
    bool is_invalid = false, has_token = false;
    double largest = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < c_.vocab_size; i++) {
      const uint32_t token_id = c_.vocab_start + i;
      const float raw = logits_[row_idx * c_.vocab_size + i];
      float logit = raw + (c_.has(kBias) ? inputs_.bias[row_idx * inputs_.bias_stride + token_id] : 0.f);
      is_invalid |= is_invalid_logit(logit);
      if (c_.has(kMask) && !is_allowed(row_idx, token_id)) logit = -INFINITY;
      row.transformed.push_back(apply_temperature(logit, row.divisor));
      row.exact.push_back(static_cast<double>(logit) / row.divisor);
      row.counted.push_back(c_.mode == 1 ? raw : row.exact[i]);
      largest = std::fmax(largest, row.counted[i]);
      has_token |= row.transformed[i] > -INFINITY;
    }
    for (const double value : row.counted) {
      if (value > -INFINITY) sum += std::exp(value - largest);
    }
    row.log_sum_exp = largest > -INFINITY ? largest + std::log(sum) : -INFINITY;
    row.status = !is_valid_temperature(row.temperature) ? kRowInvalidParameters
                 : is_invalid                           ? kRowInvalidLogits
                 : !has_token && row.num_samples > 0    ? kRowAllTokensMasked
                                                        : kRowOk;
    return row;
  }

  bool is_allowed(uint32_t row_idx, uint32_t token_id) const {
    return (inputs_.allowed[row_idx * inputs_.allowed_stride + token_id / 32] >> (token_id % 32) & 1) != 0;
  }

  uint64_t draw_token(const Row& row, uint32_t row_idx, uint32_t draw) const {
    const RowKey key = row_key(rows_, scheme_, row_idx, draw);
    uint64_t best = kNoCandidate;
    for (uint32_t i = 0; i < c_.vocab_size; i++) {
      const uint32_t token_id = c_.vocab_start + i;
      float score = row.transformed[i];
      if (!(score > -INFINITY && score < INFINITY)) continue;
      if (row.temperature != 0.f) score += token_gumbel(scheme_, token_bits(scheme_, key, token_id));
      best = std::max(best, pack_candidate(score, token_id));
    }
    return best;
  }

  double exact_score(const Row& row, uint32_t row_idx, uint32_t draw, int64_t token_id) const {
    const double logit = row.exact[token_id - c_.vocab_start];
    if (row.temperature == 0.f || !(logit > -INFINITY && logit < INFINITY)) return logit;
    const RowKey key = row_key(rows_, scheme_, row_idx, draw);
    return logit + token_gumbel(scheme_, token_bits(scheme_, key, static_cast<uint32_t>(token_id)));
  }

  double best_exact_score(const Row& row, uint32_t row_idx, uint32_t draw) const {
    double best = -INFINITY;
    for (uint32_t i = 0; i < c_.vocab_size; i++)
      best = std::fmax(best, exact_score(row, row_idx, draw, static_cast<int64_t>(c_.vocab_start) + i));
    return best;
  }

  // Four roundings of fp32: quotient, crowding, sum, and the way back.
  static double score_error(double score) { return 2e-6 + 0x1p-22 * std::fabs(score); }

  // Crowded where it is beyond kCrowded (score.h).
  double reported_log_sum_exp(const Row& row) const {
    if (c_.mode == 1 || std::fabs(row.log_sum_exp) < kCrowded || std::isinf(row.log_sum_exp)) return row.log_sum_exp;
    return *std::max_element(row.transformed.begin(), row.transformed.end());
  }

  std::string check_row(const Results& results, uint32_t row_idx) const {
    const Row row = transform_row(row_idx);
    std::ostringstream wrong;
    if (results.status[row_idx] != row.status) {
      wrong << "status " << results.status[row_idx] << " for " << row.status;
      return wrong.str();
    }
    const bool has_mass = row.status == kRowOk || row.status == kRowAllTokensMasked;
    const double log_sum_exp = has_mass ? reported_log_sum_exp(row) : NAN;
    if (c_.has(kLogprobs) && !is_near(results.log_sum_exp[row_idx], log_sum_exp)) {
      wrong << "log-sum-exp " << results.log_sum_exp[row_idx] << " for " << log_sum_exp;
      return wrong.str();
    }
    for (uint32_t draw = 0; draw < c_.num_draws; draw++) {
      const size_t slot = row_idx * c_.num_draws + draw;
      const uint64_t best = draw_token(row, row_idx, draw);
      const bool is_drawn = row.status == kRowOk && draw < row.num_samples;
      const int64_t expected_id = is_drawn ? static_cast<int64_t>(candidate_token_id(best)) : -1;
      const int64_t id = c_.has(kInt64) ? results.ids64[slot] : results.ids32[slot];
      wrong << "draw " << draw << ": ";
      if (id != expected_id) {
        wrong << "token " << id << " for " << expected_id;
        return wrong.str();
      }
      const bool is_error = row.status == kRowInvalidParameters || row.status == kRowInvalidLogits;
      const uint64_t expected = is_error ? pack_row_error(row.status) : is_drawn ? best : kNoCandidate;
      if (results.candidates[slot] != expected) {
        wrong << "candidate " << results.candidates[slot] << " for " << expected;
        return wrong.str();
      }
      const double score = is_drawn ? exact_score(row, row_idx, draw, id) : 0;
      if (is_drawn && score < best_exact_score(row, row_idx, draw) - 2 * score_error(score)) {
        wrong << "token " << id << " is not the best in float64";
        return wrong.str();
      }
      const double logprob = is_drawn ? row.counted[expected_id - c_.vocab_start] - row.log_sum_exp : NAN;
      // The drawn logit comes back from its score, so its error is that of the score, times the divisor for raw.
      const double slack = is_drawn ? score_error(score) * (c_.mode == 1 ? row.divisor : 1) : 0;
      if (c_.has(kLogprobs) && !is_near(results.logprobs[slot], logprob, slack)) {
        wrong << "logprob " << results.logprobs[slot] << " for " << logprob;
        return wrong.str();
      }
      wrong.str("");
    }
    return "";
  }

  static bool is_near(double value, double expected, double slack = 0) {
    if (expected != expected) return value != value;
    if (std::isinf(expected)) return value == expected;
    return std::fabs(value - expected) <= 1e-5 + 4e-7 * std::fabs(expected) + slack;
  }

  const KernelCase& c_;
  const RowInputs& inputs_;
  RowParams rows_;
  NoiseScheme scheme_;
  std::vector<float> logits_;
};

}  // namespace flashsampling
