// Draws from logits in memory: score[row][token] = transform(logits[row][token]) + gumbel_noise, reduced to one winner
// per (row, draw). The second half of a two-step sampler; bound by reading logits [batch_size, vocab_size] once, or by
// Philox.
//
// Grid: x shares a row's groups of 16 tokens (in global ids), y is the row of the pass. A lane takes a whole group at a
// time, so that its eight Philox calls serve 16 tokens. Winners are kept per warp. Launched by launch/logits_launch.cu.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstring>
#include <type_traits>

#include "common/candidate.h"
#include "common/noise.h"
#include "common/sample_params.h"
#include "common/score.h"
#include "common/workspace.h"
#include "epilogue/last_block.cuh"

namespace flashsampling::logits {

constexpr uint32_t kGroup = 16;
constexpr int kNumThreads = 128;
constexpr int kNumWarps = kNumThreads / kWarpSize;
// Blocks that run at once: 72 registers a thread (CUDA 13.0, sm_80 and sm_90). A bound in __launch_bounds__ makes them
// spill.
constexpr int kBlocksPerMultiprocessor = 7;

// NOTE: the fields of LogitsParams one by one, as with the struct itself the kernel takes 96 registers (CUDA 13.0).
struct Args {
  uint32_t vocab_size, vocab_start, max_num_samples;
  NoiseScheme noise_scheme;
  LogprobsMode logprobs_mode;
  const void* logits;     // [batch_size, vocab_size]
  int64_t logits_stride;  // elements
  RowParams rows;
  SampleOutputs out;
  Workspace* workspace;
  PassRange pass;
  uint32_t first_group, num_groups;  // of 16 tokens, in global ids, covering the row
};

FS_DEVICE float to_float(float value) { return value; }
FS_DEVICE float to_float(__half value) { return __half2float(value); }
FS_DEVICE float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

// Reads 16 elements in loads of 16 bytes; source must be aligned to them.
template <class T>
FS_DEVICE void load_aligned(const T* source, float (&values)[kGroup]) {
  constexpr int kPerLoad = 16 / sizeof(T);
  const uint4* vectors = reinterpret_cast<const uint4*>(source);
#pragma unroll
  for (int i = 0; i < static_cast<int>(kGroup) / kPerLoad; i++) {
    const uint4 vector = __ldg(vectors + i);
    const uint32_t words[4] = {vector.x, vector.y, vector.z, vector.w};
#pragma unroll
    for (int j = 0; j < 4; j++) {
      if constexpr (sizeof(T) == 4) {
        values[i * kPerLoad + j] = __uint_as_float(words[j]);
      } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
        values[i * kPerLoad + 2 * j] = __uint_as_float(words[j] << 16);
        values[i * kPerLoad + 2 * j + 1] = __uint_as_float(words[j] & 0xFFFF0000u);
      } else {
        __half2 halves;
        memcpy(&halves, &words[j], sizeof(halves));
        const float2 pair = __half22float2(halves);
        values[i * kPerLoad + 2 * j] = pair.x;
        values[i * kPerLoad + 2 * j + 1] = pair.y;
      }
    }
  }
}

// values[index] of an array in registers, which have no addresses.
template <class T>
FS_DEVICE T select(const T (&values)[kGroup], uint32_t index) {
  T value = values[0];
#pragma unroll
  for (uint32_t i = 1; i < kGroup; i++) {
    if (i == index) value = values[i];
  }
  return value;
}

FS_DEVICE float warp_max_or_nan(float value) {
#pragma unroll
  for (uint32_t lanes = 1; lanes < kWarpSize; lanes *= 2) {
    value = max_or_nan(value, __shfl_xor_sync(kAllLanes, value, lanes));
  }
  return value;
}

// A group's 16 random integers of one draw.
FS_DEVICE void group_bits(NoiseScheme scheme, RowKey key, uint32_t first_token, uint32_t (&bits)[kGroup]) {
  if (scheme == NoiseScheme::kFlash) {
#pragma unroll
    for (uint32_t i = 0; i < kGroup / 2; i++) {
      const Philox2 words = flash_pair_bits(key, first_token / 2 + i);
      bits[i] = words.x;
      bits[i + 8] = words.y;
    }
  } else {
#pragma unroll
    for (uint32_t i = 0; i < kGroup; i++)
      bits[i] = vllm_bits(key, first_token + i);
  }
}

// What a thread needs to know of its row.
struct Row {
  float divisor, scale;
  bool is_greedy;
  const float* bias;       // null or by global token id
  const int32_t* allowed;  // null or words by global token id
};

// A lower bound of the group's best score, from rough logarithms.
FS_DEVICE float rough_best(const Args& args, const Row& row, const float (&values)[kGroup],
                           const uint32_t (&bits)[kGroup]) {
  const float inverse = row.scale * WinnerFilter::kLn2;
  float best = -INFINITY;
#pragma unroll
  for (uint32_t i = 0; i < kGroup; i++) {
    // The product may lie above the quotient, by less than the slack taken off below.
    const float quotient = values[i] * inverse;
    const float score = row.is_greedy
                            ? values[i]
                            : WinnerFilter::rough_score(quotient, WinnerFilter::integer(args.noise_scheme, bits[i]));
    best = fmaxf(best, score < INFINITY ? score - fabsf(quotient) * WinnerFilter::kSlack - 2e-5f : -INFINITY);
  }
  return best;
}

