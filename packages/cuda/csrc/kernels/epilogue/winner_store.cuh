// Where a row's winner leaves a sampling kernel. One function, called by one thread per (row, draw) after every block
// has published its winners; a tensor-parallel build replaces its body by stores into every peer's buffer. Compiles as
// host C++ too, so that what a row's status does to its outputs is tested without a GPU.
#pragma once

#include <cmath>

#include "../common/candidate.h"
#include "../common/log_mass.h"
#include "../common/sample_params.h"
#include "../common/score.h"

namespace flashsampling {

struct RowResult {
  uint32_t row_idx;
  uint32_t draw;       // column of the outputs
  bool draw_wanted;    // false beyond the row's num_samples
  uint64_t candidate;  // packed winner or kNoCandidate
  int32_t status;      // RowStatus
  float log_sum_exp;   // of the row; meaningless unless logprobs or log_sum_exp are wanted
};

FS_HOST_DEVICE float row_temperature(const RowParams& rows, uint32_t row_idx) {
  return rows.temperature != nullptr ? rows.temperature[row_idx] : 1.f;
}

FS_HOST_DEVICE RowKey row_key(const RowParams& rows, NoiseScheme scheme, uint32_t row_idx, uint32_t draw) {
  return make_row_key(scheme, rows.seed != nullptr ? rows.seed[row_idx] : 0,
                      rows.position != nullptr ? rows.position[row_idx] : 0,
                      (rows.draw_index != nullptr ? rows.draw_index[row_idx] : 0) + draw);
}

FS_HOST_DEVICE uint32_t row_num_samples(const RowParams& rows, uint32_t row_idx, uint32_t max_num_samples) {
  if (rows.num_samples == nullptr) return max_num_samples;
  const uint32_t num_samples = rows.num_samples[row_idx];
  return num_samples < max_num_samples ? num_samples : max_num_samples;
}

// A winner's logit from its score: the noise is computed again and taken away, which costs at most one rounding of the
// score.
FS_HOST_DEVICE float winner_logit(const RowParams& rows, NoiseScheme scheme, LogprobsMode mode,
                                  const RowResult& result) {
  const float temperature = row_temperature(rows, result.row_idx);
  const uint32_t token_id = candidate_token_id(result.candidate);
  float logit = candidate_score(result.candidate);
  if (temperature != 0.f) {
    const RowKey key = row_key(rows, scheme, result.row_idx, result.draw);
    logit -= token_gumbel(scheme, token_bits(scheme, key, token_id));
  }
  if (mode == LogprobsMode::kRaw) {
    logit = undo_temperature(logit, temperature_divisor(temperature));
    if (rows.logit_bias != nullptr) {
      logit -= rows.logit_bias[result.row_idx * rows.logit_bias_stride + token_id];
    }
  }
  return logit;
}

// Invalid parameters come before invalid logits, those before a full mask. A row may have no draw in a pass, or none at
// all, so only a draw that is wanted can miss a token.
FS_HOST_DEVICE int32_t row_status(const RowParams& rows, uint32_t row_idx, bool has_invalid_logit, bool draw_wanted,
                                  uint64_t candidate) {
  if (!is_valid_temperature(row_temperature(rows, row_idx))) return kRowInvalidParameters;
  if (has_invalid_logit) return kRowInvalidLogits;
  return draw_wanted && candidate == kNoCandidate ? kRowAllTokensMasked : kRowOk;
}

FS_HOST_DEVICE void store_winner(const SampleOutputs& out, const RowParams& rows, NoiseScheme scheme, LogprobsMode mode,
                                 uint32_t max_num_samples, const RowResult& result) {
  const int64_t slot = static_cast<int64_t>(result.row_idx) * max_num_samples + result.draw;
  const bool has_token = result.status == kRowOk && result.draw_wanted && result.candidate != kNoCandidate;
  if (out.token_ids != nullptr) {
    const int64_t token_id = has_token ? static_cast<int64_t>(candidate_token_id(result.candidate)) : -1;
    if (out.token_ids_are_int64) {
      static_cast<int64_t*>(out.token_ids)[slot] = token_id;
    } else {
      static_cast<int32_t*>(out.token_ids)[slot] = static_cast<int32_t>(token_id);
    }
  }
  if (out.candidates != nullptr) {
    // NOTE: a shard without a token to draw is no error of the row, which other shards may serve; NaN in one shard is.
    const bool is_error = result.status == kRowInvalidParameters || result.status == kRowInvalidLogits;
    out.candidates[slot] = is_error ? pack_row_error(result.status) : has_token ? result.candidate : kNoCandidate;
  }
  if (out.logprobs != nullptr) {
    out.logprobs[slot] = has_token ? winner_logit(rows, scheme, mode, result) - result.log_sum_exp : NAN;
  }
  if (result.draw == 0) {
    if (out.row_status != nullptr) out.row_status[result.row_idx] = result.status;
    if (out.log_sum_exp != nullptr) {
      const bool is_known = result.status == kRowOk || result.status == kRowAllTokensMasked;
      out.log_sum_exp[result.row_idx] = is_known ? result.log_sum_exp : NAN;
    }
  }
}

}  // namespace flashsampling
