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

struct MergeArgs {
  uint32_t num_shards, batch_size, max_num_samples;
  NoiseScheme noise_scheme;
  LogprobsMode logprobs_mode;
  const uint64_t* candidates;  // [num_shards, batch_size, max_num_samples]
  const float* log_sum_exp;    // [num_shards, batch_size] or null
  const int32_t* row_status;   // [num_shards, batch_size] or null
  RowParams rows;
  SampleOutputs out;
};

// A row is invalid when it is in one shard; it has no token to draw when that holds in every shard.
FS_HOST_DEVICE int32_t worse_status(int32_t a, int32_t b) {
  if (a == kRowInvalidParameters || b == kRowInvalidParameters) return kRowInvalidParameters;
  return a == kRowInvalidLogits || b == kRowInvalidLogits ? kRowInvalidLogits : kRowOk;
}

FS_HOST_DEVICE void merge_slot(const MergeArgs& args, uint32_t row_idx, uint32_t draw) {
  RowResult result;
  result.row_idx = row_idx;
  result.draw = draw;
  result.draw_wanted = draw < row_num_samples(args.rows, row_idx, args.max_num_samples);
  result.candidate = kNoCandidate;
  LogMass mass = {0.f, 0.f};
  int32_t error = kRowOk;
  for (uint32_t shard = 0; shard < args.num_shards; shard++) {
    const uint64_t shard_row = static_cast<uint64_t>(shard) * args.batch_size + row_idx;
    const uint64_t candidate = args.candidates[shard_row * args.max_num_samples + draw];
    if (is_row_error(candidate)) {
      error = worse_status(error, candidate_row_error(candidate));
    } else if (candidate > result.candidate) {
      result.candidate = candidate;
    }
    if (args.row_status != nullptr) error = worse_status(error, args.row_status[shard_row]);
    if (args.log_sum_exp != nullptr) {
      const float shard_mass = args.log_sum_exp[shard_row];
      if (shard_mass != -INFINITY) mass = merge_log_mass(mass, {shard_mass, 1.f});
    }
  }
  const int32_t status = row_status(args.rows, row_idx, false, result.draw_wanted, result.candidate);
  result.status = error != kRowOk ? worse_status(error, status) : status;
  result.log_sum_exp = args.log_sum_exp != nullptr ? log_sum_exp(mass) : NAN;
  store_winner(args.out, args.rows, args.noise_scheme, args.logprobs_mode, args.max_num_samples, result);
}

#if defined(__CUDACC__)
constexpr int kMergeThreads = 128;

__global__ void __launch_bounds__(kMergeThreads) merge_shards_kernel(const __grid_constant__ MergeArgs args) {
  const uint64_t slot = static_cast<uint64_t>(blockIdx.x) * kMergeThreads + threadIdx.x;
  if (slot >= static_cast<uint64_t>(args.batch_size) * args.max_num_samples) return;
  merge_slot(args, static_cast<uint32_t>(slot / args.max_num_samples),
             static_cast<uint32_t>(slot % args.max_num_samples));
}
#endif

}  // namespace flashsampling
