// Portable fused kernel (sm_80 and later): score[row][token] = transform(hidden_states[row] . weight[token]) +
// gumbel_noise, reduced to one winner per (row, draw). No logit reaches memory.
//
// Vocabulary on M, batch on N of mma.sync m16n8k16. A block owns a contiguous share of the groups of 16 tokens and
// walks over it in tiles of up to 128 tokens; cp.async streams 64-wide slices of weight and hidden states through a
// ring of stages, and the loads of the next tile run on during the epilogue of this one. Launched by
// launch/smxx_launch.cu.
//
// The sum over hidden_size is one chain of mma per accumulator, ascending in steps of 16: no split, so a logit's bits
// depend neither on the width, nor on the tile, nor on the place in it.
#pragma once

#include "common/candidate.h"
#include "common/noise.h"
#include "common/sample_params.h"
#include "common/score.h"
#include "common/workspace.h"
#include "epilogue/last_block.cuh"
#include "smxx_config.h"
#include "smxx_ptx.cuh"

namespace flashsampling::smxx {

struct Args {
  SampleParams params;
  PassRange pass;
  uint32_t first_group, num_groups;  // of 16 tokens, in global ids, covering the shard
};

// A block's share of the groups, cut into tiles of nearly equal size so that every tile keeps the memory busy.
struct TileSchedule {
  uint32_t group_begin, group_end, groups_per_tile, num_tiles;

  FS_DEVICE explicit TileSchedule(const Args& args) {
    group_begin =
        args.first_group + static_cast<uint32_t>(static_cast<uint64_t>(args.num_groups) * blockIdx.x / gridDim.x);
    group_end =
        args.first_group + static_cast<uint32_t>(static_cast<uint64_t>(args.num_groups) * (blockIdx.x + 1) / gridDim.x);
    const uint32_t num_groups = group_end - group_begin;
    constexpr uint32_t kMaxGroups = kTileVocab / kGroup;
    num_tiles = (num_groups + kMaxGroups - 1) / kMaxGroups;
    groups_per_tile = num_tiles == 0 ? 0 : (num_groups + num_tiles - 1) / num_tiles;
  }

  FS_DEVICE uint32_t tile_begin(uint32_t tile) const { return group_begin + tile * groups_per_tile; }
  FS_DEVICE uint32_t tile_end(uint32_t tile) const { return min(tile_begin(tile) + groups_per_tile, group_end); }
};

// Streams tiles into shared memory, one 64-wide slice per call of load(). A thread copies one 16-byte chunk of every
// 32nd row.
template <class Config>
class Loader {
 public:
  FS_DEVICE Loader(const Args& args, const TileSchedule& schedule, Shared<Config>* shared)
      : args_(args), schedule_(schedule), row_(threadIdx.x / kChunks), chunk_(threadIdx.x % kChunks) {
    const uint32_t place = row_ * kRowBytes + ((chunk_ ^ (row_ % 8)) * 16);
    weight_place_ = shared_address(shared->weight) + place;
    hidden_place_ = shared_address(shared->hidden) + place;
    const SampleParams& params = args_.params;
    const uint8_t* hidden = static_cast<const uint8_t*>(params.hidden_states);
    hidden_ =
        hidden + ((static_cast<int64_t>(args_.pass.first_row) + row_) * params.hidden_states_stride + chunk_ * 8) * 2;
    begin_tile();
  }

  FS_DEVICE void load(uint32_t stage) {
    const SampleParams& params = args_.params;
    const bool is_column = hidden_begin_ + chunk_ * 8 < params.hidden_size;
    const int64_t column_bytes = static_cast<int64_t>(hidden_begin_) * 2;
    const uint32_t weight_place = weight_place_ + stage * (kTileVocab * kRowBytes);
#pragma unroll
    for (uint32_t i = 0; i < kTileVocab / kRowsPerPass; i++) {
      const bool is_valid = is_column && ((valid_rows_ >> i) & 1u) != 0;
      const uint8_t* source =
          weight_ + static_cast<int64_t>(i * kRowsPerPass) * params.weight_stride * 2 + column_bytes;
      copy_async(weight_place + i * (kRowsPerPass * kRowBytes), is_valid ? source : params.weight, is_valid);
    }
    const uint32_t hidden_place = hidden_place_ + stage * (Config::kTileBatch * kRowBytes);
#pragma unroll
    for (uint32_t i = 0; i < (Config::kTileBatch + kRowsPerPass - 1) / kRowsPerPass; i++) {
      const uint32_t row = row_ + i * kRowsPerPass;
      if (row < Config::kTileBatch) {
        const bool is_valid = is_column && row < args_.pass.num_rows;
        const uint8_t* source =
            hidden_ + static_cast<int64_t>(i * kRowsPerPass) * params.hidden_states_stride * 2 + column_bytes;
        copy_async(hidden_place + i * (kRowsPerPass * kRowBytes), is_valid ? source : params.hidden_states, is_valid);
      }
    }
    hidden_begin_ += kTileHidden;
    if (hidden_begin_ >= params.hidden_size) {
      tile_++;
      begin_tile();
    }
  }

