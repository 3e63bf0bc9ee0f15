// Wide batches: the noise is drawn while the tile is still being multiplied, and most tokens are dismissed without it.
//
// Three warps beside the loader write, for every token and row of the tile in progress, a code of 4 bits: the leading zeros of
// the noise's 32 bits (v < 2^-code, and v >= 2^-(code+1) below 15). When the products are there, a consumer thread tests its
// accumulators where they are: with score <= logit - ln(v), a token may be dismissed when
//     logit * log2(e) / temperature + code + 1 < best * log2(e).
// The few that remain go to a queue, and the same three warps score them exactly, during the next tile's multiplication.
// So of the whole epilogue about five instructions per token stand between two tiles' multiplications.
//
// The first tile has no best score yet; it takes lower bounds of its own scores: logit - ln(E) with E = -log1p(-v) <= v / (1 - v).
//
// Plain draws alone come here: one draw a row, no log-mass, no bias, no mask. Everything else, and a queue that overflows,
// takes the general path of epilogue.cuh; both find the same winners, for both only dismiss what cannot win.
#pragma once

#include "../common/score.h"
#include "config.h"
#include "epilogue.cuh"
#include "ptx.cuh"

namespace flashsampling {

constexpr int kNoiseWarps = 3;
constexpr int kNoiseThreads = kNoiseWarps * kWarpSize;

// Code for "15 or more leading zeros": no upper bound of the noise, such tokens always pass.
constexpr uint32_t kOpenCode = 15;

// A row's best score (natural units) as the right-hand side of the test: dismissed when logit * scale + code < bound.
FS_DEVICE float filter_bound(float best, bool is_greedy) {
  // The same margin as exponent_offset(); the test's own multiply-add adds one more rounding of that size.
  return best * kLog2OfE - (fabsf(best) + 32.f) * 0x1p-19f - 0x1p-9f - (is_greedy ? 0.f : 1.f);
}

// The code at kShift bits of a word of four codes, as fp32: set into the mantissa of 2^(23 - kShift), where its lowest bit
// weighs 1.
template <int kShift>
FS_DEVICE float code_at(uint32_t codes) {
  constexpr uint32_t kMagic = (127u + 23u - kShift) << 23;
  return __uint_as_float((codes & (0xFu << kShift)) | kMagic) - static_cast<float>(1u << (23 - kShift));
}

FS_DEVICE bool has_open_code(uint32_t codes) {
  const uint32_t twos = codes & (codes >> 1);
  return (twos & (twos >> 2) & 0x11111111u) != 0;
}

// --- Noise warps ---

// Codes of one tile. Word [unit][jj][lane] holds the 8 codes of batch rows 16 jj + 8 h + 2 (lane % 4) + k and tokens
// lane / 4 + 8 i of the unit, at bit 16 h + 8 i + 4 k: just those whose accumulators the consumer's lane holds.
template <class Config>
FS_DEVICE void write_codes(Sm90Shared<Config>* shared, NoiseScheme scheme, uint32_t first_unit, uint32_t num_units,
                           int noise_warp_idx, int lane_idx) {
  constexpr int kWordsPerUnit = Config::kTileBatch / 16;
  const int num_items = num_units * kWordsPerUnit;
#pragma unroll 1
  for (int item = noise_warp_idx; item < num_items; item += kNoiseWarps) {
    const uint32_t unit = item / kWordsPerUnit;
    const int jj = item % kWordsPerUnit;
    const uint32_t unit_token = (first_unit + unit) * kUnit;
    uint32_t codes = 0;
    if (scheme == NoiseScheme::kFlash) {
#pragma unroll
      for (int h = 0; h < 2; h++) {
#pragma unroll
        for (int k = 0; k < 2; k++) {
          const RowKey key = shared->keys[16 * jj + 8 * h + 2 * (lane_idx % 4) + k];
          const Philox2 words = flash_pair_bits(key, unit_token / 2 + lane_idx / 4);
          codes |= min(__clz(words.x), static_cast<int>(kOpenCode)) << (16 * h + 4 * k);
          codes |= min(__clz(words.y), static_cast<int>(kOpenCode)) << (16 * h + 8 + 4 * k);
        }
      }
    } else {
#pragma unroll 1
      for (int e = 0; e < 8; e++) {
        const RowKey key = shared->keys[16 * jj + 8 * (e / 4) + 2 * (lane_idx % 4) + e % 2];
        const uint32_t bits = vllm_bits(key, unit_token + lane_idx / 4 + 8 * (e / 2 % 2));
        codes |= min(__clz(vllm_integer(bits) << 1), static_cast<int>(kOpenCode)) << (4 * e);
      }
    }
    shared->codes[unit][jj][lane_idx] = codes;
  }
}

// Scores what a tile left in the queues.
template <class Config>
FS_DEVICE void score_queues(Sm90Shared<Config>* shared, const EpilogueArgs& args, uint32_t origin_token, int noise_warp_idx,
                            int lane_idx) {
  for (int warp = noise_warp_idx; warp < kConsumerWarps; warp += kNoiseWarps) {
    const int count = shared->queue_size[warp];
    for (int entry = lane_idx; entry < count; entry += kWarpSize) {
      const Survivor survivor = shared->queue[warp][entry];
      const int row = survivor.place % 256;
      const uint32_t token_id = origin_token + survivor.place / 256;
      const float logit = survivor.logit;
      if (row >= static_cast<int>(args.num_rows) || token_id < args.token_begin || token_id >= args.token_end) continue;
      if (is_invalid_logit(logit)) {
        atomicOr(&shared->row_flags[row / 32], 1u << (row % 32));
        continue;
      }
      if (logit == -INFINITY) continue;
      const uint64_t candidate = pack_candidate(
          score_of(args.noise_scheme, logit, shared->divisors[row], shared->keys[row], token_id), token_id);
      if (candidate > *const_cast<volatile uint64_t*>(&shared->best[row])) {
        atomicMax(reinterpret_cast<unsigned long long*>(&shared->best[row]), static_cast<unsigned long long>(candidate));
      }
    }
  }
}

// Exchanges winners with the other blocks and renews the rows' bounds.
template <class Config>
FS_DEVICE void exchange_winners(Sm90Shared<Config>* shared, const EpilogueArgs& args, Workspace* workspace, int noise_thread_idx) {
  for (int row = noise_thread_idx; row < static_cast<int>(args.num_rows); row += kNoiseThreads) {
    if (!shared->is_drawn(row)) continue;
    uint64_t best = shared->best[row];
    const uint64_t other = *reinterpret_cast<volatile uint64_t*>(&workspace->best[row]);
    if (best > other) {
      atomicMax(reinterpret_cast<unsigned long long*>(&workspace->best[row]), static_cast<unsigned long long>(best));
    } else if (other > best) {
      shared->best[row] = best = other;
    }
    if (best != kNoCandidate) {
      shared->filters[row].bound = filter_bound(candidate_score(best), shared->divisors[row] < 0.f);
    }
  }
}

// --- Consumers ---

template <class Config>
struct NoiseFilter {
  static constexpr int kColumns = Config::kTileBatch / 8;  // groups of 8 batch rows

