// Layout of the workspace. Fixed, whatever the shape, so that calls of different shapes may follow each other in one
// workspace.
//
//   [0, kZeroedBytes)  must be zero when a kernel starts; the last block of every kernel leaves it zero again
//   then               scratch without a state between calls
#pragma once

#include <cstdint>

#include "candidate.h"

namespace flashsampling {

constexpr int kWarpSize = 32;
constexpr uint32_t kAllLanes = 0xFFFFFFFFu;  // of a warp, in votes and shuffles

// Rows of one batch tile: the widest N of wgmma.
constexpr uint32_t kMaxTileBatch = 256;
// (row, draw) pairs that one kernel pass serves; more draws take more passes.
constexpr uint32_t kMaxSlots = 256;
// Blocks of one pass: at least the multiprocessors of any device served.
constexpr uint32_t kMaxBlocks = 264;

struct Workspace {
  // --- Zeroed ---
  uint32_t num_blocks_arrived;  // blocks of this pass that published their winners
  uint32_t reserved[63];
  uint64_t best[kMaxSlots];           // packed winners, merged by atomicMax
  uint32_t row_flags[kMaxTileBatch];  // nonzero: the row has a NaN or +infinity
  // --- Scratch ---
  // ln of every part's mass, block by block: threads that each take a row read neighbouring words.
  float log_sum_exp[kMaxBlocks][kMaxTileBatch];
};

constexpr uint64_t kZeroedBytes =
    sizeof(uint32_t) * 64 + sizeof(uint64_t) * kMaxSlots + sizeof(uint32_t) * kMaxTileBatch;
static_assert(sizeof(Workspace) < (1u << 20), "the contract promises a workspace below 1 MiB");

}  // namespace flashsampling
