// The end of a pass: blocks publish winners and log-masses to the workspace, and the one that arrives last writes the
// results and leaves the workspace as it found it. So a pass is one launch.
#pragma once

#include "../common/candidate.h"
#include "../common/log_mass.h"
#include "../common/sample_params.h"
#include "../common/workspace.h"
#include "raise_best.cuh"
#include "winner_store.cuh"

namespace flashsampling {

struct LastBlockArgs {
  PassRange pass;
  RowParams rows;
  SampleOutputs out;
  NoiseScheme noise_scheme;
  LogprobsMode logprobs_mode;
  uint32_t max_num_samples;
  bool wants_log_mass;
  uint32_t num_parts;  // log-masses of each row in the workspace
};

__device__ __forceinline__ LastBlockArgs last_block_args(const SampleParams& params, const PassRange& pass,
                                                         uint32_t num_parts) {
  return {pass,
          params.rows,
          params.out,
          params.noise_scheme,
          params.logprobs_mode,
          params.max_num_samples,
          wants_log_mass(params.out),
          num_parts};
}

__device__ __forceinline__ void publish_winner(Workspace* workspace, uint32_t slot, uint64_t candidate) {
  if (candidate != kNoCandidate) raise_best(&workspace->best[slot], candidate);
}

// Merges over the lanes of a warp; every lane gets the same bits.
__device__ __forceinline__ LogMass merge_warp(LogMass mass) {
  const uint32_t lane_idx = threadIdx.x % kWarpSize;
#pragma unroll
  for (uint32_t lanes = 1; lanes < kWarpSize; lanes *= 2) {
    const LogMass other = {__shfl_xor_sync(kAllLanes, mass.reference, lanes),
                           __shfl_xor_sync(kAllLanes, mass.sum, lanes)};
    mass = (lane_idx & lanes) == 0 ? merge_log_mass(mass, other) : merge_log_mass(other, mass);
  }
  return mass;
}

// The log-sum-exps of rows first_row, first_row + row_step, … from the log-masses of all parts in the workspace. The
// whole warp calls it. Some rows at a time, so that reads and shuffles of one hide those of another: this runs while
// all other multiprocessors stand idle.
__device__ __forceinline__ void read_log_sum_exps(const Workspace* workspace, uint32_t first_row, uint32_t row_step,
                                                  uint32_t num_rows, uint32_t num_parts, float* row_log_sum_exp) {
  constexpr int kRows = 4;
  const uint32_t lane_idx = threadIdx.x % kWarpSize;
  for (uint32_t row = first_row; row < num_rows; row += kRows * row_step) {
    const auto read = [&](int i, uint32_t part) {
      const uint32_t read_row = min(row + i * row_step, num_rows - 1);
      const float2 mass = __ldcg(reinterpret_cast<const float2*>(&workspace->log_mass[read_row][part]));
      return LogMass{mass.y != 0.f ? mass.x : -INFINITY, mass.y};
    };
    float reference[kRows], sum[kRows];
#pragma unroll
    for (int i = 0; i < kRows; i++)
      reference[i] = -INFINITY, sum[i] = 0.f;
    for (uint32_t part = lane_idx; part < num_parts; part += kWarpSize) {
#pragma unroll
      for (int i = 0; i < kRows; i++)
        reference[i] = fmaxf(reference[i], read(i, part).reference);
    }
#pragma unroll
    for (uint32_t lanes = 1; lanes < kWarpSize; lanes *= 2) {
#pragma unroll
      for (int i = 0; i < kRows; i++)
        reference[i] = fmaxf(reference[i], __shfl_xor_sync(kAllLanes, reference[i], lanes));
    }
    for (uint32_t part = lane_idx; part < num_parts; part += kWarpSize) {
#pragma unroll
      for (int i = 0; i < kRows; i++) {
        const LogMass mass = read(i, part);
        if (mass.sum != 0.f) sum[i] += mass.sum * expf(mass.reference - reference[i]);
      }
    }
#pragma unroll
    for (uint32_t lanes = 1; lanes < kWarpSize; lanes *= 2) {
#pragma unroll
      for (int i = 0; i < kRows; i++)
        sum[i] += __shfl_xor_sync(kAllLanes, sum[i], lanes);
    }
    if (lane_idx == 0) {
#pragma unroll
      for (int i = 0; i < kRows; i++) {
        if (row + i * row_step < num_rows) row_log_sum_exp[row + i * row_step] = log_sum_exp({reference[i], sum[i]});
      }
    }
  }
}

// The threads that finish a pass: all of the block. The slot of a (row, draw) in Workspace::best is row * num_draws +
// draw, both counted in the pass.
template <int kNumThreads_>
struct WholeBlock {
  static constexpr int kNumThreads = kNumThreads_;