 private:
  static constexpr uint32_t kChunks = kRowBytes / 16;
  static constexpr uint32_t kRowsPerPass = kNumThreads / kChunks;

  FS_DEVICE void begin_tile() {
    const SampleParams& params = args_.params;
    hidden_begin_ = 0;
    // NOTE: the first group may begin before the shard; the difference then wraps, and the rows are not valid.
    const uint32_t local_token = schedule_.tile_begin(tile_) * kGroup + row_ - params.vocab_start;
    const uint32_t num_tokens =
        tile_ < schedule_.num_tiles ? (schedule_.tile_end(tile_) - schedule_.tile_begin(tile_)) * kGroup : 0;
    valid_rows_ = 0;
#pragma unroll
    for (uint32_t i = 0; i < kTileVocab / kRowsPerPass; i++) {
      const uint32_t row = i * kRowsPerPass;
      if (row_ + row < num_tokens && local_token + row < params.shard_rows) valid_rows_ |= 1u << i;
    }
    const int64_t first_row = static_cast<int32_t>(local_token) < 0 && local_token >= 0u - kGroup
                                  ? static_cast<int64_t>(static_cast<int32_t>(local_token))
                                  : static_cast<int64_t>(local_token);
    weight_ = static_cast<const uint8_t*>(params.weight) + (first_row * params.weight_stride + chunk_ * 8) * 2;
  }

  const Args& args_;
  const TileSchedule& schedule_;
  uint32_t row_, chunk_;
  uint32_t weight_place_, hidden_place_;
  const uint8_t* weight_;  // this thread's chunk in the tile's first slice; dereferenced for valid rows only
  const uint8_t* hidden_;
  uint32_t tile_ = 0, hidden_begin_ = 0, valid_rows_ = 0;
};

// Multiplies one 64-wide slice.
template <class Config, Dtype kDtype>
FS_DEVICE void multiply_slice(float (&accumulators)[Config::kMmaVocab][Config::kMmaBatch][4], uint32_t weight,
                              uint32_t hidden) {
  const uint32_t lane_idx = threadIdx.x % kWarpSize;
  const uint32_t weight_row = weight + (lane_idx % 16) * kRowBytes;
  const uint32_t swizzle = lane_idx % 8;
#pragma unroll
  for (uint32_t step = 0; step < kTileHidden / 16; step++) {
    uint32_t a[Config::kMmaVocab][4];
#pragma unroll
    for (int m = 0; m < Config::kMmaVocab; m++) {
      load_matrices(a[m], weight_row + m * 16 * kRowBytes + (((step * 2 + lane_idx / 16) ^ swizzle) * 16));
    }
    if constexpr (Config::kMmaBatch == 1) {
      // One load serves two steps.
      uint32_t b[4];
      load_matrices(b, hidden + swizzle * kRowBytes + (((step / 2 * 4 + lane_idx / 8) ^ swizzle) * 16));
#pragma unroll
      for (int m = 0; m < Config::kMmaVocab; m++) {
        multiply_accumulate<kDtype>(accumulators[m][0], a[m], b[step % 2 * 2], b[step % 2 * 2 + 1]);
      }
    } else {
#pragma unroll
      for (int n = 0; n < Config::kMmaBatch; n += 2) {
        uint32_t b[4];
        const uint32_t row = n * 8 + lane_idx / 16 * 8 + swizzle;
        load_matrices(b, hidden + row * kRowBytes + (((step * 2 + lane_idx / 8 % 2) ^ swizzle) * 16));
#pragma unroll
        for (int m = 0; m < Config::kMmaVocab; m++) {
          multiply_accumulate<kDtype>(accumulators[m][n], a[m], b[0], b[1]);
          multiply_accumulate<kDtype>(accumulators[m][n + 1], a[m], b[2], b[3]);
        }
      }
    }
  }
}

// What a warp does with its logits: two tokens, eight ids apart, of two rows in each lane at a time.
template <class Config>
class Epilogue {
 public:
  FS_DEVICE Epilogue(const Args& args, Shared<Config>* shared, uint32_t warp_vocab, uint32_t warp_batch)
      : args_(args), shared_(shared), warp_vocab_(warp_vocab), warp_batch_(warp_batch),
        wants_log_mass_(wants_log_mass(args.params.out)), is_raw_(args.params.logprobs_mode == LogprobsMode::kRaw) {}

