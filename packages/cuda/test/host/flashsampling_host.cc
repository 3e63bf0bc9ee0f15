// The C ABI on host memory: every function of flashsampling.h with plain loops and the device-math headers, so that the
// Node addon, the TypeScript layer and the conformance kit run on machines without a GPU. Scores are fp32, sums of
// products go strictly from left to right.
//
// It is stricter than a GPU where that finds mistakes: fresh memory holds NaN patterns, "device" memory is limited, so
// that leaks run dry, and a workspace must have been prepared.
#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>
#include <unordered_map>

#include "flashsampling.h"

#include "../../csrc/kernels/common/candidate.h"
#include "../../csrc/kernels/common/noise.h"
#include "../../csrc/kernels/common/score.h"

struct flashsampling_context {
  int32_t device_index;
};

namespace {

using flashsampling::candidate_row_error;
using flashsampling::candidate_score;
using flashsampling::candidate_token_id;
using flashsampling::is_row_error;
using flashsampling::kNoCandidate;
using flashsampling::make_row_key;
using flashsampling::NoiseScheme;
using flashsampling::pack_candidate;
using flashsampling::pack_row_error;
using flashsampling::RowKey;

constexpr uint64_t kDeviceBytes = 256u << 20;
constexpr uint64_t kWorkspaceBytes = 4096;
constexpr uint64_t kPrepared = 0x5EED5EED5EED5EEDull;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

thread_local char error_text[512] = "";

__attribute__((format(printf, 2, 3))) flashsampling_status fail(flashsampling_status status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(error_text, sizeof(error_text), format, arguments);
  va_end(arguments);
  return status;
}

std::mutex memory_mutex;
std::unordered_map<void*, uint64_t> device_blocks;
uint64_t device_bytes_used = 0;

void* allocate(uint64_t bytes) {
  void* pointer = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (pointer != nullptr) std::memset(pointer, 0xFF, bytes);
  return pointer;
}

float widen(const void* data, uint32_t dtype, uint64_t index) {
  const uint16_t bits = static_cast<const uint16_t*>(data)[index];
  if (dtype == FLASHSAMPLING_DTYPE_BF16) return flashsampling::bits_float(static_cast<uint32_t>(bits) << 16);
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 0x3FF;
  const float sign = (bits & 0x8000) != 0 ? -1.f : 1.f;
  if (exponent == 31) return mantissa == 0 ? sign * kInfinity : kNaN;
  return sign * (exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                               : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25));
}

// Parameters of one row, defaults filled in; Args is the struct of sample() or of merge().
struct Row {
  float temperature = 1.f, divisor = 1.f;
  uint64_t seed = 0, position = 0;
  uint32_t draw_index = 0, num_samples = 1;
  const float* logit_bias = nullptr;
};

template <typename Args>
Row read_row(const Args& args, uint32_t row_idx) {
  Row row;
  if (args.temperature != nullptr) row.temperature = args.temperature[row_idx];
  if (args.seed != nullptr) row.seed = args.seed[row_idx];
  if (args.position != nullptr) row.position = args.position[row_idx];
  if (args.draw_index != nullptr) row.draw_index = args.draw_index[row_idx];
  const uint32_t columns = args.max_num_samples == 0 ? 1 : args.max_num_samples;
  row.num_samples = args.num_samples != nullptr ? std::min(args.num_samples[row_idx], columns) : columns;
  if (args.logit_bias != nullptr) row.logit_bias = args.logit_bias + row_idx * args.logit_bias_stride;
  row.divisor = flashsampling::temperature_divisor(row.temperature);
  return row;
}

float gumbel(uint32_t scheme, const Row& row, uint32_t draw, uint32_t token_id) {
  const auto noise_scheme = static_cast<NoiseScheme>(scheme);
  const RowKey key = make_row_key(noise_scheme, row.seed, row.position, row.draw_index + draw);
  return flashsampling::token_gumbel(noise_scheme, flashsampling::token_bits(noise_scheme, key, token_id));
}

// Log-sum-exp with fp64 inside, so that shards and their whole agree to the last bits of fp32.
struct Mass {
  double reference = -std::numeric_limits<double>::infinity(), sum = 0;
  void add(double logit, double weight = 1) {
    if (logit > reference) {
      sum = sum * std::exp(reference - logit) + weight;
      reference = logit;
    } else if (logit != -std::numeric_limits<double>::infinity()) {
      sum += weight * std::exp(logit - reference);
    }
  }
  float log_sum_exp() const { return sum == 0 ? -kInfinity : static_cast<float>(reference + std::log(sum)); }
};