  FS_DEVICE static void sync() { __syncthreads(); }
  FS_DEVICE static uint32_t num_slots(const PassRange& pass) { return pass.num_rows * pass.num_draws; }
  // Whether a slot below num_slots() is in use, and by what.
  FS_DEVICE static bool locate(const PassRange& pass, uint32_t slot, uint32_t& row, uint32_t& draw) {
    row = slot / pass.num_draws;
    draw = slot % pass.num_draws;
    return true;
  }
};

// Called by the first Team::kNumThreads threads of every block after they have published. A team says how its threads
// meet, and where it has the slots of Workspace::best. row_log_sum_exp, is_last_block: shared, the former a float for
// each row of the pass.
template <class Team>
FS_DEVICE void finish_pass(const LastBlockArgs& args, Workspace* workspace, float* row_log_sum_exp,
                           bool* is_last_block) {
  // NOTE: every thread fences its own stores before the barrier; the arrival then publishes those of the whole block.
  __threadfence();
  Team::sync();
  if (threadIdx.x == 0) {
    const uint32_t num_blocks = gridDim.x * gridDim.y;
    *is_last_block = atomicAdd(&workspace->num_blocks_arrived, 1u) == num_blocks - 1;
    __threadfence();
  }
  Team::sync();
  if (!*is_last_block) return;

  const PassRange& pass = args.pass;
  if (args.wants_log_mass) {
    read_log_sum_exps(workspace, threadIdx.x / kWarpSize, Team::kNumThreads / kWarpSize, pass.num_rows, args.num_parts,
                      row_log_sum_exp);
    Team::sync();
  }
  for (uint32_t slot = threadIdx.x; slot < Team::num_slots(pass); slot += Team::kNumThreads) {
    uint32_t row, draw;
    if (!Team::locate(pass, slot, row, draw)) continue;
    RowResult result;
    result.row_idx = pass.first_row + row;
    result.draw = pass.first_draw + draw;
    result.draw_wanted = result.draw < row_num_samples(args.rows, result.row_idx, args.max_num_samples);
    result.candidate = __ldcg(&workspace->best[slot]);
    result.status = row_status(args.rows, result.row_idx, __ldcg(&workspace->row_flags[row]) != 0, result.draw_wanted,
                               result.candidate);
    result.log_sum_exp = args.wants_log_mass ? row_log_sum_exp[row] : 0.f;
    store_winner(args.out, args.rows, args.noise_scheme, args.logprobs_mode, args.max_num_samples, result);
    workspace->best[slot] = kNoCandidate;
  }
  Team::sync();  // every slot of a row has read the row's flag
  for (uint32_t row = threadIdx.x; row < pass.num_rows; row += Team::kNumThreads)
    workspace->row_flags[row] = 0;
  if (threadIdx.x == 0) workspace->num_blocks_arrived = 0;
}

// The same for all threads of a block.
template <int kNumThreads>
FS_DEVICE void finish_pass(const LastBlockArgs& args, Workspace* workspace, float* row_log_sum_exp) {
  __shared__ bool is_last_block;
  finish_pass<WholeBlock<kNumThreads>>(args, workspace, row_log_sum_exp, &is_last_block);
}

}  // namespace flashsampling
