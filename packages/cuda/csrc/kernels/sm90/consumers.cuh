// The two consumer warpgroups of a block: they multiply tiles, sample from the products, and publish what they found.
#pragma once

#include "../epilogue/last_block.cuh"
#include "../epilogue/raise_best.cuh"
#include "../epilogue/winner_store.cuh"
#include "config.h"
#include "epilogue.cuh"
#include "pass.cuh"
#include "ptx.cuh"
#include "wgmma.cuh"
#include "winner_filter.cuh"

namespace flashsampling {

// The consumers finish a pass. The slot of a (row, draw) in Workspace::best and in shared memory is draw * kTileBatch +
// row, both counted in the pass: one thread's each.
template <class Config>
struct Consumers {
  static constexpr int kNumThreads = kConsumerThreads;
  static_assert(kMaxSlots <= kConsumerThreads, "one thread per slot");

  FS_DEVICE static void sync() { named_barrier<kConsumerThreads>(kConsumersBarrier); }
  FS_DEVICE static uint32_t num_slots(const PassRange& pass) { return pass.num_draws * Config::kTileBatch; }
  FS_DEVICE static bool locate(const PassRange& pass, uint32_t slot, uint32_t& row, uint32_t& draw) {
    row = slot % Config::kTileBatch;
    draw = slot / Config::kTileBatch;
    return row < pass.num_rows;
  }
};

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
    raise_best(global_best, best);
    published = best;
  }
}

// Sets up the rows and slots in shared memory. Gives whether the thread's slot has a token to draw.
template <class Config>
FS_DEVICE bool prepare_rows(const Sm90Args& args, bool wants_log_mass, Sm90Shared<Config>* shared, int thread_idx) {
  const SampleParams& params = args.params;
  for (int row = thread_idx; row < Config::kTileBatch; row += kConsumerThreads) {
    RowFilter filter = {0.f, INFINITY};
    float divisor = 1.f;
    if (row < args.pass.num_rows) {
      const float temperature = row_temperature(params.rows, args.pass.first_row + row);
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
    if (wants_log_mass) {
      for (int warp = 0; warp < kConsumerWarps; warp++)
        shared->log_mass[warp][row] = {0.f, 0.f};
    }
    if (row % 32 == 0) shared->row_flags[row / 32] = 0;
  }
  const uint32_t num_slots = Consumers<Config>::num_slots(args.pass);
  bool is_slot = false;
  if (thread_idx < num_slots) {
    uint64_t best = kNotDrawn;
    uint32_t slot_row, slot_draw;
    if (Consumers<Config>::locate(args.pass, thread_idx, slot_row, slot_draw)) {
      const uint32_t row_idx = args.pass.first_row + slot_row;
      const uint32_t draw = args.pass.first_draw + slot_draw;
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
  return is_slot;
}

// Publishes what a block's tokens say about their rows.
template <class Config>
FS_DEVICE void publish_rows(const PassRange& pass, const EpilogueArgs& args, const Sm90Shared<Config>* shared,
                            Workspace* workspace, int thread_idx) {
  for (int row = thread_idx; row < pass.num_rows; row += kConsumerThreads) {
    if ((shared->row_flags[row / 32] >> (row % 32)) & 1u) atomicOr(&workspace->row_flags[row], 1u);
    if (args.wants_log_mass) {
      // Merged as undivided logits: one division instead of one for every warp.
      float2 parts[kConsumerWarps];
      LogMass mass = {-INFINITY, 0.f};
#pragma unroll
      for (int warp = 0; warp < kConsumerWarps; warp++) {
        parts[warp] = shared->log_mass[warp][row];
        if (parts[warp].y != 0.f) mass.reference = fmaxf(mass.reference, parts[warp].x);
      }
      const float scale = args.log_mass_is_raw ? kLog2OfE : shared->filters[row].scale;
#pragma unroll
      for (int warp = 0; warp < kConsumerWarps; warp++) {
        if (parts[warp].y != 0.f) mass.sum += parts[warp].y * rough_exp2((parts[warp].x - mass.reference) * scale);
      }
      mass.reference = apply_temperature(mass.reference, args.log_mass_is_raw ? 1.f : fabsf(shared->divisors[row]));
      workspace->log_sum_exp[blockIdx.x][row] = log_sum_exp(mass);
    }
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

  const EpilogueArgs epilogue_args = make_epilogue_args<Config>(args);
  const bool has_filter = uses_filter<Config>(epilogue_args);

  const bool is_slot = prepare_rows<Config>(args, epilogue_args.wants_log_mass, shared, thread_idx);
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
      raise_best(&shared->best[thread_idx], other_best);
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
          if (first_row >= args.pass.num_rows) continue;
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

  // --- Publish and finish ---
  if (has_filter) barrier_wait(shared_address(&shared->queue_empty), (schedule.num_tiles() - 1) % 2);
  named_barrier<kConsumerThreads>(kConsumersBarrier);
  if (is_slot) publish_best(&shared->best[thread_idx], &workspace->best[thread_idx], published);
  publish_rows<Config>(args.pass, epilogue_args, shared, workspace, thread_idx);
  LastBlockArgs last = last_block_args(params, args.pass, gridDim.x);
  last.wants_log_mass = epilogue_args.wants_log_mass;
  static_assert(sizeof(shared->chunk) >= sizeof(float) * Config::kTileBatch, "log-sum-exps of all rows");
  finish_pass<Consumers<Config>>(last, workspace, shared->chunk[0], &shared->is_last_block);
}

}  // namespace flashsampling
