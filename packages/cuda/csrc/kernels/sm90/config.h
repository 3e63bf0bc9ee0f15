// Tile shapes of the Hopper kernel, one per batch width, and what follows from them. Host and device.
#pragma once

#include <cstdint>

#include "../common/noise.h"
#include "../common/workspace.h"

namespace flashsampling {

constexpr int kConsumerWarpgroups = 2;
constexpr int kConsumerThreads = kConsumerWarpgroups * 128;
constexpr int kConsumerWarps = kConsumerThreads / kWarpSize;
constexpr int kLoaderWarps = 2;   // one for the weight, one for the hidden states
constexpr int kScoringWarps = 2;  // scoring_warps.cuh
constexpr int kScoringThreads = kScoringWarps * kWarpSize;
constexpr int kBlockThreads = kConsumerThreads + (kLoaderWarps + kScoringWarps) * kWarpSize;
constexpr int kConsumerRegisters = 224;  // of a thread; 256 * 224 + 128 * 56 is nearly all there are
constexpr int kOtherRegisters = 56;
constexpr int kWgmmaRows = 64;           // M of one wgmma
constexpr int kWgmmaHidden = 16;         // K of one wgmma
constexpr int kSwizzleColumns = 64;      // 128 bytes of 16-bit elements: width of one copied box
constexpr int kUnit = 16;                // tokens that one warp holds of one wgmma; tiles are made of units
constexpr int kMaxSharedBytes = 232448;  // of one block, compute capability 9.0

// Winner of a slot without a draw: the largest finite score, which no token's test passes.
constexpr uint64_t kNotDrawn = 0xFF7FFFFFFFFFFFFFull;

// kTileBatch: rows of the batch, N of wgmma. kTileVocab: tokens. kTileHidden: elements of one pipeline stage.
// kWeightStages, kHiddenStages: two rings, as the weight comes from device memory and wants to run far ahead, the
// hidden states from L2. kClusterSize: blocks that share the copies of the hidden states. kChunkRows: batch rows that a
// warp samples at a time. kHasLogMass: false saves the memory of log-masses, for requests without them.
template <int kTileBatch_, int kTileVocab_, int kTileHidden_, int kWeightStages_, int kHiddenStages_, int kClusterSize_,
          int kChunkRows_, bool kHasLogMass_ = true>
struct Sm90Config {
  static constexpr int kTileBatch = kTileBatch_;
  static constexpr int kTileVocab = kTileVocab_;
  static constexpr int kTileHidden = kTileHidden_;
  static constexpr int kWeightStages = kWeightStages_;
  static constexpr int kHiddenStages = kHiddenStages_;
  static constexpr int kClusterSize = kClusterSize_;
  static constexpr bool kHasLogMass = kHasLogMass_;

  static constexpr int kNumBoxes = kTileHidden / kSwizzleColumns;  // copied boxes side by side in a stage
  static constexpr int kWgmmasPerWarpgroup = kTileVocab / (kConsumerWarpgroups * kWgmmaRows);
  static constexpr int kUnitsPerTile = kTileVocab / kUnit;

  // Epilogue: a warp hands its accumulators over in chunks of kChunkRows batch rows by one unit of tokens.
  static constexpr int kChunkRows = kChunkRows_;
  static constexpr int kChunksPerUnit = kTileBatch / kChunkRows;
  static constexpr int kLanesPerRow = kWarpSize / kChunkRows;
  static constexpr int kPairsPerLane = (kUnit / 2) / kLanesPerRow;  // token pairs (t, t + 8) of one lane
  static constexpr int kChunkStride = kUnit + 4;  // floats; keeps 16-byte reads free of bank conflicts

  // Wide batches: noise drawn ahead, survivors queued (winner_filter.cuh). A warp's queue shares memory with its chunk.
  static constexpr bool kHasFilter = kTileBatch >= 64;
  static constexpr int kQueueSize = kChunkRows * kChunkStride * 4 / 8;

  static constexpr int kWeightBoxBytes = kTileVocab * kSwizzleColumns * 2;
  static constexpr int kHiddenBoxBytes = kTileBatch * kSwizzleColumns * 2;

  static_assert(kTileVocab % (kConsumerWarpgroups * kWgmmaRows) == 0,
                "a warpgroup multiplies whole blocks of 64 tokens");
  static_assert(kTileBatch % kChunkRows == 0 && 32 % kChunkRows == 0 && kChunkRows >= 8, "a chunk fills a warp");
  static_assert(kTileVocab <= 256, "a box of a tensor map has at most 256 rows");
  static_assert(kTileHidden % kSwizzleColumns == 0, "a stage is made of boxes of 64 columns");
  static_assert(kTileBatch * kWgmmasPerWarpgroup <= 256, "accumulators take at most 128 registers of a thread");
  static_assert(kTileBatch / kClusterSize >= 8, "every block of a cluster copies whole groups of 8 rows");
  static_assert(kHiddenBoxBytes / kClusterSize % 1024 == 0, "parts of a box start at the swizzle's alignment");
};

// A token that may win: its logit and place = 256 * (token id - first token of the shard's first unit) + row.
struct Survivor {
  float logit;
  uint32_t place;
};

// What the tests of a row's tokens compare: log2(e) / temperature, and the bound of winner_filter.cuh.
struct RowFilter {
  float scale, bound;
};

// Shared memory of one block.
template <class Config>
struct alignas(1024) Sm90Shared {
  uint8_t weight[Config::kWeightStages][Config::kNumBoxes][Config::kWeightBoxBytes];
  uint8_t hidden[Config::kHiddenStages][Config::kNumBoxes][Config::kHiddenBoxBytes];
  union {
    float chunk[kConsumerWarps][Config::kChunkRows * Config::kChunkStride];
    Survivor queue[kConsumerWarps][Config::kQueueSize];
  };
  alignas(16) uint8_t
      codes[Config::kHasFilter ? Config::kUnitsPerTile : 1][kUnit / 2 * Config::kTileBatch];  // winner_filter.cuh
  float2 log_mass[kConsumerWarps][Config::kHasLogMass ? Config::kTileBatch : 1];              // {reference logit, sum}
  uint64_t best[kMaxSlots];  // packed running winners of the block; kNotDrawn where there is nothing to draw
  RowKey keys[kMaxSlots];
  RowFilter filters[Config::kTileBatch];
  float divisors[Config::kTileBatch];  // of the logits; negative: greedy, no noise
  union {
    uint32_t lower_bounds[Config::kHasFilter ? Config::kTileBatch : 1];  // ordered bits; 0: none. In the first tile
    float mass_offsets[Config::kHasFilter ? Config::kTileBatch : 1];     // what log-masses refer to. From then on
  };
  uint64_t weight_full[Config::kWeightStages], weight_empty[Config::kWeightStages];
  uint64_t hidden_full[Config::kHiddenStages], hidden_empty[Config::kHiddenStages];
  uint64_t state_full, queue_full, queue_empty;
  uint32_t queue_size[kConsumerWarps];
  uint32_t row_flags[(Config::kTileBatch + 31) / 32];
  bool is_last_block;

#if defined(__CUDACC__)
  FS_DEVICE bool is_drawn(int slot) const { return best[slot] != kNotDrawn; }
  FS_DEVICE bool is_greedy(int row) const { return divisors[row] < 0.f; }
#endif
};

}  // namespace flashsampling
