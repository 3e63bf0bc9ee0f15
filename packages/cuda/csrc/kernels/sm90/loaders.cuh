// The two loading threads of a block: bulk tensor copies into the rings of stages, over the borders of tiles.
#pragma once

#include "config.h"
#include "pass.cuh"
#include "ptx.cuh"

namespace flashsampling {

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

}  // namespace flashsampling
