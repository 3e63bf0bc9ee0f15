// Tile shapes of the portable kernel, and what the launcher must know about them.
#pragma once

#include <cstdint>

#include "common/log_mass.h"
#include "common/noise.h"
#include "common/workspace.h"

namespace flashsampling::smxx {

// Tokens t and t + 8 of a group share one Philox call; groups are counted in global token ids.
constexpr uint32_t kGroup = 16;
constexpr int kNumThreads = 256;
constexpr int kNumWarps = kNumThreads / 32;
constexpr int kTileVocab = 128;
constexpr int kTileHidden = 64;
constexpr int kRowBytes = kTileHidden * 2;  // of a tile's row in shared memory: eight chunks of 16 bytes
constexpr uint32_t kWidths[] = {8, 16, 32, 64, 128};

template <int kTileBatch_>
struct Config {
  static constexpr int kTileBatch = kTileBatch_;
  // Derived: stages of 17 to 32 KiB, three (narrow) or two (wide) of them under way. Widths to 64 fit the 99 KiB of
  // sm_86; two blocks fit an sm_90 at every width, so that one block's epilogue hides behind the other's loads.
  static constexpr int kNumStages = kTileBatch <= 32 ? 4 : 3;
  static constexpr int kWarpsBatch = kTileBatch <= 32 ? 1 : kTileBatch / 32;
  static constexpr int kWarpsVocab = kNumWarps / kWarpsBatch;
  static constexpr int kWarpBatch = kTileBatch / kWarpsBatch;
  static constexpr int kWarpVocab = kTileVocab / kWarpsVocab;
  static constexpr int kMmaBatch = kWarpBatch / 8;   // mma tiles of a warp along the batch
  static constexpr int kMmaVocab = kWarpVocab / 16;  // and along the vocabulary
  static_assert(kTileBatch % 8 == 0 && kWarpVocab % 16 == 0, "whole mma tiles");
};

struct RowState {
  float divisor;
  float scale;  // WinnerFilter::scale()
  uint32_t is_greedy;
};

template <class Config>
struct Shared {
  // Row r's chunk c lies at chunk c ^ (r % 8), which frees ldmatrix and cp.async of bank conflicts.
  alignas(128) uint8_t weight[Config::kNumStages][kTileVocab * kRowBytes];
  alignas(128) uint8_t hidden[Config::kNumStages][Config::kTileBatch * kRowBytes];
  uint64_t best[kMaxSlots];  // packed winners of this block
  RowKey keys[kMaxSlots];
  float offset[kMaxSlots];  // WinnerFilter::offset() of best, one tile late
  RowState rows[Config::kTileBatch];
  uint32_t row_flags[Config::kTileBatch];
  LogMass log_mass[Config::kWarpsVocab][Config::kTileBatch];
  float row_log_sum_exp[Config::kTileBatch];
};

}  // namespace flashsampling::smxx