float logprob_of(uint64_t candidate, uint32_t scheme, uint32_t mode, const Row& row, uint32_t draw, float log_sum_exp) {
  const uint32_t token_id = candidate_token_id(candidate);
  float logit = candidate_score(candidate);
  if (row.temperature != 0.f) logit -= gumbel(scheme, row, draw, token_id);
  if (mode == FLASHSAMPLING_LOGPROBS_RAW) {
    logit = flashsampling::undo_temperature(logit, row.divisor);
    if (row.logit_bias != nullptr) logit -= row.logit_bias[token_id];
  }
  return logit - log_sum_exp;
}

bool is_invalid(int32_t status) {
  return status == FLASHSAMPLING_ROW_INVALID_LOGITS || status == FLASHSAMPLING_ROW_INVALID_PARAMETERS;
}

// Results of one row, whichever of them are wanted. An invalid row's error takes the place of its candidates.
template <typename Args>
void store(const Args& args, uint32_t row_idx, const Row& row, const uint64_t* winners, int32_t status,
           float log_sum_exp, uint64_t* out_candidates) {
  const uint32_t columns = args.max_num_samples == 0 ? 1 : args.max_num_samples;
  for (uint32_t draw = 0; draw < columns; draw++) {
    const uint64_t slot = uint64_t{row_idx} * columns + draw;
    const bool has_token = status == FLASHSAMPLING_ROW_OK && draw < row.num_samples;
    const int64_t token_id = has_token ? candidate_token_id(winners[draw]) : -1;
    if (args.out_token_ids != nullptr) {
      if (args.token_id_type == FLASHSAMPLING_TOKEN_ID_INT64) {
        static_cast<int64_t*>(args.out_token_ids)[slot] = token_id;
      } else {
        static_cast<int32_t*>(args.out_token_ids)[slot] = static_cast<int32_t>(token_id);
      }
    }
    if (args.out_logprobs != nullptr) {
      args.out_logprobs[slot] =
          has_token ? logprob_of(winners[draw], args.noise_scheme, args.logprobs_mode, row, draw, log_sum_exp) : kNaN;
    }
    if (out_candidates != nullptr) {
      out_candidates[slot] = is_invalid(status) ? pack_row_error(status) : has_token ? winners[draw] : kNoCandidate;
    }
  }
  if (args.out_log_sum_exp != nullptr) {
    args.out_log_sum_exp[row_idx] = is_invalid(status) ? kNaN : log_sum_exp;
  }
  if (args.out_row_status != nullptr) args.out_row_status[row_idx] = status;
}

void sample_row(const flashsampling_sample_args& args, uint32_t row_idx) {
  const Row row = read_row(args, row_idx);
  const uint32_t columns = args.max_num_samples == 0 ? 1 : args.max_num_samples;
  const uint64_t hidden_stride = args.hidden_states_stride == 0 ? args.hidden_size : args.hidden_states_stride;
  const uint64_t weight_stride = args.weight_stride == 0 ? args.hidden_size : args.weight_stride;
  const bool is_raw = args.logprobs_mode == FLASHSAMPLING_LOGPROBS_RAW;
  auto* winners = static_cast<uint64_t*>(std::calloc(columns, sizeof(uint64_t)));
  int32_t status = FLASHSAMPLING_ROW_OK;
  Mass mass;
  for (uint32_t i = 0; i < args.shard_rows; i++) {
    const uint32_t token_id = args.vocab_start + i;
    float logit = 0.f;
    for (uint32_t k = 0; k < args.hidden_size; k++) {
      logit += widen(args.hidden_states, args.dtype, row_idx * hidden_stride + k) *
               widen(args.weight, args.dtype, i * weight_stride + k);
    }
    if (std::isnan(logit) || logit == kInfinity) status = FLASHSAMPLING_ROW_INVALID_LOGITS;
    if (is_raw) mass.add(logit);
    if (row.logit_bias != nullptr) logit += row.logit_bias[token_id];
    if (args.allowed_tokens != nullptr) {
      const int32_t* mask = args.allowed_tokens + row_idx * args.allowed_tokens_stride;
      if ((mask[token_id / 32] >> (token_id % 32) & 1) == 0) logit = -kInfinity;
    }
    logit = flashsampling::apply_temperature(logit, row.divisor);
    if (!is_raw) mass.add(logit);
    if (!(logit > -kInfinity && logit < kInfinity)) continue;
    for (uint32_t draw = 0; draw < row.num_samples; draw++) {
      const float score = row.temperature == 0.f ? logit : logit + gumbel(args.noise_scheme, row, draw, token_id);
      const uint64_t candidate = pack_candidate(score, token_id);
      if (candidate > winners[draw]) winners[draw] = candidate;
    }
  }
  if (status == FLASHSAMPLING_ROW_OK && winners[0] == kNoCandidate) status = FLASHSAMPLING_ROW_ALL_TOKENS_MASKED;
  if (!(row.temperature >= 0.f && row.temperature < kInfinity)) status = FLASHSAMPLING_ROW_INVALID_PARAMETERS;
  store(args, row_idx, row, winners, status, mass.log_sum_exp(), args.out_candidates);
  std::free(winners);
}