  Sm90Shared<Config>* shared;
  int warp_idx, lane_idx;

  // Lower bounds of the rows' best scores (as powers of two), from one unit's products and codes.
  FS_DEVICE void bound_rows(const float (&accumulators)[Config::kTileBatch / 2], uint32_t unit) {
    const int g = lane_idx / 4;
#pragma unroll
    for (int j0 = 0; j0 < kColumns; j0 += 4) {
      float lower[8];
#pragma unroll
      for (int j = 0; j < 4; j += 2) {
        const uint32_t word = shared->codes[unit][(j0 + j) / 2][lane_idx];
#pragma unroll
        for (int h = 0; h < 2; h++) {
          const uint32_t codes = word >> (16 * h);
          const float4 filter = load_filters(j0 + j + h);
          const float* a = &accumulators[4 * (j0 + j + h)];
          lower[2 * (j + h)] = fmaxf(lower_bound(a[0], filter.x, filter.y, code_at<0>(codes)),
                                     lower_bound(a[2], filter.x, filter.y, code_at<8>(codes)));
          lower[2 * (j + h) + 1] = fmaxf(lower_bound(a[1], filter.z, filter.w, code_at<4>(codes)),
                                         lower_bound(a[3], filter.z, filter.w, code_at<12>(codes)));
        }
      }
      // The 8 lanes of one quad column hold different tokens of the same 8 rows: halving the rows at each step leaves one row
      // to each lane.
#pragma unroll
      for (int half = 4; half >= 1; half /= 2) {
        const bool upper = (g & half) != 0;
#pragma unroll
        for (int i = 0; i < half; i++) {
          const float sent = upper ? lower[i] : lower[i + half];
          const float kept = upper ? lower[i + half] : lower[i];
          lower[i] = fmaxf(kept, __shfl_xor_sync(0xFFFFFFFFu, sent, 4 * half));
        }
      }
      const int row = 8 * (j0 + g / 2) + 2 * (lane_idx % 4) + g % 2;
      if (lower[0] > -INFINITY) atomicMax(&shared->lower_bounds[row], ordered_bits(lower[0]));
    }
  }

