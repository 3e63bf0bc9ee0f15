// Wide batches: the noise is drawn while the tile is still being multiplied, and most tokens are dismissed without more
// of it.
//
// Between two steps of the multiplication, while the tensor cores are busy, the consumer warps draw the noise of the
// tokens whose products they will hold, and keep 4 bits of each: one more than the leading zeros of the 32 random bits,
// so that 2^-code <= v < 2^-(code-1). When the products are there, every thread tests its accumulators where they are:
// with score <= logit - ln(v), a token may be dismissed when
//     logit * log2(e) / temperature + code < best * log2(e).
// The few that remain go to a queue, and two warps of their own score them exactly during the next tile's
// multiplication. So of the whole epilogue about five instructions per token stand between two tiles' multiplications.
//
// The first tile has no best score yet; it takes lower bounds of its own scores: logit - ln(E) with E = -log1p(-v) <= v
// / (1 - v).
//
// Requests with one draw a row and no bias come here. The others, and what a queue has no room for, take the general
// path of epilogue.cuh; both find the same winners, for both only dismiss what cannot win.
#pragma once

#include "../common/score.h"
#include "config.h"
#include "epilogue.cuh"
#include "ptx.cuh"

namespace flashsampling {

// Code of tokens that are masked or outside the shard: they pass no test.
constexpr uint32_t kClosedCode = 0;
// Code of greedy rows, which have no noise: their bound allows for it. Large enough for lower_bound().
constexpr uint32_t kGreedyCode = 3;
// Code for 14 or more leading zeros: no upper bound of the noise, such tokens always pass.
constexpr uint32_t kOpenCode = 15;

// A row's best score (natural units) as the right-hand side of the test: dismissed when logit * scale + code < bound.
// Nothing is dismissed by crowded scores, which are no quotients.
FS_DEVICE float filter_bound(float best, bool is_greedy) {
  if (!(fabsf(best) < kCrowded)) return -INFINITY;
  // The same margin as exponent_offset(); the test's own multiply-add adds one more rounding of that size.
  const float margin = (fabsf(best) + 32.f) * 0x1p-19f + 0x1p-9f;
  return best * kLog2OfE - margin + (is_greedy ? static_cast<float>(kGreedyCode) : 0.f);
}

// What a row's log-mass refers to, as a power of two, from its best score as one. NaN where a score says too little
// about logits, so that sums would vanish: scores that are rounded to whole powers, and raw logits at temperatures
// above 2.
FS_DEVICE float mass_offset(float best_exponent, float scale, bool is_raw) {
  const bool is_close = fabsf(best_exponent) < 0x1p20f && (!is_raw || scale > 0.5f * kLog2OfE);
  if (!is_close) return NAN;
  return is_raw ? best_exponent * (kLog2OfE / scale) : best_exponent;
}

// The code at kShift bits of a word of four codes, as fp32: set into the mantissa of 2^(23 - kShift), where its lowest
// bit weighs 1.
template <int kShift>
FS_DEVICE float code_at(uint32_t codes) {
  constexpr uint32_t kMagic = (127u + 23u - kShift) << 23;
  return __uint_as_float((codes & (0xFu << kShift)) | kMagic) - static_cast<float>(1u << (23 - kShift));
}

FS_DEVICE bool has_open_code(uint32_t codes) {
  const uint32_t twos = codes & (codes >> 1);
  return (twos & (twos >> 2) & 0x11111111u) != 0;
}

// Codes of two tokens, side by side: the second's in the higher half.
FS_DEVICE uint32_t noise_codes(uint32_t first_bits, uint32_t second_bits) {
  uint32_t first, second;  // leading zeros; 2^32 - 1 for bits == 0
  asm("bfind.shiftamt.u32 %0, %1;" : "=r"(first) : "r"(first_bits));
  asm("bfind.shiftamt.u32 %0, %1;" : "=r"(second) : "r"(second_bits));
  return (min(second, kOpenCode - 1) * 16 + min(first, kOpenCode - 1)) + 0x11u;
}

template <class Config>
struct TileFilter {
  static constexpr int kColumns = Config::kTileBatch / 8;                                     // groups of 8 batch rows
  static constexpr int kDraws = Config::kHasFilter ? Config::kTileBatch / kWarpSize * 2 : 1;  // draw_codes() of a unit
  static constexpr int kPieces = Config::kTileBatch / 64;  // of 16 bytes, of one thread's codes of a unit

