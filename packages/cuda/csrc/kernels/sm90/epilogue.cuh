// Epilogue of one tile: accumulators -> transformed logits -> perturbed scores -> running winners, and the log-mass if
// wanted.
//
// A warp holds 16 tokens (a unit) x kTileBatch rows per wgmma. It hands them through shared memory in chunks, so that
// each lane gets the logits of one batch row: the row's Philox key schedule, scale and best score then live in
// registers.
//
// Most tokens are hopeless, and for them no logarithm is taken. A token wins only if logit - ln(E) >= best with
// E = -log1p(-v) >= v, so it may be dropped when v >= exp(logit - best). The test costs one multiply-add, one
// ex2.approx and a comparison; what survives (about one token in thousands) is computed exactly as docs/noise.md says.
// NaN survives every test.
#pragma once

#include "../common/candidate.h"
#include "../common/noise.h"
#include "../common/sample_params.h"
#include "../common/score.h"
#include "../epilogue/raise_best.cuh"
#include "config.h"
#include "ptx.cuh"

namespace flashsampling {

constexpr float kLog2OfE = WinnerFilter::kLog2E;
constexpr float kLn2 = WinnerFilter::kLn2;

// What is the same for every tile of a pass.
struct EpilogueArgs {
  const float* logit_bias;  // null or [batch_size, ...] by global token id, at the pass's first row
  int64_t logit_bias_stride;
  const int32_t* allowed_tokens;  // null or [batch_size, words], at the pass's first row
  int64_t allowed_tokens_stride;
  uint32_t token_begin, token_last;  // tokens of this shard; inclusive, as the end may be 2^32
  uint32_t num_rows;                 // rows of this batch tile
  uint32_t num_draws;                // draws of this pass
  NoiseScheme noise_scheme;
  bool wants_log_mass;
  bool log_mass_is_raw;
};

// Upper bound of best in the filter's exponent: rounding of logit * scale, of the score and of ex2.approx stay below
// it. Derived: each of the five roundings involved is at most 2^-22 of (|best| + 23); ex2.approx adds 2^-22, the noise
// 1e-5. Everything passes NaN (no best score yet), and crowded scores, which are no quotients.
FS_DEVICE float exponent_offset(float best) {
  const float offset = fmaf(-best, kLog2OfE, (fabsf(best) + 32.f) * 0x1p-20f + 0x1p-10f);
  return fabsf(best) < kCrowded ? offset : INFINITY;
}

// 1 + v truncated to 23 bits: the low bits of a float in [1, 2).
FS_DEVICE float one_plus_uniform(uint32_t bits) { return __uint_as_float(__funnelshift_r(bits, 0x7Fu, 9)); }

// The score of one token, exactly as docs/noise.md says.
FS_DEVICE float score_of(NoiseScheme scheme, float logit, float divisor, RowKey key, uint32_t token_id) {
  if (divisor < 0.f) return logit;
  return apply_temperature(logit, divisor) + token_gumbel(scheme, token_bits(scheme, key, token_id));
}

template <class Config>
struct Epilogue {
  static constexpr int kPairs = Config::kPairsPerLane;

  EpilogueArgs args;
  Sm90Shared<Config>* shared;
  float* chunk;      // this warp's
  int warp_idx;      // consumer warp
  int row_in_chunk;  // batch row of this lane inside a chunk
  int pair_begin;    // first token pair of this lane inside a unit

  FS_DEVICE Epilogue(const EpilogueArgs& args_, Sm90Shared<Config>* shared_, int warp_idx_, int lane_idx)
      : args(args_), shared(shared_), chunk(shared_->chunk[warp_idx_]), warp_idx(warp_idx_),
        row_in_chunk(lane_idx % Config::kChunkRows), pair_begin(lane_idx / Config::kChunkRows * kPairs) {}

  // Writes kChunkRows columns of the accumulators of one wgmma, beginning at column kFirst, as chunk[row][token].
  template <int kFirst, int kCount>
  FS_DEVICE void store_chunk(const float (&accumulators)[kCount], int lane_idx) {
    float* destination = chunk + (lane_idx % 4) * 2 * Config::kChunkStride + lane_idx / 4;
#pragma unroll
    for (int j = 0; j < Config::kChunkRows / 8; j++) {
#pragma unroll
      for (int k = 0; k < 2; k++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          destination[(8 * j + k) * Config::kChunkStride + 8 * i] = accumulators[kFirst / 2 + 4 * j + 2 * i + k];
        }
      }
    }
  }

  FS_DEVICE float* lane_chunk() { return chunk + row_in_chunk * Config::kChunkStride + pair_begin; }