  // After all warps' bound_rows(): the filters' bounds of the first tile.
  FS_DEVICE void start_bounds(int row, uint32_t num_rows) {
    if (row >= Config::kTileBatch || row >= static_cast<int>(num_rows) || !shared->is_drawn(row)) return;
    const uint32_t ordered = shared->lower_bounds[row];
    const float best = ordered != 0 ? from_ordered_bits(ordered) * kLn2 : -INFINITY;
    shared->filters[row].bound = ordered != 0 ? filter_bound(best, shared->divisors[row] < 0.f) : -INFINITY;
  }

  // Queues what may win. false: the queue was too short, and the unit must go the general way.
  FS_DEVICE bool queue_survivors(const float (&accumulators)[Config::kTileBatch / 2], uint32_t unit, uint32_t unit_offset) {
    bool fits = true;
#pragma unroll
    for (int jj = 0; jj < kColumns / 2; jj++) {
      const uint32_t word = shared->codes[unit][jj][lane_idx];
      const bool is_open = has_open_code(word);
#pragma unroll
      for (int h = 0; h < 2; h++) {
        const int j = 2 * jj + h;
        const uint32_t codes = word >> (16 * h);
        const float4 filter = load_filters(j);
        const float* a = &accumulators[4 * j];
        // NaN passes every comparison.
        const bool passes = is_open | !(fmaf(a[0], filter.x, code_at<0>(codes)) < filter.y) |
                            !(fmaf(a[1], filter.z, code_at<4>(codes)) < filter.w) |
                            !(fmaf(a[2], filter.x, code_at<8>(codes)) < filter.y) |
                            !(fmaf(a[3], filter.z, code_at<12>(codes)) < filter.w);
        if (passes) {
          const uint32_t place = (unit_offset + lane_idx / 4) * 256 + 8 * j + 2 * (lane_idx % 4);
          fits &= queue_one<0>(a[0], filter.x, filter.y, codes, place);
          fits &= queue_one<4>(a[1], filter.z, filter.w, codes, place + 1);
          fits &= queue_one<8>(a[2], filter.x, filter.y, codes, place + 8 * 256);
          fits &= queue_one<12>(a[3], filter.z, filter.w, codes, place + 8 * 256 + 1);
        }
      }
    }
    return fits;
  }

 private:
  // {scale, bound} of the thread's two rows in group j.
  FS_DEVICE float4 load_filters(int j) {
    return *reinterpret_cast<const float4*>(&shared->filters[8 * j + 2 * (lane_idx % 4)]);
  }

  // `noise_weight`: 1, or 0 for a greedy row; NaN and -infinity bound nothing. log2(1 - 2^-code) >= -0.4151 from code 2 on.
  FS_DEVICE static float lower_bound(float logit, float scale, float noise_weight, float code) {
    return code >= 2.f ? fmaf(code - 0.416f, noise_weight, logit * scale) : -INFINITY;
  }

  template <int kShift>
  FS_DEVICE bool queue_one(float logit, float scale, float bound, uint32_t codes, uint32_t place) {
    const bool is_open = ((codes >> kShift) & 0xFu) == kOpenCode;
    if (fmaf(logit, scale, code_at<kShift>(codes)) < bound && !(is_open && bound < INFINITY)) return true;
    const uint32_t entry = atomicAdd(&shared->queue_size[warp_idx], 1u);
    if (entry >= Config::kQueueSize) return false;
    shared->queue[warp_idx][entry] = {logit, place};
    return true;
  }
};

}  // namespace flashsampling
