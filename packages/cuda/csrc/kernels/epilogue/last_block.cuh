// The end of a pass: blocks publish winners and log-sum-exps to the workspace, and the one that arrives last writes the
// results and leaves the workspace as it found it. So a pass is one launch.
#pragma once

#include "../common/candidate.h"
#include "../common/log_mass.h"
#include "../common/sample_params.h"
#include "../common/score.h"
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
  uint32_t num_parts;  // log-sum-exps of each row in the workspace
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

// The log-sum-exps of all rows from those of the parts in the workspace. Called by kNumThreads threads in whole warps.
// As many lanes share a row as there are threads for, and a thread reads up to kParts parts before it looks at one of
// them: this runs while all other multiprocessors stand idle, and most of it is the latency of those reads.
template <int kNumThreads>
FS_DEVICE void merge_log_sum_exps(const Workspace* workspace, uint32_t num_rows, uint32_t num_parts,
                                  float* row_log_sum_exp) {
  constexpr uint32_t kParts = 33;  // the 132 blocks of an H100 in one to four rounds
  constexpr uint32_t kGroup = 11;  // parts for which one branch decides whether there are any
  const uint32_t lane_idx = threadIdx.x % kWarpSize;
  uint32_t rows_per_warp = kWarpSize;
  while (rows_per_warp > 1 && kNumThreads / kWarpSize * (rows_per_warp / 2) >= num_rows)
    rows_per_warp /= 2;
  const uint32_t lanes_per_row = kWarpSize / rows_per_warp;
  const uint32_t lane_part = lane_idx / rows_per_warp;
  for (uint32_t first_row = threadIdx.x / kWarpSize * rows_per_warp; first_row < num_rows;
       first_row += kNumThreads / kWarpSize * rows_per_warp) {
    const uint32_t row = first_row + lane_idx % rows_per_warp;
    const float* next = &workspace->log_sum_exp[lane_part][min(row, num_rows - 1)];
    LogMass mass = {-INFINITY, 0.f};
    const auto rescale = [&](float reference) {
      if (mass.sum != 0.f) mass.sum *= rough_exp2((mass.reference - reference) * WinnerFilter::kLog2E);
      mass.reference = reference;
    };
#pragma unroll 1
    for (uint32_t first_part = 0; first_part < num_parts; first_part += kParts * lanes_per_row) {
      const uint32_t num_left = num_parts - first_part;
      const uint32_t num_reads = (num_left + lanes_per_row - 1 - lane_part) / lanes_per_row;  // of this lane
      float parts[kParts];
      float reference = mass.reference;
#pragma unroll
      for (uint32_t group = 0; group < kParts; group += kGroup) {
#pragma unroll
        for (uint32_t i = group; i < group + kGroup; i++)
          parts[i] = -INFINITY;
        if (group * lanes_per_row < num_left) {
#pragma unroll
          for (uint32_t i = group; i < group + kGroup; i++) {
            if (i < num_reads) parts[i] = __ldcg(next);
            next += lanes_per_row * kMaxTileBatch;
          }
        }
      }
#pragma unroll
      for (uint32_t i = 0; i < kParts; i++)
        reference = fmaxf(reference, parts[i]);
      if (reference == -INFINITY) continue;
      rescale(reference);
#pragma unroll
      for (uint32_t group = 0; group < kParts; group += kGroup) {
        if (group * lanes_per_row < num_left) {
#pragma unroll
          for (uint32_t i = group; i < group + kGroup; i++)
            mass.sum += rough_exp2((parts[i] - reference) * WinnerFilter::kLog2E);
        }
      }
    }
    float reference = mass.reference;
    for (uint32_t lanes = rows_per_warp; lanes < kWarpSize; lanes *= 2)
      reference = fmaxf(reference, __shfl_xor_sync(kAllLanes, reference, lanes));
    rescale(reference);
    for (uint32_t lanes = rows_per_warp; lanes < kWarpSize; lanes *= 2)
      mass.sum += __shfl_xor_sync(kAllLanes, mass.sum, lanes);
    if (lane_idx < rows_per_warp && row < num_rows) row_log_sum_exp[row] = log_sum_exp(mass);
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
    merge_log_sum_exps<Team::kNumThreads>(workspace, pass.num_rows, args.num_parts, row_log_sum_exp);
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
