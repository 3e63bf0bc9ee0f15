// The scoring warps of wide batches: they score what the filter of the consumers let through (winner_filter.cuh), and
// exchange winners with the other blocks, while the next tile is multiplied.
#pragma once

#include "../common/candidate.h"
#include "../common/score.h"
#include "../common/workspace.h"
#include "../epilogue/raise_best.cuh"
#include "config.h"
#include "epilogue.cuh"
#include "pass.cuh"
#include "ptx.cuh"
#include "winner_filter.cuh"

namespace flashsampling {

// Scores what a tile left in the queues.
template <class Config>
FS_DEVICE void score_queues(Sm90Shared<Config>* shared, const EpilogueArgs& args, uint32_t origin_token,
                            int scoring_warp_idx, int lane_idx) {
  for (int warp = scoring_warp_idx; warp < kConsumerWarps; warp += kScoringWarps) {
    const int count = shared->queue_size[warp];
    for (int entry = lane_idx; entry < count; entry += kWarpSize) {
      const Survivor survivor = shared->queue[warp][entry];
      const int row = survivor.place % 256;
      const uint32_t token_id = origin_token + survivor.place / 256;
      const float logit = survivor.logit;
      if (row >= static_cast<int>(args.num_rows) || token_id < args.token_begin || token_id > args.token_last) continue;
      if (is_invalid_logit(logit)) {
        atomicOr(&shared->row_flags[row / 32], 1u << (row % 32));
        continue;
      }
      if (logit == -INFINITY) continue;
      const uint64_t candidate = pack_candidate(
          score_of(args.noise_scheme, logit, shared->divisors[row], shared->keys[row], token_id), token_id);
      if (candidate > *const_cast<volatile uint64_t*>(&shared->best[row])) {
        raise_best(&shared->best[row], candidate);
      }
    }
  }
}

// Exchanges winners with the other blocks and renews the rows' bounds.
template <class Config>
FS_DEVICE void exchange_winners(Sm90Shared<Config>* shared, const EpilogueArgs& args, Workspace* workspace,
                                int scoring_thread_idx) {
  for (int row = scoring_thread_idx; row < static_cast<int>(args.num_rows); row += kScoringThreads) {
    if (!shared->is_drawn(row)) continue;
    uint64_t best = shared->best[row];
    const uint64_t other = *reinterpret_cast<volatile uint64_t*>(&workspace->best[row]);
    if (best > other) {
      raise_best(&workspace->best[row], best);
    } else if (other > best) {
      shared->best[row] = best = other;
    }
    if (best != kNoCandidate) {
      const float score = candidate_score(best);
      shared->filters[row].bound = filter_bound(score, shared->is_greedy(row));
      // An offset moves only when it must: moving it costs every warp a rescaling. NaN stays.
      const float offset = mass_offset(score * kLog2OfE, shared->filters[row].scale, args.log_mass_is_raw);
      if (offset - shared->mass_offsets[row] > 40.f) shared->mass_offsets[row] = offset;
    }
  }
}

// Brings a tile's words of the mask into L2: draw_codes(), which reads them in the middle of the multiplication, would
// wait for device memory.
template <class Config>
FS_DEVICE void prefetch_mask(const TileSchedule<Config>& schedule, const EpilogueArgs& args, uint32_t tile_idx,
                             uint32_t block_rank, int scoring_thread_idx) {
  if (args.allowed_tokens == nullptr || tile_idx >= schedule.num_tiles()) return;
  uint32_t first_unit, num_units;
  schedule.tile(tile_idx, block_rank, first_unit, num_units);
  if (num_units == 0) return;
  for (int row = scoring_thread_idx; row < static_cast<int>(args.num_rows); row += kScoringThreads) {
    const int32_t* words = args.allowed_tokens + row * args.allowed_tokens_stride;
    // At most two sectors, as a tile has 32 bytes at most.
    prefetch_l2(words + first_unit * kUnit / 32);
    prefetch_l2(words + ((first_unit + num_units) * kUnit - 1) / 32);
  }
}

template <class Config>
FS_DEVICE void score_tiles(const Sm90Args& args, Sm90Shared<Config>* shared, uint32_t block_rank,
                           int scoring_thread_idx) {
  const EpilogueArgs epilogue_args = make_epilogue_args<Config>(args);
  if (!uses_filter<Config>(epilogue_args)) return;
  const TileSchedule<Config> schedule(args);
  prefetch_mask<Config>(schedule, epilogue_args, 0, block_rank, scoring_thread_idx);
  prefetch_mask<Config>(schedule, epilogue_args, 1, block_rank, scoring_thread_idx);
  barrier_wait(shared_address(&shared->state_full), 0);
  const int lane_idx = scoring_thread_idx % kWarpSize;
  const uint32_t num_tiles = schedule.num_tiles();
  for (uint32_t tile_idx = 0; tile_idx < num_tiles; tile_idx++) {
    // The next tile's draws begin when this one's queues are full.
    if (tile_idx > 0) prefetch_mask<Config>(schedule, epilogue_args, tile_idx + 1, block_rank, scoring_thread_idx);
    barrier_wait(shared_address(&shared->queue_full), tile_idx % 2);
    score_queues<Config>(shared, epilogue_args, args.first_unit * kUnit, scoring_thread_idx / kWarpSize, lane_idx);
    named_barrier<kScoringThreads>(kScoringBarrier);
    if (tile_idx + 1 < num_tiles) {
      exchange_winners<Config>(shared, epilogue_args, static_cast<Workspace*>(args.params.workspace),
                               scoring_thread_idx);
    }
    barrier_arrive(shared_address(&shared->queue_empty));
  }
}

}  // namespace flashsampling