  Sm90Shared<Config>* shared;
  int warp_idx, lane_idx;
  // For the next draw_codes():
  RowKey next_key;
  bool next_is_greedy;

  // Codes of a unit lie as the products do: chunk 4 g + q has those of the thread with lane 4 g + q, whose products are
  // tokens g and g + 8 and batch rows 8 j + 2 q + k. Byte 2 j + k of a chunk has token g in its low half. Pieces of 16
  // bytes are exchanged so that 8 lanes read from 8 different groups of banks.
  FS_DEVICE static int piece_offset(int chunk, int piece) {
    return 16 * (chunk * kPieces + (piece ^ (chunk * kPieces / 8 & (kPieces - 1))));
  }

  // Draws the noise of 32 batch rows and 4 token pairs of a unit. A lane keeps to one row, whose round keys serve all
  // pairs.
  FS_DEVICE void draw_codes(const EpilogueArgs& args, uint32_t unit, int draw, uint32_t unit_token) {
    constexpr int kPairs = 4;
    const RowKey key = next_key;
    const bool is_greedy = next_is_greedy;
    load_key(draw + 1);
    const int row = draw / 2 * kWarpSize + lane_idx;
    const int first_pair = draw % 2 * kPairs;
    // NOTE: the mask's word is read before the noise and looked at behind it, which hides its latency. Not at 256 rows,
    // where that made plain draws 0.5 to 0.7 % slower; keeping the word from one draw to the next cost them 1 %
    // (docs/findings/hopper-fused-sampler.md).
    constexpr bool kLooksLate = Config::kTileBatch < 256;
    const auto in_unit = [&](uint32_t word) { return word >> (unit_token & 16u); };
    const auto in_shard = [&](uint32_t tokens) {
      if (unit_token < args.token_begin) tokens &= 0xFFFFu << (args.token_begin - unit_token);
      if (args.token_last - unit_token < kUnit) tokens &= 0xFFFFu >> (kUnit - 1 - (args.token_last - unit_token));
      return tokens;
    };
    uint32_t allowed = kLooksLate ? 0xFFFFFFFFu : 0xFFFFu;  // bit i: token unit_token + i; still of a word if late
    if (args.allowed_tokens != nullptr && row < static_cast<int>(args.num_rows)) {
      const int32_t* words = args.allowed_tokens + row * args.allowed_tokens_stride;
      allowed = static_cast<uint32_t>(words[unit_token >> 5]);
      if constexpr (!kLooksLate) allowed = in_unit(allowed);
    }
    if constexpr (!kLooksLate) allowed = in_shard(allowed);
    uint32_t codes[kPairs];
    if (args.noise_scheme == NoiseScheme::kFlash) {
#pragma unroll
      for (int i = 0; i < kPairs; i++) {
        const Philox2 words = flash_pair_bits(key, unit_token / 2 + first_pair + i);
        codes[i] = noise_codes(words.x, words.y);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kPairs; i++) {
        const uint32_t token_id = unit_token + first_pair + i;
        codes[i] =
            noise_codes(vllm_integer(vllm_bits(key, token_id)) << 1, vllm_integer(vllm_bits(key, token_id + 8)) << 1);
      }
    }
    if (is_greedy) {
#pragma unroll
      for (int i = 0; i < kPairs; i++)
        codes[i] = kGreedyCode * 0x11u;
    }
    if constexpr (kLooksLate) allowed = in_shard(in_unit(allowed));
    static_assert(kClosedCode == 0, "codes are closed by clearing them");
    if ((allowed & 0xFFFFu) != 0xFFFFu) {
#pragma unroll
      for (int i = 0; i < kPairs; i++) {
        if ((allowed >> (first_pair + i) & 1u) == 0) codes[i] &= 0xF0u;
        if ((allowed >> (first_pair + i + 8) & 1u) == 0) codes[i] &= 0x0Fu;
      }
    }
    const int byte = row / 8 * 2 + row % 2;
#pragma unroll
    for (int i = 0; i < kPairs; i++) {
      const int chunk = (first_pair + i) * 4 + row % 8 / 2;
      shared->codes[unit][piece_offset(chunk, byte / 16) + byte % 16] = static_cast<uint8_t>(codes[i]);
    }
  }

