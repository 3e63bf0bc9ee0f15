// What the kernels are told: plain values and raw device pointers, checked by the launch layer.
#pragma once

#include <cstdint>

#include "noise.h"

namespace flashsampling {

enum class Dtype : uint32_t { kBf16 = 0, kF16 = 1 };
enum class LogprobsMode : uint32_t { kTransformed = 0, kRaw = 1 };

// What out_row_status holds; the values are part of the C ABI.
enum RowStatus : int32_t {
  kRowOk = 0,
  kRowInvalidLogits = 1,
  kRowAllTokensMasked = 2,
  kRowInvalidParameters = 3,
};

// Parameters of the rows; every array may be null, which is the default.
struct RowParams {
  const float* temperature;       // [batch_size]; default 1
  const uint64_t* seed;           // [batch_size]; default 0
  const uint64_t* position;       // [batch_size]; default 0
  const uint32_t* draw_index;     // [batch_size]; default 0
  const uint32_t* num_samples;    // [batch_size]; default max_num_samples
  const float* logit_bias;        // [batch_size, ...] by global token id
  int64_t logit_bias_stride;      // floats between rows
  const int32_t* allowed_tokens;  // [batch_size, words] by global token id
  int64_t allowed_tokens_stride;  // words between rows
};

// Where results go; every pointer may be null.
struct SampleOutputs {
  void* token_ids;  // [batch_size, max_num_samples], int32 or int64
  bool token_ids_are_int64;
  float* logprobs;       // [batch_size, max_num_samples]
  float* log_sum_exp;    // [batch_size]
  int32_t* row_status;   // [batch_size]
  uint64_t* candidates;  // [batch_size, max_num_samples], packed
};

FS_HOST_DEVICE bool wants_log_mass(const SampleOutputs& out) {
  return out.logprobs != nullptr || out.log_sum_exp != nullptr;
}

// Rows and draws that one launch serves.
struct PassRange {
  uint32_t first_row, num_rows;
  uint32_t first_draw, num_draws;
};

struct SampleParams {
  uint32_t batch_size, hidden_size, shard_rows, vocab_start, max_num_samples;
  Dtype dtype;
  NoiseScheme noise_scheme;
  LogprobsMode logprobs_mode;
  const void* hidden_states;     // [batch_size, hidden_size], 16-byte aligned
  int64_t hidden_states_stride;  // elements
  const void* weight;            // [shard_rows, hidden_size], 16-byte aligned
  int64_t weight_stride;         // elements
  RowParams rows;
  SampleOutputs out;
  void* workspace;  // layout: workspace.h
};

// Winners of shards, see merge_shards.cuh.
struct MergeParams {
  uint32_t num_shards, batch_size, max_num_samples;
  NoiseScheme noise_scheme;
  LogprobsMode logprobs_mode;
  const uint64_t* candidates;  // [num_shards, batch_size, max_num_samples]
  const float* log_sum_exp;    // [num_shards, batch_size] or null
  const int32_t* row_status;   // [num_shards, batch_size] or null
  RowParams rows;
  SampleOutputs out;
};

}  // namespace flashsampling
