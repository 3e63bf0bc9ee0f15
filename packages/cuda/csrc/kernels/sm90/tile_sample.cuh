// Fused LM head and sampler for Hopper: token = argmax over v of (hidden . weight[v]) / temperature + gumbel_noise(v).
//
//   hidden_states [rows <= kTileBatch, hidden_size], weight [shard_rows, hidden_size], both row-major, bf16 or f16
//   one block per multiprocessor; every block (or cluster) owns an even share of the vocabulary, in units of 16 tokens
//   warps 8 and 9 load: bulk tensor copies into two rings of stages, running ahead over the borders of tiles
//   warpgroups 0 and 1 multiply: tokens on M, batch on N, accumulators in registers, then the epilogue (epilogue.cuh)
//   warps 10 and 11 score what the filter of wide batches lets through (winner_filter.cuh)
//   a block's winners live in shared memory; they meet in Workspace::best by atomicMax, and the last block stores the
//   results
//
// Never materialised: logits, scores, noise. Launched by launch/sm90_launch.cuh.
// Idea: arXiv 2603.15854, algorithm 1; here as one kernel, and with draws that do not depend on the tiling.
#pragma once

#include "../epilogue/last_block.cuh"
#include "../epilogue/winner_store.cuh"
#include "config.h"
#include "epilogue.cuh"
#include "ptx.cuh"
#include "wgmma.cuh"
#include "winner_filter.cuh"