  // The key of a later draw_codes(), ahead of time: while the tensor cores take the whole bandwidth of shared memory, a
  // read waits for hundreds of cycles.
  FS_DEVICE void load_key(int draw) {
    const int row = draw % kDraws / 2 * kWarpSize + lane_idx;
    next_key = shared->keys[row];
    next_is_greedy = shared->is_greedy(row);
  }

  // The thread's codes of a unit; word jj has groups 2 jj and 2 jj + 1, at bit 16 (j % 2) + 8 k + 4 i.
  FS_DEVICE void load_codes(uint32_t (&words)[kColumns / 2], uint32_t unit) {
#pragma unroll
    for (int piece = 0; piece < kPieces; piece++) {
      const uint4 four = *reinterpret_cast<const uint4*>(&shared->codes[unit][piece_offset(lane_idx, piece)]);
      words[4 * piece] = four.x, words[4 * piece + 1] = four.y, words[4 * piece + 2] = four.z,
                words[4 * piece + 3] = four.w;
    }
  }

  // Lower bounds of the rows' best scores (as powers of two), from one unit's products and codes.
  FS_DEVICE void bound_rows(const float (&accumulators)[Config::kTileBatch / 2], uint32_t unit) {
    const int g = lane_idx / 4;
    uint32_t words[kColumns / 2];
    load_codes(words, unit);
#pragma unroll
    for (int j0 = 0; j0 < kColumns; j0 += 4) {
      float lower[8];
#pragma unroll
      for (int j = 0; j < 4; j += 2) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
          const uint32_t codes = words[(j0 + j) / 2] >> (16 * h);
          const float4 filter = load_filters(j0 + j + h);
          const float* a = &accumulators[4 * (j0 + j + h)];
          lower[2 * (j + h)] = fmaxf(lower_bound(a[0], filter.x, filter.y, code_at<0>(codes)),
                                     lower_bound(a[2], filter.x, filter.y, code_at<4>(codes)));
          lower[2 * (j + h) + 1] = fmaxf(lower_bound(a[1], filter.z, filter.w, code_at<8>(codes)),
                                         lower_bound(a[3], filter.z, filter.w, code_at<12>(codes)));
        }
      }
      reduce_rows(lower, [](float kept, float received) { return fmaxf(kept, received); });
      const int row = 8 * (j0 + g / 2) + 2 * (lane_idx % 4) + g % 2;
      if (lower[0] > -INFINITY) atomicMax(&shared->lower_bounds[row], ordered_bits(lower[0]));
    }
  }

  // After all warps' bound_rows(): the filters' bounds of the first tile.
  FS_DEVICE void start_bounds(int row, const EpilogueArgs& args) {
    if (row >= Config::kTileBatch) return;
    const float scale = shared->filters[row].scale;
    if (row >= static_cast<int>(args.num_rows) || !shared->is_drawn(row)) {
      shared->mass_offsets[row] = scale == 0.f ? 0.f : NAN;  // without a best score, but its log-mass may be wanted
      return;
    }
    const uint32_t ordered = shared->lower_bounds[row];
    const float exponent = from_ordered_bits(ordered);  // NaN for 0, which is none
    shared->filters[row].bound = ordered != 0 ? filter_bound(exponent * kLn2, shared->is_greedy(row)) : -INFINITY;
    shared->mass_offsets[row] = mass_offset(exponent, scale, args.log_mass_is_raw);
  }

  // Adds one unit to its rows' log-masses. A token that no winner has overtaken so far lies below its row's reference,
  // so the sums stay small; false, and nothing added, when they do not. For whole units without a mask.
  FS_DEVICE bool add_log_mass(const float (&accumulators)[Config::kTileBatch / 2], bool is_raw) {
    constexpr int kOwned = kColumns / 4;  // rows whose sums end up in one lane
    const int g = lane_idx / 4;
    float sums[kOwned];
    bool is_small = true;
#pragma unroll
    for (int j0 = 0; j0 < kColumns; j0 += 4) {
      float terms[8];
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const float4 filter = load_filters(j0 + j);
        const float2 offset =
            *reinterpret_cast<const float2*>(&shared->mass_offsets[8 * (j0 + j) + 2 * (lane_idx % 4)]);
        const float low_scale = is_raw ? kLog2OfE : filter.x, high_scale = is_raw ? kLog2OfE : filter.z;
        const float* a = &accumulators[4 * (j0 + j)];
        terms[2 * j] = rough_exp2(fmaf(a[0], low_scale, -offset.x)) + rough_exp2(fmaf(a[2], low_scale, -offset.x));
        terms[2 * j + 1] =
            rough_exp2(fmaf(a[1], high_scale, -offset.y)) + rough_exp2(fmaf(a[3], high_scale, -offset.y));
      }
      reduce_rows(terms, [](float kept, float received) { return kept + received; });
      sums[j0 / 4] = terms[0];
      is_small &= terms[0] < 0x1p60f;  // not for an offset of NaN
    }
    if (!__all_sync(kAllLanes, is_small)) return false;