// Scores what passes the filter in this lane's group; kNoCandidate when nothing does.
FS_DEVICE uint64_t score_group(const Args& args, const Row& row, const float (&values)[kGroup],
                               const uint32_t (&bits)[kGroup], float offset, uint32_t first_token) {
  uint32_t survivors = 0;
#pragma unroll
  for (uint32_t i = 0; i < kGroup; i++) {
    const float integer = row.is_greedy ? WinnerFilter::kGreedyInteger
                                        : static_cast<float>(WinnerFilter::integer(args.noise_scheme, bits[i]));
    const bool passes = WinnerFilter::passes(integer, WinnerFilter::threshold(values[i], row.scale, offset));
    if (passes && values[i] != -INFINITY && !is_invalid_logit(values[i])) survivors |= 1u << i;
  }
  uint64_t winner = kNoCandidate;
#pragma unroll 1
  for (; survivors != 0; survivors &= survivors - 1) {
    const uint32_t i = __ffs(survivors) - 1;
    float score = apply_temperature(select(values, i), row.divisor);
    if (!row.is_greedy) score += token_gumbel(args.noise_scheme, select(bits, i));
    const uint64_t candidate = pack_candidate(score, first_token + i);
    winner = candidate > winner ? candidate : winner;
  }
  return winner;
}

FS_DEVICE LogMass add_log_mass(LogMass mass, const float (&values)[kGroup], float divisor) {
  float quotients[kGroup];
  float reference = -INFINITY;
#pragma unroll
  for (uint32_t i = 0; i < kGroup; i++) {
    quotients[i] = apply_temperature(values[i], divisor);
    reference = fmaxf(reference, quotients[i]);
  }
  if (!(reference > -INFINITY)) return mass;
  float sum = 0.f;
#pragma unroll
  for (uint32_t i = 0; i < kGroup; i++)
    sum += __expf(quotients[i] - reference);
  return merge_log_mass(mass, {reference, sum});
}