namespace flashsampling {

// One pass: a tile of the batch, some draws, the whole shard.
struct Sm90Args {
  SampleParams params;
  uint32_t first_row, num_rows;    // rows of the batch in this pass
  uint32_t first_draw, num_draws;  // columns of the outputs in this pass
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

// One thread streams the block's share of the weight, over the borders of tiles.
template <class Config>
FS_DEVICE void load_weight(const CUtensorMap& weight_map, const CUtensorMap& weight_unit_map, const Sm90Args& args,
                           Sm90Shared<Config>* shared, uint32_t block_rank) {
  const TileSchedule<Config> schedule(args);
  const uint32_t num_steps = (args.params.hidden_size + Config::kTileHidden - 1) / Config::kTileHidden;
  const uint32_t num_tiles = schedule.num_tiles();
  RingState<Config::kWeightStages> ring;
  for (uint32_t tile_idx = 0; tile_idx < num_tiles; tile_idx++) {
    uint32_t first_unit, num_units;
    schedule.tile(tile_idx, block_rank, first_unit, num_units);
    // Rows before the shard (its first unit may begin there) and behind it are filled with zeros by the copy engine.
    const int first_row = static_cast<int>(first_unit * kUnit - args.params.vocab_start);
    const uint32_t bytes = Config::kNumBoxes * num_units * kUnit * kSwizzleColumns * 2;
    for (uint32_t step = 0; step < num_steps; step++) {
      const uint32_t full = shared_address(&shared->weight_full[ring.stage]);
      barrier_wait(shared_address(&shared->weight_empty[ring.stage]), ring.parity ^ 1);
      barrier_expect_bytes(full, bytes);
#pragma unroll
      for (int box = 0; box < Config::kNumBoxes; box++) {
        const int column = step * Config::kTileHidden + box * kSwizzleColumns;
        const uint32_t destination = shared_address(shared->weight[ring.stage][box]);
        if (num_units == Config::kUnitsPerTile) {
          tensor_load(&weight_map, destination, full, column, first_row, kEvictFirst);
        } else {
          for (uint32_t unit = 0; unit < num_units; unit++) {
            tensor_load(&weight_unit_map, destination + unit * kUnit * kSwizzleColumns * 2, full, column,
                        first_row + unit * kUnit, kEvictFirst);
          }
        }
      }
      ring.advance();
    }
  }
}

// One thread repeats the hidden states for every tile; in a cluster every block copies a part to all.
template <class Config>
FS_DEVICE void load_hidden(const CUtensorMap& hidden_map, const Sm90Args& args, Sm90Shared<Config>* shared,
                           uint32_t block_rank) {
  constexpr uint16_t kAllBlocks = (1u << Config::kClusterSize) - 1;
  constexpr uint32_t kPartRows = Config::kTileBatch / Config::kClusterSize;
  constexpr uint32_t kPartBytes = Config::kHiddenBoxBytes / Config::kClusterSize;
  const TileSchedule<Config> schedule(args);
  const uint32_t num_steps = (args.params.hidden_size + Config::kTileHidden - 1) / Config::kTileHidden;
  const uint32_t num_tiles = schedule.num_tiles();
  RingState<Config::kHiddenStages> ring;
  for (uint32_t tile_idx = 0; tile_idx < num_tiles; tile_idx++) {
    for (uint32_t step = 0; step < num_steps; step++) {
      const uint32_t full = shared_address(&shared->hidden_full[ring.stage]);
      barrier_wait(shared_address(&shared->hidden_empty[ring.stage]), ring.parity ^ 1);
      barrier_expect_bytes(full, Config::kNumBoxes * Config::kHiddenBoxBytes);
#pragma unroll
      for (int box = 0; box < Config::kNumBoxes; box++) {
        const int column = step * Config::kTileHidden + box * kSwizzleColumns;
        const uint32_t destination = shared_address(shared->hidden[ring.stage][box]);
        if constexpr (Config::kClusterSize > 1) {
          tensor_load_multicast(&hidden_map, destination + block_rank * kPartBytes, full, column,
                                block_rank * kPartRows, kAllBlocks, kEvictLast);
        } else {
          tensor_load(&hidden_map, destination, full, column, 0, kEvictLast);
        }
      }
      ring.advance();
    }
  }
}

// Chunk number kIndex of a warp's accumulators goes to shared memory. The number is only known at run time, but
// registers have no run-time index: one case each. Halving the numbers takes a few branches, trying them one by one
// would take up to 16.
template <class Config, int kBegin, int kEnd>
FS_DEVICE void store_chunk_at(int index, Epilogue<Config>& epilogue,
                              const float (&accumulators)[Config::kWgmmasPerWarpgroup][Config::kTileBatch / 2],
                              int lane_idx) {
  if constexpr (kEnd - kBegin == 1) {
    epilogue.template store_chunk<kBegin % Config::kChunksPerUnit * Config::kChunkRows>(
        accumulators[kBegin / Config::kChunksPerUnit], lane_idx);
  } else {
    constexpr int kMiddle = (kBegin + kEnd) / 2;
    if (index < kMiddle) {
      store_chunk_at<Config, kBegin, kMiddle>(index, epilogue, accumulators, lane_idx);
    } else {
      store_chunk_at<Config, kMiddle, kEnd>(index, epilogue, accumulators, lane_idx);
    }
  }
}

// Publishes a block's winner where it has improved since it was last published.
FS_DEVICE void publish_best(uint64_t* shared_best, uint64_t* global_best, uint64_t& published) {
  const uint64_t best = *reinterpret_cast<volatile uint64_t*>(shared_best);
  if (best > published) {
    atomicMax(reinterpret_cast<unsigned long long*>(global_best), static_cast<unsigned long long>(best));
    published = best;
  }
}

template <class Config>
FS_DEVICE EpilogueArgs make_epilogue_args(const Sm90Args& args) {
  const SampleParams& params = args.params;
  const RowParams& rows = params.rows;
  EpilogueArgs epilogue;
  epilogue.logit_bias =
      rows.logit_bias != nullptr ? rows.logit_bias + args.first_row * rows.logit_bias_stride : nullptr;
  epilogue.logit_bias_stride = rows.logit_bias_stride;
  epilogue.allowed_tokens =
      rows.allowed_tokens != nullptr ? rows.allowed_tokens + args.first_row * rows.allowed_tokens_stride : nullptr;
  epilogue.allowed_tokens_stride = rows.allowed_tokens_stride;
  epilogue.token_begin = params.vocab_start;
  epilogue.token_last = params.vocab_start + (params.shard_rows - 1);
  epilogue.num_rows = args.num_rows;
  epilogue.num_draws = args.num_draws;
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

template <class Config>
FS_DEVICE void score_tiles(const Sm90Args& args, Sm90Shared<Config>* shared, int scoring_thread_idx) {
  const EpilogueArgs epilogue_args = make_epilogue_args<Config>(args);
  if (!uses_filter<Config>(epilogue_args)) return;
  barrier_wait(shared_address(&shared->state_full), 0);
  const int lane_idx = scoring_thread_idx % kWarpSize;
  const uint32_t num_tiles = TileSchedule<Config>(args).num_tiles();
  for (uint32_t tile_idx = 0; tile_idx < num_tiles; tile_idx++) {
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

template <class Config, Dtype kDtype>
FS_DEVICE void multiply_and_sample(const Sm90Args& args, Sm90Shared<Config>* shared, uint32_t block_rank,
                                   int thread_idx) {
  const int warp_idx = thread_idx / kWarpSize;
  const int lane_idx = thread_idx % kWarpSize;
  const int warpgroup_idx = thread_idx / 128;
  const SampleParams& params = args.params;
  Workspace* workspace = static_cast<Workspace*>(params.workspace);
  const uint32_t num_slots = args.num_draws * Config::kTileBatch;

  const EpilogueArgs epilogue_args = make_epilogue_args<Config>(args);
  const bool has_filter = uses_filter<Config>(epilogue_args);

  // --- State of rows and draws ---
  for (int row = thread_idx; row < Config::kTileBatch; row += kConsumerThreads) {
    RowFilter filter = {0.f, INFINITY};
    float divisor = 1.f;
    if (row < args.num_rows) {
      const float temperature = row_temperature(params.rows, args.first_row + row);
      if (is_valid_temperature(temperature)) {
        const bool is_greedy = temperature == 0.f;
        divisor = temperature_divisor(temperature);
        // TileFilter::bound_rows() finds the weight of the row's noise where the first bound will be.
        filter = {kLog2OfE / divisor, is_greedy ? 0.f : 1.f};
        if (is_greedy) divisor = -1.f;
      }
    }
    shared->filters[row] = filter;
    shared->divisors[row] = divisor;
    if constexpr (Config::kHasFilter) shared->lower_bounds[row] = 0;
    if (epilogue_args.wants_log_mass) {
      for (int warp = 0; warp < kConsumerWarps; warp++)
        shared->log_mass[warp][row] = {0.f, 0.f};
    }
    if (row % 32 == 0) shared->row_flags[row / 32] = 0;
  }
  // The slot of one thread: kMaxSlots threads publish.
  static_assert(kMaxSlots <= kConsumerThreads, "one thread per slot");
  const uint32_t slot_row = thread_idx % Config::kTileBatch;
  const uint32_t slot_draw = thread_idx / Config::kTileBatch;
  bool is_slot = false;
  if (thread_idx < num_slots) {
    uint64_t best = kNotDrawn;
    if (slot_row < args.num_rows) {
      const uint32_t row_idx = args.first_row + slot_row;
      const uint32_t draw = args.first_draw + slot_draw;
      if (is_valid_temperature(row_temperature(params.rows, row_idx))) {
        is_slot = draw < row_num_samples(params.rows, row_idx, params.max_num_samples);
      }
      shared->keys[thread_idx] = row_key(params.rows, params.noise_scheme, row_idx, draw);
    }
    if (is_slot) {
      best = kNoCandidate;
    } else if (num_slots == Config::kTileBatch) {
      shared->filters[slot_row].bound = INFINITY;
    }
    shared->best[thread_idx] = best;
  }
  uint64_t published = kNoCandidate;
  named_barrier<kConsumerThreads>(kConsumersBarrier);
  barrier_arrive(shared_address(&shared->state_full));

  Epilogue<Config> epilogue(epilogue_args, shared, warp_idx, lane_idx);

  constexpr int kWgmmas = Config::kWgmmasPerWarpgroup;
  float accumulators[kWgmmas][Config::kTileBatch / 2];
  const TileSchedule<Config> schedule(args);
  const uint32_t num_steps = (params.hidden_size + Config::kTileHidden - 1) / Config::kTileHidden;
  RingState<Config::kWeightStages> weight_ring;
  RingState<Config::kHiddenStages> hidden_ring;

  // Units of this warp: one per wgmma, 4 warps of a warpgroup side by side.
  const auto unit_of = [&](uint32_t m) -> uint32_t {
    return (warpgroup_idx * kWgmmas + m) * (kWgmmaRows / kUnit) + warp_idx % 4;
  };

  // A stage is free once all warps have read it; one of hidden states, once those of all blocks of the cluster have.
  const auto release = [&](int weight_stage, int hidden_stage) {
    if (lane_idx == 0) barrier_arrive(shared_address(&shared->weight_empty[weight_stage]));
    if (lane_idx < Config::kClusterSize) {
      const uint32_t empty = shared_address(&shared->hidden_empty[hidden_stage]);
      if constexpr (Config::kClusterSize > 1) {
        barrier_arrive_remote(empty, lane_idx);
      } else {
        barrier_arrive(empty);
      }
    }
  };

  TileFilter<Config> filter = {shared, warp_idx, lane_idx};
  if constexpr (Config::kHasFilter) filter.load_key(0);
  for (uint32_t tile_idx = 0; tile_idx < schedule.num_tiles(); tile_idx++) {
    uint32_t first_unit, num_units;
    schedule.tile(tile_idx, block_rank, first_unit, num_units);
    uint64_t other_best = kNoCandidate;
    if (is_slot && tile_idx > 0 && !has_filter)
      other_best = *reinterpret_cast<volatile uint64_t*>(&workspace->best[thread_idx]);

    // --- Multiply, and draw noise meanwhile ---
    constexpr uint32_t kNumDraws = kWgmmas * TileFilter<Config>::kDraws;
    uint32_t num_drawn = 0;
    const auto draw_noise = [&] {
      const uint32_t unit = unit_of(num_drawn / TileFilter<Config>::kDraws);
      // NOTE: units behind the block's share may lie behind the shard, and behind the mask.
      if (unit < num_units) {
        filter.draw_codes(epilogue_args, unit, num_drawn % TileFilter<Config>::kDraws, (first_unit + unit) * kUnit);
      }
      num_drawn++;
    };
    int weight_stage = 0, hidden_stage = 0;
#pragma unroll 1
    for (uint32_t step = 0; step < num_steps; step++) {
      const int last_weight_stage = weight_stage, last_hidden_stage = hidden_stage;
      weight_stage = weight_ring.stage;
      hidden_stage = hidden_ring.stage;
      barrier_wait(shared_address(&shared->hidden_full[hidden_stage]), hidden_ring.parity);
      barrier_wait(shared_address(&shared->weight_full[weight_stage]), weight_ring.parity);
      const uint32_t weight_boxes = shared_address(shared->weight[weight_stage]);
      const uint32_t hidden_boxes = shared_address(shared->hidden[hidden_stage]);
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < Config::kTileHidden / kWgmmaHidden; k++) {
        constexpr int kStepsPerBox = kSwizzleColumns / kWgmmaHidden;
        const uint32_t offset = k % kStepsPerBox * kWgmmaHidden * 2;
        const uint64_t hidden = wgmma_descriptor(hidden_boxes + k / kStepsPerBox * Config::kHiddenBoxBytes + offset);
#pragma unroll
        for (int m = 0; m < kWgmmas; m++) {
          const uint32_t rows = (warpgroup_idx * kWgmmas + m) * kWgmmaRows;
          const uint64_t weight = wgmma_descriptor(weight_boxes + k / kStepsPerBox * Config::kWeightBoxBytes +
                                                   rows * kSwizzleColumns * 2 + offset);
          Wgmma<Config::kTileBatch, kDtype>::multiply(accumulators[m], weight, hidden, (step | k) != 0);
        }
      }
      wgmma_commit();
      // One group stays in flight; the stages before are read to their end.
      wgmma_wait<1>();
      if (step > 0) release(last_weight_stage, last_hidden_stage);
      weight_ring.advance();
      hidden_ring.advance();
      // NOTE: behind the release, so that the copies do not wait for it, and both warpgroups at the same steps, as a
      // pause of one stops the other (docs/findings/hopper-fused-sampler.md).
      if constexpr (Config::kHasFilter) {
        if (has_filter) {
          while (num_drawn * num_steps < (step + 1) * kNumDraws) {
            draw_noise();
            draw_noise();
          }
        }
      }
    }
    if constexpr (Config::kHasFilter) {
      if (has_filter) {
        while (num_drawn < kNumDraws)
          draw_noise();
      }
    }
    wgmma_wait<0>();
    release(weight_stage, hidden_stage);

    // --- Sample ---
    if (other_best != kNoCandidate) {
      atomicMax(reinterpret_cast<unsigned long long*>(&shared->best[thread_idx]),
                static_cast<unsigned long long>(other_best));
      published = other_best > published ? other_best : published;
    }
    bool adds_log_mass = epilogue_args.wants_log_mass;
    bool draws = !has_filter;
    if constexpr (Config::kHasFilter) {
      if (has_filter) {
        // The last tile's queue is scored (its memory is that of the chunks), and the bounds are renewed.
        if (tile_idx > 0) barrier_wait(shared_address(&shared->queue_empty), (tile_idx - 1) % 2);
        __syncwarp();  // codes were written by other lanes
        if (tile_idx == 0) {
#pragma unroll
          for (int m = 0; m < kWgmmas; m++) {
            if (unit_of(m) < num_units) filter.bound_rows(accumulators[m], unit_of(m));
          }
          named_barrier<kConsumerThreads>(kConsumersBarrier);
          filter.start_bounds(thread_idx, epilogue_args);
          named_barrier<kConsumerThreads>(kConsumersBarrier);
        }
        if (adds_log_mass && kWgmmas == 1 && epilogue_args.allowed_tokens == nullptr) {
          const uint32_t token = (first_unit + unit_of(0)) * kUnit;
          if (unit_of(0) >= num_units || (epilogue.is_in_shard(token) && epilogue.is_in_shard(token + kUnit - 1) &&
                                          filter.add_log_mass(accumulators[0], epilogue_args.log_mass_is_raw))) {
            adds_log_mass = false;
          }
        }
      }
    }
    bool is_tested = false;
    while (true) {
      if (adds_log_mass || draws) {
        constexpr int kNumChunks = kWgmmas * Config::kChunksPerUnit;
#pragma unroll 1
        for (int index = 0; index < kNumChunks; index++) {
          const uint32_t unit = unit_of(index / Config::kChunksPerUnit);
          if (unit >= num_units) continue;
          const int first_row = index % Config::kChunksPerUnit * Config::kChunkRows;
          if (first_row >= args.num_rows) continue;
          store_chunk_at<Config, 0, kNumChunks>(index, epilogue, accumulators, lane_idx);
          __syncwarp();
          epilogue.process_chunk((first_unit + unit) * kUnit, first_row, adds_log_mass, draws);
          __syncwarp();
        }
      }
      if (!has_filter || is_tested) break;
      if constexpr (Config::kHasFilter) {
        int count = 0;
#pragma unroll
        for (int m = 0; m < kWgmmas; m++) {
          if (unit_of(m) < num_units) {
            count = filter.queue_survivors(accumulators[m], unit_of(m),
                                           (first_unit + unit_of(m) - args.first_unit) * kUnit, count);
          }
        }
        const bool fits = count <= Config::kQueueSize;
        if (lane_idx == 0) shared->queue_size[warp_idx] = fits ? count : 0;
        __syncwarp();
        if (fits) break;
        // The general way looks at all tokens again, so the queue, whose memory it needs, is dropped.
        is_tested = true;
        adds_log_mass = false;
        draws = true;
      }
    }
    if (has_filter) {
      barrier_arrive(shared_address(&shared->queue_full));
    } else if (is_slot) {
      publish_best(&shared->best[thread_idx], &workspace->best[thread_idx], published);
    }
  }

  // --- Publish the block's results ---
  if (has_filter) barrier_wait(shared_address(&shared->queue_empty), (schedule.num_tiles() - 1) % 2);
  named_barrier<kConsumerThreads>(kConsumersBarrier);
  if (is_slot) publish_best(&shared->best[thread_idx], &workspace->best[thread_idx], published);
  for (int row = thread_idx; row < args.num_rows; row += kConsumerThreads) {
    if ((shared->row_flags[row / 32] >> (row % 32)) & 1u) atomicOr(&workspace->row_flags[row], 1u);
    if (epilogue_args.wants_log_mass) {
      LogMass mass = {0.f, 0.f};
      for (int warp = 0; warp < kConsumerWarps; warp++) {
        const float2 part = shared->log_mass[warp][row];
        const float divisor = epilogue_args.log_mass_is_raw ? 1.f : fabsf(shared->divisors[row]);
        mass = merge_log_mass(mass, {apply_temperature(part.x, divisor), part.y});
      }
      workspace->log_mass[row][blockIdx.x] = mass;
    }
  }
  __threadfence();
  named_barrier<kConsumerThreads>(kConsumersBarrier);
  if (thread_idx == 0) shared->is_last_block = atomicAdd(&workspace->num_blocks_arrived, 1u) == gridDim.x - 1;
  named_barrier<kConsumerThreads>(kConsumersBarrier);
  if (shared->is_last_block == 0) return;

  // --- The last block finishes ---
  __threadfence();
  float* row_log_sum_exp = shared->chunk[0];  // the chunks of all warps: room for kTileBatch floats
  static_assert(sizeof(shared->chunk) >= sizeof(float) * Config::kTileBatch, "log-sum-exps of all rows");
  if (epilogue_args.wants_log_mass) {
    read_log_sum_exps(workspace, warp_idx, kConsumerWarps, args.num_rows, gridDim.x, row_log_sum_exp);
  }
  named_barrier<kConsumerThreads>(kConsumersBarrier);
  if (thread_idx < num_slots && slot_row < args.num_rows) {
    RowResult result;
    result.row_idx = args.first_row + slot_row;
    result.draw = args.first_draw + slot_draw;
    result.draw_wanted = result.draw < row_num_samples(params.rows, result.row_idx, params.max_num_samples);
    result.candidate = __ldcg(&workspace->best[thread_idx]);
    result.log_sum_exp = epilogue_args.wants_log_mass ? row_log_sum_exp[slot_row] : 0.f;
    result.status = row_status(params.rows, result.row_idx, __ldcg(&workspace->row_flags[slot_row]) != 0,
                               result.draw_wanted, result.candidate);
    store_winner(params.out, params.rows, params.noise_scheme, params.logprobs_mode, params.max_num_samples, result);
  }
  named_barrier<kConsumerThreads>(kConsumersBarrier);
  if (thread_idx < kMaxSlots) workspace->best[thread_idx] = kNoCandidate;
  if (thread_idx < kMaxTileBatch) workspace->row_flags[thread_idx] = 0;
  if (thread_idx == 0) workspace->num_blocks_arrived = 0;
}

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
      score_tiles<Config>(args, shared, thread_idx - kFirstScoringThread);
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
