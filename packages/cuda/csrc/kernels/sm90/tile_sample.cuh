// Fused LM head and sampler for Hopper: token = argmax over v of (hidden . weight[v]) / temperature + gumbel_noise(v).
//
//   hidden_states [rows <= kTileBatch, hidden_size], weight [shard_rows, hidden_size], both row-major, bf16 or f16
//   one block per multiprocessor; every block (or cluster) owns an even share of the vocabulary, in units of 16 tokens
//   warps 8 and 9 load: bulk tensor copies into two rings of stages, running ahead over the borders of tiles
//   (loaders.cuh)
//   warpgroups 0 and 1 multiply: tokens on M, batch on N, accumulators in registers, then the epilogue (consumers.cuh,
//   epilogue.cuh)
//   warps 10 and 11 score what the filter of wide batches lets through (winner_filter.cuh, scoring_warps.cuh)
//   a block's winners live in shared memory; they meet in Workspace::best by atomicMax, and the last block stores the
//   results
//
// Never materialised: logits, scores, noise. Launched by launch/sm90_launch.cuh.
// Idea: arXiv 2603.15854, algorithm 1; here as one kernel, and with draws that do not depend on the tiling.
#pragma once

#include "config.h"
#include "consumers.cuh"
#include "loaders.cuh"
#include "pass.cuh"
#include "ptx.cuh"
#include "scoring_warps.cuh"

namespace flashsampling {

template <class Config, Dtype kDtype>
__global__ void __launch_bounds__(kBlockThreads, 1)
    sm90_tile_sample(const __grid_constant__ CUtensorMap weight_map,       // boxes of kTileVocab tokens x 64
                     const __grid_constant__ CUtensorMap weight_unit_map,  // boxes of 16 tokens x 64, for the last tile
                     const __grid_constant__ CUtensorMap hidden_map,  // boxes of kTileBatch / kClusterSize rows x 64
                     const __grid_constant__ Sm90Args args) {
  // The swizzle works on address bits, so stages start at multiples of 1024 bytes.
  extern __shared__ __align__(1024) uint8_t shared_bytes[];
  Sm90Shared<Config>* shared = reinterpret_cast<Sm90Shared<Config>*>(shared_bytes);
  const int thread_idx = threadIdx.x;
  const uint32_t block_rank = Config::kClusterSize > 1 ? cluster_block_rank() : 0;

  if (thread_idx == kConsumerThreads) {
    tensor_map_prefetch(&weight_map);
    tensor_map_prefetch(&weight_unit_map);
    tensor_map_prefetch(&hidden_map);
    for (int stage = 0; stage < Config::kWeightStages; stage++) {
      barrier_init(shared_address(&shared->weight_full[stage]), 1);
      barrier_init(shared_address(&shared->weight_empty[stage]), kConsumerWarps);
    }
    for (int stage = 0; stage < Config::kHiddenStages; stage++) {
      barrier_init(shared_address(&shared->hidden_full[stage]), 1);
      barrier_init(shared_address(&shared->hidden_empty[stage]), kConsumerWarps * Config::kClusterSize);
    }
    barrier_init(shared_address(&shared->state_full), kConsumerThreads);
    barrier_init(shared_address(&shared->queue_full), kConsumerThreads);
    barrier_init(shared_address(&shared->queue_empty), kScoringThreads);
    barrier_init_fence();
  }
  if constexpr (Config::kClusterSize > 1) {
    cluster_sync();
  } else {
    __syncthreads();
  }

  // NOTE: one if/else over the roles, or the compiler ignores setmaxnreg (warning C7508).
  if (thread_idx >= kConsumerThreads) {
    decrease_registers<kOtherRegisters>();
    constexpr int kFirstScoringThread = kConsumerThreads + kLoaderWarps * kWarpSize;
    if (thread_idx == kConsumerThreads) {
      load_weight<Config>(weight_map, weight_unit_map, args, shared, block_rank);
    } else if (thread_idx == kConsumerThreads + kWarpSize) {
      load_hidden<Config>(hidden_map, args, shared, block_rank);
    } else if (Config::kHasFilter && thread_idx >= kFirstScoringThread) {
      score_tiles<Config>(args, shared, block_rank, thread_idx - kFirstScoringThread);
    }
  } else {
    increase_registers<kConsumerRegisters>();
    multiply_and_sample<Config, kDtype>(args, shared, block_rank, thread_idx);
  }

  // A block must outlive the arrivals and copies that its peers still send to its shared memory.
  if constexpr (Config::kClusterSize > 1) {
    __syncwarp();
    cluster_sync();
  }
}

}  // namespace flashsampling