template <class T>
__global__ void __launch_bounds__(kNumThreads) logits_sample_kernel(const __grid_constant__ Args args) {
  __shared__ uint64_t best[kNumWarps][kMaxSlots];  // packed winners of every warp, by draw of the pass
  __shared__ RowKey keys[kMaxSlots];
  __shared__ LogMass log_mass[kNumWarps];
  __shared__ uint32_t row_flag;
  __shared__ float row_log_sum_exp[kMaxTileBatch];

  // --- Prepare ---
  const PassRange& pass = args.pass;
  const uint32_t row_in_pass = blockIdx.y, row_idx = pass.first_row + row_in_pass;
  const uint32_t warp_idx = threadIdx.x / kWarpSize, lane_idx = threadIdx.x % kWarpSize;
  for (uint32_t draw = threadIdx.x; draw < pass.num_draws; draw += kNumThreads) {
    keys[draw] = row_key(args.rows, args.noise_scheme, row_idx, pass.first_draw + draw);
    for (int warp = 0; warp < kNumWarps; warp++)
      best[warp][draw] = kNoCandidate;
  }
  if (threadIdx.x == 0) row_flag = 0;
  __syncthreads();

  Row row;
  const float temperature = row_temperature(args.rows, row_idx);
  row.divisor = temperature_divisor(temperature);
  row.scale = WinnerFilter::scale(row.divisor);
  row.is_greedy = temperature == 0.f;
  row.bias = args.rows.logit_bias != nullptr ? args.rows.logit_bias + row_idx * args.rows.logit_bias_stride : nullptr;
  row.allowed = args.rows.allowed_tokens != nullptr
                    ? args.rows.allowed_tokens + row_idx * args.rows.allowed_tokens_stride
                    : nullptr;
  const bool has_log_mass = wants_log_mass(args.out);
  const bool is_raw = args.logprobs_mode == LogprobsMode::kRaw;
  // Logit 0 of the row, moved so that it is indexed by global token id.
  const T* row_logits =
      static_cast<const T*>(args.logits) + row_idx * args.logits_stride - static_cast<int64_t>(args.vocab_start);
  const bool is_aligned = reinterpret_cast<uintptr_t>(row_logits) % 16 == 0;
  const bool is_bias_aligned = reinterpret_cast<uintptr_t>(row.bias) % 16 == 0;

  // --- Stream ---
  LogMass mass = {0.f, 0.f};
  bool has_invalid_logit = false;
  const uint32_t stride = gridDim.x * kNumThreads;
#pragma unroll 1
  for (uint32_t first = blockIdx.x * kNumThreads + warp_idx * kWarpSize; first < args.num_groups; first += stride) {
    const uint32_t first_token = (args.first_group + first + lane_idx) * kGroup;
    const bool is_group = first + lane_idx < args.num_groups;
    const bool is_whole =
        is_group && first_token >= args.vocab_start && first_token + kGroup - args.vocab_start <= args.vocab_size;
    float values[kGroup];
    if (is_whole && is_aligned) {
      load_aligned(row_logits + first_token, values);
    } else {
#pragma unroll
      for (uint32_t i = 0; i < kGroup; i++) {
        // What is not there counts as masked.
        const bool is_token = is_group && first_token + i - args.vocab_start < args.vocab_size;
        values[i] = is_token ? to_float(row_logits[first_token + i]) : -INFINITY;
      }
    }
    if (has_log_mass && is_raw) mass = add_log_mass(mass, values, 1.f);

    // Transform.
    if (row.bias != nullptr) {
      if (is_whole && is_bias_aligned) {
        float bias[kGroup];
        load_aligned(row.bias + first_token, bias);
#pragma unroll
        for (uint32_t i = 0; i < kGroup; i++)
          values[i] += bias[i];
      } else {
#pragma unroll
        for (uint32_t i = 0; i < kGroup; i++) {
          if (is_group && first_token + i - args.vocab_start < args.vocab_size) values[i] += row.bias[first_token + i];
        }
      }
    }
    float largest = -INFINITY;
#pragma unroll
    for (uint32_t i = 0; i < kGroup; i++)
      largest = max_or_nan(largest, values[i]);
    has_invalid_logit |= is_invalid_logit(largest);
    if (row.allowed != nullptr) {
      const uint32_t allowed =
          is_group ? static_cast<uint32_t>(row.allowed[first_token / 32]) >> (first_token % 32) : 0;
      largest = -INFINITY;
#pragma unroll
      for (uint32_t i = 0; i < kGroup; i++) {
        if (((allowed >> i) & 1u) == 0) values[i] = -INFINITY;
        largest = max_or_nan(largest, values[i]);
      }
    }
    if (has_log_mass && !is_raw) mass = add_log_mass(mass, values, row.divisor);

    // Perturb, filter, score.
    if (!__any_sync(kAllLanes, largest != -INFINITY)) continue;
    for (uint32_t draw = 0; draw < pass.num_draws; draw++) {
      uint32_t bits[kGroup];
      group_bits(args.noise_scheme, keys[draw], first_token, bits);
      const uint64_t warp_best = best[warp_idx][draw];
      float best_score = warp_best != kNoCandidate ? candidate_score(warp_best) : -INFINITY;
      // The first group of a warp would pass as a whole.
      if (warp_best == kNoCandidate) best_score = warp_max_or_nan(rough_best(args, row, values, bits));
      const float offset = WinnerFilter::offset(best_score);
      uint32_t smallest = 0xFFFFFFFFu;
#pragma unroll
      for (uint32_t i = 0; i < kGroup; i++)
        smallest = min(smallest, WinnerFilter::integer(args.noise_scheme, bits[i]));
      const float integer = row.is_greedy ? WinnerFilter::kGreedyInteger : static_cast<float>(smallest);
      const bool passes =
          largest != -INFINITY && WinnerFilter::passes(integer, WinnerFilter::threshold(largest, row.scale, offset));
      if (!__any_sync(kAllLanes, passes)) continue;
      uint64_t winner = passes ? score_group(args, row, values, bits, offset, first_token) : kNoCandidate;
#pragma unroll
      for (uint32_t lanes = 1; lanes < kWarpSize; lanes *= 2) {
        const uint64_t other = __shfl_xor_sync(kAllLanes, static_cast<unsigned long long>(winner), lanes);
        winner = other > winner ? other : winner;
      }
      __syncwarp();  // every lane has read warp_best
      if (lane_idx == 0 && winner > warp_best) best[warp_idx][draw] = winner;
      __syncwarp();
    }
  }

  // --- Publish and finish ---
  if (has_invalid_logit) atomicOr(&row_flag, 1u);
  if (has_log_mass) {
    mass = merge_warp(mass);
    if (lane_idx == 0) log_mass[warp_idx] = mass;
  }
  __syncthreads();
  for (uint32_t draw = threadIdx.x; draw < pass.num_draws; draw += kNumThreads) {
    uint64_t winner = best[0][draw];
    for (int warp = 1; warp < kNumWarps; warp++)
      winner = max(winner, best[warp][draw]);
    publish_winner(args.workspace, row_in_pass * pass.num_draws + draw, winner);
  }
  if (threadIdx.x == 0) {
    if (row_flag != 0) atomicOr(&args.workspace->row_flags[row_in_pass], 1u);
    if (has_log_mass) {
      LogMass merged = log_mass[0];
      for (int warp = 1; warp < kNumWarps; warp++)
        merged = merge_log_mass(merged, log_mass[warp]);
      args.workspace->log_sum_exp[blockIdx.x][row_in_pass] = log_sum_exp(merged);
    }
  }
  const LastBlockArgs last = {
      pass, args.rows, args.out, args.noise_scheme, args.logprobs_mode, args.max_num_samples, has_log_mass, gridDim.x};
  finish_pass<kNumThreads>(last, args.workspace, row_log_sum_exp);
}

}  // namespace flashsampling::logits