  FS_DEVICE void process_tile(float (&accumulators)[Config::kMmaVocab][Config::kMmaBatch][4], uint32_t group_begin,
                              uint32_t group_end) {
    constexpr int kNumBlocks = Config::kMmaVocab * Config::kMmaBatch;
    float(&flat)[kNumBlocks][4] = reinterpret_cast<float(&)[kNumBlocks][4]>(accumulators);
    // NOTE: a rolled loop, or the code of a wide tile would not fit the instruction cache. Registers cannot be indexed
    // at run time, so the accumulators move one place down instead.
#pragma unroll 1
    for (int block = 0; block < kNumBlocks; block++) {
      const uint32_t group = group_begin + warp_vocab_ * Config::kMmaVocab + block / Config::kMmaBatch;
      const uint32_t first_row = warp_batch_ * Config::kWarpBatch + block % Config::kMmaBatch * 8;
      if (group < group_end && first_row < args_.pass.num_rows) process_block(flat[0], group, first_row);
#pragma unroll
      for (int i = 0; i + 1 < kNumBlocks; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++)
          flat[i][j] = flat[i + 1][j];
      }
    }
  }

 private:
  // Tokens low and low + 8 of one row.
  struct Pair {
    float low, high;
  };

  FS_DEVICE void process_block(const float (&block)[4], uint32_t group, uint32_t first_row) {
    const uint32_t lane_idx = threadIdx.x % kWarpSize;
#pragma unroll
    for (uint32_t j = 0; j < 2; j++) {
      process_pairs({block[j], block[2 + j]}, group, first_row + lane_idx % 4 * 2 + j);
    }
  }

  // All lanes of the warp: eight token pairs of four rows.
  FS_DEVICE void process_pairs(Pair logits, uint32_t group, uint32_t row) {
    const SampleParams& params = args_.params;
    const uint32_t token_id = group * kGroup + threadIdx.x % kWarpSize / 4;
    const bool is_row = row < args_.pass.num_rows;
    const bool is_low = is_row && token_id - params.vocab_start < params.shard_rows;
    const bool is_high = is_row && token_id + 8 - params.vocab_start < params.shard_rows;
    const RowState state = shared_->rows[row];
    // What is not there counts as masked.
    if (!is_low) logits.low = -INFINITY;
    if (!is_high) logits.high = -INFINITY;
    if (wants_log_mass_ && is_raw_) add_log_mass(logits, row);

    // --- Transform ---
    const uint32_t row_idx = args_.pass.first_row + row;
    if (params.rows.logit_bias != nullptr && is_row) {
      const float* bias =
          params.rows.logit_bias + static_cast<int64_t>(row_idx) * params.rows.logit_bias_stride + token_id;
      if (is_low) logits.low += bias[0];
      if (is_high) logits.high += bias[8];
    }
    if (is_invalid_logit(max_or_nan(logits.low, logits.high))) atomicOr(&shared_->row_flags[row], 1u);
    if (params.rows.allowed_tokens != nullptr && is_row && (is_low || is_high)) {
      const int64_t word_idx = static_cast<int64_t>(row_idx) * params.rows.allowed_tokens_stride + token_id / 32;
      const uint32_t allowed = static_cast<uint32_t>(params.rows.allowed_tokens[word_idx]) >> (token_id % 32);
      if ((allowed & 1u) == 0) logits.low = -INFINITY;
      if ((allowed & 256u) == 0) logits.high = -INFINITY;
    }
    if (wants_log_mass_ && !is_raw_) {
      add_log_mass({apply_temperature(logits.low, state.divisor), apply_temperature(logits.high, state.divisor)}, row);
    }

    // --- Perturb, filter, score ---
    const float largest = max_or_nan(logits.low, logits.high);
    if (params.rows.allowed_tokens != nullptr && !__any_sync(kAllLanes, largest != -INFINITY)) return;
    for (uint32_t draw = 0; draw < args_.pass.num_draws; draw++) {
      const uint32_t slot = (is_row ? row : 0) * args_.pass.num_draws + draw;
      const RowKey key = shared_->keys[slot];
      uint32_t low_bits, high_bits;
      if (params.noise_scheme == NoiseScheme::kFlash) {
        const Philox2 words = flash_pair_bits(key, noise_pair(token_id));
        low_bits = words.x;
        high_bits = words.y;
      } else {
        low_bits = vllm_bits(key, token_id);
        high_bits = vllm_bits(key, token_id + 8);
      }
      const uint32_t smallest = min(WinnerFilter::integer(params.noise_scheme, low_bits),
                                    WinnerFilter::integer(params.noise_scheme, high_bits));
      const float integer = state.is_greedy != 0 ? WinnerFilter::kGreedyInteger : static_cast<float>(smallest);
      const float threshold = WinnerFilter::threshold(largest, state.scale, shared_->offset[slot]);
      const bool passes = WinnerFilter::passes(integer, threshold) && largest != -INFINITY;
      if (__any_sync(kAllLanes, passes)) score_pairs(logits, low_bits, high_bits, passes, state, token_id, slot);
    }
  }