void merge_row(const flashsampling_merge_args& args, uint32_t row_idx) {
  const Row row = read_row(args, row_idx);
  const uint32_t columns = args.max_num_samples == 0 ? 1 : args.max_num_samples;
  auto* winners = static_cast<uint64_t*>(std::calloc(columns, sizeof(uint64_t)));
  int32_t error = FLASHSAMPLING_ROW_OK;
  // Invalid parameters, the greater number, come before invalid logits.
  const auto add_error = [&error](int32_t status) {
    if (is_invalid(status)) error = std::max(error, status);
  };
  Mass mass;
  for (uint32_t shard = 0; shard < args.num_shards; shard++) {
    const uint64_t at = uint64_t{shard} * args.batch_size + row_idx;
    if (args.row_status != nullptr) add_error(args.row_status[at]);
    if (args.log_sum_exp != nullptr) mass.add(args.log_sum_exp[at]);
    for (uint32_t draw = 0; draw < columns; draw++) {
      const uint64_t candidate = args.candidates[at * columns + draw];
      if (is_row_error(candidate)) {
        add_error(candidate_row_error(candidate));
      } else if (candidate > winners[draw]) {
        winners[draw] = candidate;
      }
    }
  }
  // A shard may be masked as a whole; only when all are has the row no token.
  int32_t status = error;
  if (status == FLASHSAMPLING_ROW_OK && winners[0] == kNoCandidate) status = FLASHSAMPLING_ROW_ALL_TOKENS_MASKED;
  store(args, row_idx, row, winners, status, mass.log_sum_exp(), nullptr);
  std::free(winners);
}

}  // namespace

namespace flashsampling {

const char* last_error() { return error_text; }

}  // namespace flashsampling

