// One pass of the Hopper kernel: its arguments, which tokens each block takes, how its warps meet.
#pragma once

#include "../common/sample_params.h"
#include "config.h"
#include "epilogue.cuh"

namespace flashsampling {

// One pass: a tile of the batch, some draws, the whole shard.
struct Sm90Args {
  SampleParams params;
  PassRange pass;
  uint32_t first_unit, num_units;  // the shard in units of 16 tokens, counted in global token ids
};

// The vocabulary of one cluster: [begin, end) in units; tiles of every cluster block lie side by side.
template <class Config>
struct TileSchedule {
  uint32_t begin, end;

  FS_DEVICE explicit TileSchedule(const Sm90Args& args) {
    const uint64_t num_clusters = gridDim.x / Config::kClusterSize;
    const uint64_t cluster_idx = blockIdx.x / Config::kClusterSize;
    begin = args.first_unit + static_cast<uint32_t>(cluster_idx * args.num_units / num_clusters);
    end = args.first_unit + static_cast<uint32_t>((cluster_idx + 1) * args.num_units / num_clusters);
  }

  FS_DEVICE uint32_t num_tiles() const {
    constexpr uint32_t kUnits = Config::kUnitsPerTile * Config::kClusterSize;
    return (end - begin + kUnits - 1) / kUnits;
  }

  // Units of one block in a tile. The last tile is shared out evenly, so that no block loads more than the others.
  FS_DEVICE void tile(uint32_t tile_idx, uint32_t block_rank, uint32_t& first_unit, uint32_t& num_units) const {
    constexpr uint32_t kUnits = Config::kUnitsPerTile * Config::kClusterSize;
    const uint32_t tile_begin = begin + tile_idx * kUnits;
    const uint32_t left = min(end - tile_begin, kUnits);
    const uint32_t share = (left + Config::kClusterSize - 1) / Config::kClusterSize;
    const uint32_t skip = min(block_rank * share, left);
    first_unit = tile_begin + skip;
    num_units = min(share, left - skip);
  }
};

// Stage and phase parity of a ring of barriers.
template <int kNumStages>
struct RingState {
  int stage = 0;
  uint32_t parity = 0;

  FS_DEVICE void advance() {
    if (++stage == kNumStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

template <class Config>
FS_DEVICE EpilogueArgs make_epilogue_args(const Sm90Args& args) {
  const SampleParams& params = args.params;
  const RowParams& rows = params.rows;
  EpilogueArgs epilogue;
  epilogue.logit_bias =
      rows.logit_bias != nullptr ? rows.logit_bias + args.pass.first_row * rows.logit_bias_stride : nullptr;
  epilogue.logit_bias_stride = rows.logit_bias_stride;
  epilogue.allowed_tokens =
      rows.allowed_tokens != nullptr ? rows.allowed_tokens + args.pass.first_row * rows.allowed_tokens_stride : nullptr;
  epilogue.allowed_tokens_stride = rows.allowed_tokens_stride;
  epilogue.token_begin = params.vocab_start;
  epilogue.token_last = params.vocab_start + (params.shard_rows - 1);
  epilogue.num_rows = args.pass.num_rows;
  epilogue.num_draws = args.pass.num_draws;
  epilogue.noise_scheme = params.noise_scheme;
  epilogue.wants_log_mass = Config::kHasLogMass && wants_log_mass(params.out);
  epilogue.log_mass_is_raw = params.logprobs_mode == LogprobsMode::kRaw;
  return epilogue;
}

// Whether a pass takes the way of winner_filter.cuh.
template <class Config>
FS_DEVICE bool uses_filter(const EpilogueArgs& args) {
  // A place in the queue has 24 bits for the token.
  return Config::kHasFilter && args.num_draws == 1 && args.logit_bias == nullptr &&
         args.token_last - args.token_begin < (1u << 24) - kUnit;
}

// Named barriers of a block; 0 is __syncthreads().
constexpr int kConsumersBarrier = 1;  // both consumer warpgroups
constexpr int kScoringBarrier = 2;    // scoring warps

}  // namespace flashsampling