  // Reads the lane's logits: a[i] is token unit_token + pair_begin + i, a[kPairs + i] eight tokens later.
  FS_DEVICE void load_chunk(float (&a)[2 * kPairs]) {
    constexpr int kVector = kPairs < 4 ? 2 : 4;
    const float* source = lane_chunk();
#pragma unroll
    for (int half = 0; half < 2; half++) {
#pragma unroll
      for (int i = 0; i < kPairs; i += kVector) {
        if constexpr (kVector == 4) {
          const float4 v = *reinterpret_cast<const float4*>(source + 8 * half + i);
          a[kPairs * half + i] = v.x, a[kPairs * half + i + 1] = v.y;
          a[kPairs * half + i + 2] = v.z, a[kPairs * half + i + 3] = v.w;
        } else {
          const float2 v = *reinterpret_cast<const float2*>(source + 8 * half + i);
          a[kPairs * half + i] = v.x, a[kPairs * half + i + 1] = v.y;
        }
      }
    }
  }

  FS_DEVICE static uint32_t token_of(uint32_t unit_token, int pair_begin, int index) {
    return unit_token + pair_begin + (index < kPairs ? index : index - kPairs + 8);
  }

  FS_DEVICE bool is_in_shard(uint32_t token_id) const {
    return token_id >= args.token_begin && token_id <= args.token_last;
  }

  // One chunk of one unit: into the log-mass, into the running winners, or both.
  FS_DEVICE void process_chunk(uint32_t unit_token, int first_row, bool adds_log_mass, bool draws) {
    const int row = first_row + row_in_chunk;
    const float scale = shared->filters[row].scale;
    float a[2 * kPairs];
    load_chunk(a);
    const bool is_whole = is_in_shard(unit_token) && is_in_shard(unit_token + kUnit - 1);
    if (adds_log_mass && args.log_mass_is_raw) add_log_mass(a, kLog2OfE, row, unit_token, is_whole);
    if (args.logit_bias != nullptr || args.allowed_tokens != nullptr) {
      transform(a, unit_token, row);
    }
    if (adds_log_mass && !args.log_mass_is_raw) add_log_mass(a, scale, row, unit_token, is_whole);
    if (!draws) return;
    for (uint32_t draw = 0; draw < args.num_draws; draw++) {
      const int slot = draw * Config::kTileBatch + row;
      const RowKey key = shared->keys[slot];
      const uint64_t stored = shared->best[slot];
      float best = candidate_score(stored);
      // Without a winner so far (NaN) every token would pass and be scored in full: a rough bound of the chunk's own
      // scores spares that.
      if (__any_sync(kAllLanes, best != best) && is_whole && args.noise_scheme == NoiseScheme::kFlash) {
        const float rough = rough_best(a, unit_token, key, scale, shared->divisors[row]);
        if (best != best && rough > -INFINITY) best = rough;
      }
      const float offset = stored == kNotDrawn ? -INFINITY : exponent_offset(best);
      const uint32_t survivors = args.noise_scheme == NoiseScheme::kFlash
                                     ? survivors_flash(a, unit_token, key, scale, offset)
                                     : survivors_vllm(unit_token, key, scale, offset);
      if (__any_sync(kAllLanes, survivors != 0)) score_survivors(survivors, unit_token, row, slot);
    }
  }

  // Adds the bias and masks; the lane's logits in shared memory follow, for update_winner().
  FS_DEVICE void transform(float (&a)[2 * kPairs], uint32_t unit_token, int row) {
    const bool is_row = row < static_cast<int>(args.num_rows);
    uint32_t allowed = 0xFFFFFFFFu;
    if (args.allowed_tokens != nullptr && is_row) {
      allowed = static_cast<uint32_t>(args.allowed_tokens[row * args.allowed_tokens_stride + (unit_token >> 5)]) >>
                (unit_token & 16u);
    }
    const float* bias = args.logit_bias != nullptr && is_row ? args.logit_bias + row * args.logit_bias_stride : nullptr;
    float* logits = lane_chunk();
#pragma unroll
    for (int i = 0; i < 2 * kPairs; i++) {
      const uint32_t token_id = token_of(unit_token, pair_begin, i);
      if (bias != nullptr && is_in_shard(token_id)) a[i] += bias[token_id];
      // NaN and +infinity stay, so that they are reported whether masked or not.
      if (((allowed >> (token_id & 15u)) & 1u) == 0 && a[i] < INFINITY) a[i] = -INFINITY;
      logits[i < kPairs ? i : i - kPairs + 8] = a[i];
    }
  }

  // Bit i: token i of the lane may beat the best score.
  FS_DEVICE uint32_t survivors_flash(const float (&a)[2 * kPairs], uint32_t unit_token, RowKey key, float scale,
                                     float offset) {
    uint32_t survivors = 0;
    const uint32_t pair = (unit_token >> 1) + pair_begin;
#pragma unroll
    for (int i = 0; i < kPairs; i++) {
      const Philox2 words = flash_pair_bits(key, pair + i);
      if (!(one_plus_uniform(words.x) - 1.f >= rough_exp2(fmaf(a[i], scale, offset)))) survivors |= 1u << i;
      if (!(one_plus_uniform(words.y) - 1.f >= rough_exp2(fmaf(a[kPairs + i], scale, offset))))
        survivors |= 1u << (kPairs + i);
    }
    return survivors;
  }