#pragma unroll
    for (int i = 0; i < kOwned; i++) {
      const int row = 8 * (4 * i + g / 2) + 2 * (lane_idx % 4) + g % 2;
      const float offset = shared->mass_offsets[row];
      const float scale = is_raw ? kLog2OfE : shared->filters[row].scale;
      // The logit at the offset, nearly: 1 / scale is divisor * ln 2. What it misses the offset by is taken from the
      // sum.
      const float reference = offset * (is_raw ? kLn2 : fabsf(shared->divisors[row]) * kLn2);
      const float missed = fmaf(reference, scale, -offset);
      float2 mass = shared->log_mass[warp_idx][row];
      if (mass.y != 0.f && mass.x != reference) mass.y *= rough_exp2((mass.x - reference) * scale);
      shared->log_mass[warp_idx][row] = {reference, fmaf(sums[i], rough_exp2(-missed), mass.y)};
    }
    return true;
  }

  // Queues what may win of one unit, behind the `count` entries that the warp's queue has; returns the new count. More
  // than kQueueSize: the queue was too short, and the unit must go the general way.
  FS_DEVICE int queue_survivors(const float (&accumulators)[Config::kTileBatch / 2], uint32_t unit,
                                uint32_t unit_offset, int count) {
    constexpr int kGroups = 4;  // groups of 8 batch rows that are tested together
    constexpr int kTests = 4 * kGroups;
    const uint32_t place = (unit_offset + lane_idx / 4) * 256 + 2 * (lane_idx % 4);
    uint32_t words[kColumns / 2];
    load_codes(words, unit);
    float4 next_filters[kGroups];
    const auto load = [&](int j0) {
#pragma unroll
      for (int j = 0; j < kGroups; j++)
        next_filters[j] = load_filters(j0 + j);
    };
    load(0);
#pragma unroll
    for (int j0 = 0; j0 < kColumns; j0 += kGroups) {
      float4 filters[kGroups];
#pragma unroll
      for (int j = 0; j < kGroups; j++)
        filters[j] = next_filters[j];
      // The next reads are under way while these are compared.
      if (j0 + kGroups < kColumns) load(j0 + kGroups);
      bool passes = false;
#pragma unroll
      for (int j = 0; j < kGroups; j++) {
        const uint32_t codes = words[(j0 + j) / 2] >> (16 * (j % 2));
        const float* a = &accumulators[4 * (j0 + j)];
        // NaN passes every comparison.
        passes |= !(fmaf(a[0], filters[j].x, code_at<0>(codes)) < filters[j].y);
        passes |= !(fmaf(a[1], filters[j].z, code_at<8>(codes)) < filters[j].w);
        passes |= !(fmaf(a[2], filters[j].x, code_at<4>(codes)) < filters[j].y);
        passes |= !(fmaf(a[3], filters[j].z, code_at<12>(codes)) < filters[j].w);
      }
#pragma unroll
      for (int j = 0; j < kGroups; j += 2)
        passes |= has_open_code(words[(j0 + j) / 2]);
      if (!__any_sync(kAllLanes, passes)) continue;

      uint32_t survivors = 0;
#pragma unroll
      for (int e = 0; e < kTests; e++) {
        const int j = e / 4;
        const uint32_t code = words[(j0 + j) / 2] >> (16 * (j % 2) + e % 2 * 8 + e % 4 / 2 * 4) & 0xFu;
        const float bound = e % 2 == 0 ? filters[j].y : filters[j].w;
        const float sum = fmaf(accumulators[4 * (j0 + j) + e % 4], e % 2 == 0 ? filters[j].x : filters[j].z,
                               static_cast<float>(code));
        const bool passes_test = code != kClosedCode && (!(sum < bound) || (code == kOpenCode && bound < INFINITY));
        // NaN and +infinity must be reported, masked or not.
        if (passes_test || is_invalid_logit(accumulators[4 * (j0 + j) + e % 4])) survivors |= 1u << e;
      }
      // Places in the queue: an inclusive sum over the lanes.
      const int num_survivors = __popc(survivors);
      int sum = num_survivors;
#pragma unroll
      for (int distance = 1; distance < kWarpSize; distance *= 2) {
        const int lower = __shfl_up_sync(kAllLanes, sum, distance);
        if (lane_idx >= distance) sum += lower;
      }
      int entry = count + sum - num_survivors;
      count += __shfl_sync(kAllLanes, sum, kWarpSize - 1);
#pragma unroll
      for (int e = 0; e < kTests; e++) {
        if ((survivors >> e & 1u) != 0 && entry < Config::kQueueSize) {
          shared->queue[warp_idx][entry++] = {accumulators[4 * (j0 + e / 4) + e % 4],
                                              place + e % 4 / 2 * (8 * 256) + 8 * (j0 + e / 4) + e % 2};
        }
      }
    }
    return count;
  }

 private:
  // Reduces 8 rows over the 8 lanes of a quad column, which hold different tokens of the same rows: halving the rows at
  // each step leaves one row, values[0], to each lane.
  template <class Reduce>
  FS_DEVICE void reduce_rows(float (&values)[8], Reduce reduce) {
#pragma unroll
    for (int half = 4; half >= 1; half /= 2) {
      const bool upper = (lane_idx / 4 & half) != 0;
#pragma unroll
      for (int i = 0; i < half; i++) {
        const float sent = upper ? values[i] : values[i + half];
        const float kept = upper ? values[i + half] : values[i];
        values[i] = reduce(kept, __shfl_xor_sync(kAllLanes, sent, 4 * half));
      }
    }
  }

  // {scale, bound} of the thread's two rows in group j.
  FS_DEVICE float4 load_filters(int j) {
    return *reinterpret_cast<const float4*>(&shared->filters[8 * j + 2 * (lane_idx % 4)]);
  }

  // `noise_weight`: 1, or 0 for a greedy row; NaN and -infinity bound nothing. From code 3 on, v < 1/4 and
  // log2(1 - v) > -0.4151.
  FS_DEVICE static float lower_bound(float logit, float scale, float noise_weight, float code) {
    return code >= 3.f ? fmaf(code - 1.416f, noise_weight, logit * scale) : -INFINITY;
  }
};

}  // namespace flashsampling