// The functions that know no device are those of csrc/abi/library.cc, which asks for last_error().
extern "C" {

flashsampling_status flashsampling_device_count(int32_t* out_count) {
  *out_count = 2;
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_device_properties_get(int32_t device_index, flashsampling_device_properties* out) {
  if (device_index < 0 || device_index > 1) return fail(FLASHSAMPLING_INVALID_ARGUMENT, "no device %d", device_index);
  *out = {};
  out->struct_size = sizeof(*out);
  out->device_index = device_index;
  std::snprintf(out->name, sizeof(out->name), "host memory %d", device_index);
  // Device 1 is too old for everything.
  out->compute_major = device_index == 0 ? 8 : 7;
  out->num_multiprocessors = 1;
  out->total_memory_bytes = kDeviceBytes;
  out->driver_version = 13000;
  out->runtime_version = 13000;
  out->serves_smxx = device_index == 0;
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_context_create(int32_t device_index, flashsampling_context** out_context) {
  if (device_index != 0) return fail(FLASHSAMPLING_UNSUPPORTED_DEVICE, "device %d is too old", device_index);
  *out_context = new flashsampling_context{device_index};
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_context_destroy(flashsampling_context* context) {
  delete context;
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_workspace_bytes(flashsampling_context*, uint32_t, uint32_t, uint64_t* out_bytes) {
  *out_bytes = kWorkspaceBytes;
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_workspace_init(flashsampling_context*, void* workspace, uint64_t workspace_bytes,
                                                  flashsampling_stream) {
  if (workspace_bytes < kWorkspaceBytes) return fail(FLASHSAMPLING_WORKSPACE_TOO_SMALL, "workspace is too small");
  *static_cast<uint64_t*>(workspace) = kPrepared;
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_sample(flashsampling_context*, const flashsampling_sample_args* args,
                                          flashsampling_stream) {
  if (args->struct_size != sizeof(*args)) return fail(FLASHSAMPLING_INVALID_ARGUMENT, "struct_size is wrong");
  if (args->hidden_size % 8 != 0) return fail(FLASHSAMPLING_INVALID_ARGUMENT, "hidden_size is no multiple of 8");
  if (args->kernel == FLASHSAMPLING_KERNEL_SM90A) {
    return fail(FLASHSAMPLING_UNSUPPORTED_DEVICE, "host memory has no sm90a kernel");
  }
  if (args->workspace_bytes < kWorkspaceBytes) return fail(FLASHSAMPLING_WORKSPACE_TOO_SMALL, "workspace is too small");
  if (*static_cast<const uint64_t*>(args->workspace) != kPrepared) {
    return fail(FLASHSAMPLING_INVALID_ARGUMENT, "the workspace was not prepared");
  }
  for (uint32_t row_idx = 0; row_idx < args->batch_size; row_idx++)
    sample_row(*args, row_idx);
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_merge(flashsampling_context*, const flashsampling_merge_args* args,
                                         flashsampling_stream) {
  if (args->struct_size != sizeof(*args)) return fail(FLASHSAMPLING_INVALID_ARGUMENT, "struct_size is wrong");
  for (uint32_t row_idx = 0; row_idx < args->batch_size; row_idx++)
    merge_row(*args, row_idx);
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_sample_from_logits(flashsampling_context*, const flashsampling_logits_args*,
                                                      flashsampling_stream) {
  return fail(FLASHSAMPLING_NOT_SERVED, "logits are not drawn from on host memory");
}

flashsampling_status flashsampling_stream_create(flashsampling_context* context, flashsampling_stream* out_stream) {
  *out_stream = context;
  return FLASHSAMPLING_OK;
}
flashsampling_status flashsampling_stream_destroy(flashsampling_context*, flashsampling_stream) {
  return FLASHSAMPLING_OK;
}
flashsampling_status flashsampling_stream_synchronize(flashsampling_context*, flashsampling_stream) {
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_memory_alloc(flashsampling_context*, uint64_t bytes, void** out_pointer) {
  std::lock_guard<std::mutex> lock(memory_mutex);
  if (bytes > kDeviceBytes - device_bytes_used || (*out_pointer = allocate(bytes)) == nullptr) {
    return fail(FLASHSAMPLING_OUT_OF_MEMORY, "%llu bytes are left of %llu",
                static_cast<unsigned long long>(kDeviceBytes - device_bytes_used),
                static_cast<unsigned long long>(kDeviceBytes));
  }
  device_blocks[*out_pointer] = bytes;
  device_bytes_used += bytes;
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_memory_free(flashsampling_context*, void* pointer) {
  std::lock_guard<std::mutex> lock(memory_mutex);
  const auto block = device_blocks.find(pointer);
  if (block == device_blocks.end()) {
    return pointer == nullptr ? FLASHSAMPLING_OK : fail(FLASHSAMPLING_INVALID_ARGUMENT, "freed twice");
  }
  device_bytes_used -= block->second;
  device_blocks.erase(block);
  std::free(pointer);
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_host_alloc(flashsampling_context*, uint64_t bytes, void** out_pointer) {
  *out_pointer = allocate(bytes);
  return *out_pointer == nullptr ? fail(FLASHSAMPLING_OUT_OF_MEMORY, "no host memory") : FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_host_free(flashsampling_context*, void* pointer) {
  std::free(pointer);
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_copy_to_device(flashsampling_context*, void* device, const void* host,
                                                  uint64_t bytes, flashsampling_stream) {
  std::memcpy(device, host, bytes);
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_copy_to_host(flashsampling_context*, void* host, const void* device, uint64_t bytes,
                                                flashsampling_stream) {
  std::memcpy(host, device, bytes);
  return FLASHSAMPLING_OK;
}

}  // extern "C"