  // One Philox call per token; reads shared memory in a rolled loop, as unrolled it takes more registers than there
  // are.
  FS_DEVICE uint32_t survivors_vllm(uint32_t unit_token, RowKey key, float scale, float offset) {
    uint32_t survivors = 0;
    const float* logits = lane_chunk();
#pragma unroll 2
    for (int i = 0; i < 2 * kPairs; i++) {
      const uint32_t bits = vllm_bits(key, token_of(unit_token, pair_begin, i));
      const float logit = logits[i < kPairs ? i : i - kPairs + 8];
      if (!(one_plus_uniform(vllm_integer(bits) << 1) - 1.f >= rough_exp2(fmaf(logit, scale, offset))))
        survivors |= 1u << i;
    }
    return survivors;
  }

  // A lower bound of the lane's best score, less than 1e-3 below where v is small: from E = -log1p(-v) <= v / (1 - v).
  FS_DEVICE float rough_best(const float (&a)[2 * kPairs], uint32_t unit_token, RowKey key, float scale,
                             float divisor) {
    float best = -INFINITY;
    const uint32_t pair = (unit_token >> 1) + pair_begin;
    const bool is_greedy = divisor < 0.f;
    const auto bound = [&](float logit, uint32_t bits) {
      const float odds = rough_log2(static_cast<float>(~bits) + 0.5f) - rough_log2(static_cast<float>(bits) + 0.5f);
      best = fmaxf(best, fmaf(logit, scale, is_greedy ? 0.f : odds));
    };
#pragma unroll
    for (int i = 0; i < kPairs; i++) {
      const Philox2 words = flash_pair_bits(key, pair + i);
      bound(a[i], words.x);
      bound(a[kPairs + i], words.y);
    }
    // exponent_offset() adds its margin to a score; the rough logarithms' error comes on top.
    return best * kLn2 - 1e-4f - fabsf(best) * 0x1p-19f;
  }

  // The exact path. Rolled loops and shared-memory reads: it is rare, and its code must not push the common path out of
  // the instruction cache. Lanes take their own survivors side by side.
  FS_DEVICE void score_survivors(uint32_t survivors, uint32_t unit_token, int row, int slot) {
    const RowKey key = shared->keys[slot];
    const float divisor = shared->divisors[row];
    const float* logits = lane_chunk();
    uint64_t winner = kNoCandidate;
#pragma unroll 1
    while (survivors != 0) {
      const int i = __ffs(survivors) - 1;
      survivors &= survivors - 1;
      const uint32_t token_id = token_of(unit_token, pair_begin, i);
      const float logit = logits[i < kPairs ? i : i - kPairs + 8];
      if (!is_in_shard(token_id)) continue;
      if (is_invalid_logit(logit)) {
        if (row < static_cast<int>(args.num_rows)) atomicOr(&shared->row_flags[row / 32], 1u << (row % 32));
        continue;
      }
      if (logit == -INFINITY) continue;
      const uint64_t candidate = pack_candidate(score_of(args.noise_scheme, logit, divisor, key, token_id), token_id);
      winner = candidate > winner ? candidate : winner;
    }
    if (winner > shared->best[slot] && row < static_cast<int>(args.num_rows)) {
      raise_best(&shared->best[slot], winner);
    }
  }

  // Adds the lane's tokens to its row's log-mass, kept per warp: the sum of 2^((logit - reference) * scale).
  FS_DEVICE void add_log_mass(const float (&a)[2 * kPairs], float scale, int row, uint32_t unit_token, bool is_whole) {
    float2 mass = shared->log_mass[warp_idx][row];
    float largest = -INFINITY;
    float masked[2 * kPairs];
#pragma unroll
    for (int i = 0; i < 2 * kPairs; i++) {
      masked[i] = is_whole || is_in_shard(token_of(unit_token, pair_begin, i)) ? a[i] : -INFINITY;
      largest = fmaxf(largest, masked[i]);
    }
#pragma unroll
    for (int lanes = Config::kChunkRows; lanes < kWarpSize; lanes *= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, lanes));
    }
    // Far from overflow the reference stays, which saves the rescaling. Differences are taken before they are scaled:
    // at low temperatures the scaled logits alone are too large for that.
    if (mass.y == 0.f) {
      mass.x = largest;
    } else if ((largest - mass.x) * scale > 40.f) {
      mass.y *= rough_exp2((mass.x - largest) * scale);
      mass.x = largest;
    }
    float sum = 0.f;
    if (largest > -INFINITY) {
#pragma unroll
      for (int i = 0; i < 2 * kPairs; i++)
        sum += rough_exp2((masked[i] - mass.x) * scale);
    }
#pragma unroll
    for (int lanes = Config::kChunkRows; lanes < kWarpSize; lanes *= 2)
      sum += __shfl_xor_sync(kAllLanes, sum, lanes);
    __syncwarp();  // the other lanes of the row have read it
    if (pair_begin == 0) shared->log_mass[warp_idx][row] = {mass.x, mass.y + sum};
  }
};

}  // namespace flashsampling