  // Rare after a block's first tile.
  FS_DEVICE void score_pairs(Pair logits, uint32_t low_bits, uint32_t high_bits, bool passes, const RowState& state,
                             uint32_t token_id, uint32_t slot) {
    uint64_t winner = kNoCandidate;
    if (passes) {
#pragma unroll 1
      for (uint32_t i = 0; i < 2; i++) {
        const float logit = i == 0 ? logits.low : logits.high;
        if (is_invalid_logit(logit) || logit == -INFINITY) continue;
        float score = apply_temperature(logit, state.divisor);
        if (state.is_greedy == 0) score += token_gumbel(args_.params.noise_scheme, i == 0 ? low_bits : high_bits);
        const uint64_t candidate = pack_candidate(score, token_id + 8 * i);
        winner = candidate > winner ? candidate : winner;
      }
    }
    // The eight lanes of one row.
#pragma unroll
    for (uint32_t lanes = 4; lanes < kWarpSize; lanes *= 2) {
      const uint64_t other = __shfl_xor_sync(kAllLanes, static_cast<unsigned long long>(winner), lanes);
      winner = other > winner ? other : winner;
    }
    if (threadIdx.x % kWarpSize < 4 && winner != kNoCandidate) {
      raise_best(&shared_->best[slot], winner);
    }
  }

  // Adds 16 tokens of four rows to the warp's log-masses. NaN and +infinity may give any sum: the row is an error then.
  FS_DEVICE void add_log_mass(Pair logits, uint32_t row) {
    float reference = fmaxf(logits.low, logits.high);
#pragma unroll
    for (uint32_t lanes = 4; lanes < kWarpSize; lanes *= 2) {
      reference = fmaxf(reference, __shfl_xor_sync(kAllLanes, reference, lanes));
    }
    float sum = reference > -INFINITY ? __expf(logits.low - reference) + __expf(logits.high - reference) : 0.f;
#pragma unroll
    for (uint32_t lanes = 4; lanes < kWarpSize; lanes *= 2)
      sum += __shfl_xor_sync(kAllLanes, sum, lanes);
    if (threadIdx.x % kWarpSize < 4) {
      LogMass& mass = shared_->log_mass[warp_vocab_][row];
      mass = merge_log_mass(mass, {reference, sum});
    }
  }

  const Args& args_;
  Shared<Config>* shared_;
  uint32_t warp_vocab_, warp_batch_;
  bool wants_log_mass_, is_raw_;
};

template <class Config>
FS_DEVICE void prepare_shared(const Args& args, Shared<Config>* shared) {
  const SampleParams& params = args.params;
  const PassRange& pass = args.pass;
  for (uint32_t slot = threadIdx.x; slot < pass.num_rows * pass.num_draws; slot += kNumThreads) {
    const uint32_t row_idx = pass.first_row + slot / pass.num_draws;
    shared->best[slot] = kNoCandidate;
    shared->keys[slot] = row_key(params.rows, params.noise_scheme, row_idx, pass.first_draw + slot % pass.num_draws);
    shared->offset[slot] = WinnerFilter::offset(-INFINITY);
  }
  for (uint32_t row = threadIdx.x; row < Config::kTileBatch; row += kNumThreads) {
    const float temperature = row < pass.num_rows ? row_temperature(params.rows, pass.first_row + row) : 1.f;
    const float divisor = temperature_divisor(temperature);
    shared->rows[row] = {divisor, WinnerFilter::scale(divisor), temperature == 0.f};
    shared->row_flags[row] = 0;
    for (int warp = 0; warp < Config::kWarpsVocab; warp++)
      shared->log_mass[warp][row] = {0.f, 0.f};
  }
}

