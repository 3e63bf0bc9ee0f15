// Winners of several vocabulary shards become the winners of the whole:
//
//   candidate[row][draw] = max over shards of candidates[shard][row][draw]
//   log_sum_exp[row]     = log of the sum over shards of exp(log_sum_exp[shard][row])
//
// One thread per (row, draw). Launched by launch/merge_launch.cu; the merge itself compiles as host C++ too.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/candidate.h"
#include "common/log_mass.h"
#include "common/sample_params.h"
#include "epilogue/winner_store.cuh"

namespace flashsampling {

// A row is invalid when it is in one shard; it has no token to draw when that holds in every shard.
FS_HOST_DEVICE int32_t worse_status(int32_t a, int32_t b) {
  if (a == kRowInvalidParameters || b == kRowInvalidParameters) return kRowInvalidParameters;
  return a == kRowInvalidLogits || b == kRowInvalidLogits ? kRowInvalidLogits : kRowOk;
}

FS_HOST_DEVICE void merge_slot(const MergeParams& params, uint32_t row_idx, uint32_t draw) {
  RowResult result;
  result.row_idx = row_idx;
  result.draw = draw;
  result.draw_wanted = draw < row_num_samples(params.rows, row_idx, params.max_num_samples);
  result.candidate = kNoCandidate;
  LogMass mass = {0.f, 0.f};
  int32_t error = kRowOk;
  for (uint32_t shard = 0; shard < params.num_shards; shard++) {
    const uint64_t shard_row = static_cast<uint64_t>(shard) * params.batch_size + row_idx;
    const uint64_t candidate = params.candidates[shard_row * params.max_num_samples + draw];
    if (is_row_error(candidate)) {
      error = worse_status(error, candidate_row_error(candidate));
    } else if (candidate > result.candidate) {
      result.candidate = candidate;
    }
    if (params.row_status != nullptr) error = worse_status(error, params.row_status[shard_row]);
    if (params.log_sum_exp != nullptr) {
      const float shard_mass = params.log_sum_exp[shard_row];
      if (shard_mass != -INFINITY) mass = merge_log_mass(mass, {shard_mass, 1.f});
    }
  }
  const int32_t status = row_status(params.rows, row_idx, false, result.draw_wanted, result.candidate);
  result.status = error != kRowOk ? worse_status(error, status) : status;
  result.log_sum_exp = params.log_sum_exp != nullptr ? log_sum_exp(mass) : NAN;
  store_winner(params.out, params.rows, params.noise_scheme, params.logprobs_mode, params.max_num_samples, result);
}

#if defined(__CUDACC__)
constexpr int kMergeThreads = 128;

__global__ void __launch_bounds__(kMergeThreads) merge_shards_kernel(const __grid_constant__ MergeParams params) {
  const uint64_t slot = static_cast<uint64_t>(blockIdx.x) * kMergeThreads + threadIdx.x;
  if (slot >= static_cast<uint64_t>(params.batch_size) * params.max_num_samples) return;
  merge_slot(params, static_cast<uint32_t>(slot / params.max_num_samples),
             static_cast<uint32_t>(slot % params.max_num_samples));
}
#endif

}  // namespace flashsampling