template <class Config>
FS_DEVICE void publish(const Args& args, Shared<Config>* shared, Workspace* workspace) {
  const PassRange& pass = args.pass;
  for (uint32_t slot = threadIdx.x; slot < pass.num_rows * pass.num_draws; slot += kNumThreads) {
    publish_winner(workspace, slot, shared->best[slot]);
  }
  for (uint32_t row = threadIdx.x; row < pass.num_rows; row += kNumThreads) {
    if (shared->row_flags[row] != 0) atomicOr(&workspace->row_flags[row], 1u);
    if (wants_log_mass(args.params.out)) {
      LogMass mass = shared->log_mass[0][row];
      for (int warp = 1; warp < Config::kWarpsVocab; warp++)
        mass = merge_log_mass(mass, shared->log_mass[warp][row]);
      workspace->log_sum_exp[blockIdx.x][row] = log_sum_exp(mass);
    }
  }
}

template <class Config, Dtype kDtype>
__global__ void __launch_bounds__(kNumThreads, 2) smxx_tile_sample(const __grid_constant__ Args args) {
  Shared<Config>* shared = reinterpret_cast<Shared<Config>*>(dynamic_shared());
  const SampleParams& params = args.params;
  const TileSchedule schedule(args);
  const uint32_t num_slices = (params.hidden_size + kTileHidden - 1) / kTileHidden;
  const uint32_t num_loads = schedule.num_tiles * num_slices;
  const uint32_t warp_idx = threadIdx.x / kWarpSize;
  const uint32_t warp_vocab = warp_idx % Config::kWarpsVocab, warp_batch = warp_idx / Config::kWarpsVocab;

  // --- Fill the ring ---
  Loader<Config> loader(args, schedule, shared);
  constexpr uint32_t kNumStages = Config::kNumStages;
#pragma unroll
  for (uint32_t stage = 0; stage < kNumStages - 1; stage++) {
    if (stage < num_loads) loader.load(stage);
    copy_async_commit();
  }
  prepare_shared(args, shared);

  // --- Stream ---
  float accumulators[Config::kMmaVocab][Config::kMmaBatch][4] = {};
  Epilogue<Config> epilogue(args, shared, warp_vocab, warp_batch);
  const uint32_t warp_weight = shared_address(shared->weight) + warp_vocab * (Config::kWarpVocab * kRowBytes);
  const uint32_t warp_hidden = shared_address(shared->hidden) + warp_batch * (Config::kWarpBatch * kRowBytes);
  uint32_t num_loaded = kNumStages - 1, load_stage = kNumStages - 1, stage = 0;
#pragma unroll 1
  for (uint32_t tile = 0; tile < schedule.num_tiles; tile++) {
#pragma unroll 1
    for (uint32_t slice = 0; slice < num_slices; slice++) {
      copy_async_wait<kNumStages - 2>();
      // NOTE: publishes this stage's bytes, and frees the stage of the slice before it for the load below. Between two
      // epilogues it also separates writers and readers of shared->offset.
      __syncthreads();
      if (num_loaded < num_loads) loader.load(load_stage);
      copy_async_commit();
      num_loaded++;
      load_stage = load_stage + 1 == kNumStages ? 0 : load_stage + 1;
      multiply_slice<Config, kDtype>(accumulators, warp_weight + stage * (kTileVocab * kRowBytes),
                                     warp_hidden + stage * (Config::kTileBatch * kRowBytes));
      stage = stage + 1 == kNumStages ? 0 : stage + 1;
    }
    epilogue.process_tile(accumulators, schedule.tile_begin(tile), schedule.tile_end(tile));
#pragma unroll
    for (int m = 0; m < Config::kMmaVocab; m++) {
#pragma unroll
      for (int n = 0; n < Config::kMmaBatch; n++) {
#pragma unroll
        for (int j = 0; j < 4; j++)
          accumulators[m][n][j] = 0.f;
      }
    }
    __syncthreads();
    for (uint32_t slot = threadIdx.x; slot < args.pass.num_rows * args.pass.num_draws; slot += kNumThreads) {
      const uint64_t best = shared->best[slot];
      if (best != kNoCandidate) shared->offset[slot] = WinnerFilter::offset(candidate_score(best));
    }
  }
  copy_async_wait<0>();

  // --- Finish ---
  Workspace* workspace = static_cast<Workspace*>(params.workspace);
  publish(args, shared, workspace);
  const LastBlockArgs last = last_block_args(params, args.pass, gridDim.x);
  finish_pass<kNumThreads>(last, workspace, shared->row_log_sum_exp);
}

}  // namespace flashsampling::smxx
