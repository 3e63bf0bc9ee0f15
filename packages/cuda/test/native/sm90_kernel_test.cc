// The Hopper kernel and its launchers as a host program, by emulation, against a plain loop over tokens. One case a
// line on stdin, one answer a line on stdout: rows checked, and what was wrong first. Driven by
// test/sm90-kernel.test.ts.
//
// Hidden states and weight are small integers (or one nonzero number a row), so that every sum is exact and equality is
// bitwise. What must not be read (padding between rows, before and after) is NaN, which would make its row an error.
#pragma GCC optimize("no-strict-aliasing")  // device code reads shared memory as vectors
// Device code compares counts that are known to be small, and takes arguments that not every width needs.
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#include "emulation/cuda_runtime.h"
#include "emulation/sm90_ptx.h"

#include <iostream>
#include <sstream>
#include <string>

#include "../launch/sm90_launch.cu"
#include "../launch/sm90_n128.cu"
#include "../launch/sm90_n16.cu"
#include "../launch/sm90_n256.cu"
#include "../launch/sm90_n32.cu"
#include "../launch/sm90_n64.cu"
#include "../launch/sm90_n8.cu"
#include "merge_shards.cuh"
#include "random_inputs.h"

namespace flashsampling {
namespace {

enum Flags : uint32_t {
  kTemperatures = 1,  // mixed, greedy and invalid ones included; else all 1
  kBias = 2,
  kMask = 4,
  kSharedRow = 8,    // bias and mask with stride 0
  kNumSamples = 16,  // mixed, 0 included
  kInt64 = 32,
  kPadded = 64,      // strides above the row's length
  kMaskedRow = 128,  // with kMask: a row without any token
  kLogprobs = 256,   // and log-sum-exps
  kGreedy = 512,     // all rows
  kHot = 1024,       // all rows at a temperature that leaves nothing but noise
};

// What the logits are.
enum Values : uint32_t {
  kIntegers = 0,  // sums of small integers
  kEqual = 1,     // the same for all tokens: ties
  kHuge = 2,      // 2.5e38 and 3e38, which apart from fp32's end differ by one rounding
  kInvalid = 3,   // NaN and infinities among the inputs
  kRare = 4,      // a row's best token wins by noise beyond 2^15 odds, over a logit far below the others
  kTight = 5,     // a row's best token wins by less than 0.005, and its noise is the least that its code promises
};

struct Case {
  uint32_t type, batch_size, vocab_size, vocab_start, hidden_size, num_draws, num_multiprocessors, num_shards;
  uint32_t scheme, mode, flags, values, seed;
  bool has(Flags flag) const { return (flags & flag) != 0; }
};

float to_bf16(float value) { return bits_float(float_bits(value) & 0xFFFF0000u); }

// A matrix of 16-bit elements with strides, NaN wherever it has no element.
struct Matrix {
  std::vector<uint16_t> elements;
  uint16_t* begin;
  uint32_t columns;
  int64_t stride;

  static constexpr size_t kMargin = 4096;

  Matrix(const std::vector<float>& values, uint32_t rows, uint32_t columns_, int64_t stride_, uint32_t type)
      : elements(rows * stride_ + 2 * kMargin, to_16_bits(NAN, type)), columns(columns_), stride(stride_) {
    begin = elements.data() + kMargin;
    while (reinterpret_cast<uintptr_t>(begin) % 16 != 0)
      begin++;
    for (uint32_t row = 0; row < rows; row++) {
      for (uint32_t k = 0; k < columns; k++)
        begin[row * stride + k] = to_16_bits(values[row * columns + k], type);
    }
  }
};

struct Results {
  std::vector<int64_t> ids64;
  std::vector<int32_t> ids32, status;
  std::vector<float> logprobs, log_sum_exp;
  std::vector<uint64_t> candidates;

  void resize(const Case& c, uint32_t num_shards) {
    const size_t rows = c.batch_size * num_shards, slots = rows * c.num_draws;
    ids64.assign(slots, -7);
    ids32.assign(slots, -7);
    candidates.assign(slots, 7);
    logprobs.assign(slots, -7.f);
    log_sum_exp.assign(rows, -7.f);
    status.assign(rows, -7);
  }

  SampleOutputs outputs(const Case& c, uint32_t shard) {
    const size_t row = shard * c.batch_size, slot = row * c.num_draws;
    SampleOutputs out = {};
    out.token_ids = c.has(kInt64) ? static_cast<void*>(&ids64[slot]) : &ids32[slot];
    out.token_ids_are_int64 = c.has(kInt64);
    out.row_status = &status[row];
    out.candidates = &candidates[slot];
    if (c.has(kLogprobs)) {
      out.logprobs = &logprobs[slot];
      out.log_sum_exp = &log_sum_exp[row];
    }
    return out;
  }
};

struct Problem {
  Case c;
  std::vector<float> hidden, weight, logits;  // [batch, hidden], [vocab, hidden], [batch, vocab], exact
  std::vector<float> temperature;
  std::vector<uint64_t> seed, position;
  std::vector<uint32_t> draw_index, num_samples;
  std::vector<float> bias;
  std::vector<int32_t> allowed;
  int64_t bias_stride = 0, allowed_stride = 0;
  Results results;
  Workspace workspace;

  Problem(const Case& case_, Random& random) : c(case_) {
    for (uint32_t row = 0; row < c.batch_size; row++) {
      seed.push_back((static_cast<uint64_t>(random()) << 32) | random());
      position.push_back(row % 3 == 0 ? (1ull << 33) + row : row);
      draw_index.push_back(row % 4);
      const float choices[] = {1.f, 0.f, 0.7f, 3.f, 1.f, -1.f, 0.25f, NAN, INFINITY, 1e-30f, 1.f, 1.5f};
      temperature.push_back(c.has(kGreedy) ? 0.f : c.has(kHot) ? 1e6f : choices[row % 12]);
      num_samples.push_back(static_cast<uint32_t>(integer(random, 0, static_cast<int>(c.num_draws) + 1)));
    }
    make_bias_and_mask(random);
    make_matrices(random);
    for (uint32_t row = 0; row < c.batch_size; row++) {
      for (uint32_t i = 0; i < c.vocab_size; i++) {
        float sum = 0.f;
        for (uint32_t k = 0; k < c.hidden_size; k++)
          sum += hidden[row * c.hidden_size + k] * weight[i * c.hidden_size + k];
        logits.push_back(sum);
      }
    }
    std::memset(static_cast<void*>(&workspace), 0xFF, sizeof(workspace));
    std::memset(static_cast<void*>(&workspace), 0, kZeroedBytes);
  }

  void make_bias_and_mask(Random& random) {
    const uint32_t token_end = c.vocab_start + c.vocab_size;
    const uint32_t parameter_rows = c.has(kSharedRow) ? 1 : c.batch_size;
    if (c.has(kBias)) {
      bias_stride = c.has(kSharedRow) ? 0 : token_end + 3;
      bias.assign(parameter_rows * (token_end + 3), NAN);
      for (uint32_t row = 0; row < parameter_rows; row++) {
        for (uint32_t t = c.vocab_start; t < token_end; t++) {
          bias[row * (token_end + 3) + t] = t % 11 == 3 ? -INFINITY : static_cast<float>(integer(random, -8, 8)) / 4;
        }
      }
    }
    if (c.has(kMask)) {
      const uint32_t words = (token_end + 31) / 32;
      allowed_stride = c.has(kSharedRow) ? 0 : words;
      for (uint32_t i = 0; i < parameter_rows * words; i++) {
        const bool is_masked_row = c.has(kMaskedRow) && i / words == parameter_rows - 1;
        allowed.push_back(is_masked_row ? 0 : static_cast<int32_t>(random() & random()));
      }
    }
  }

  void make_matrices(Random& random) {
    const uint32_t size = c.hidden_size;
    hidden.assign(c.batch_size * size, 0.f);
    weight.assign(c.vocab_size * size, 0.f);
    if (c.values == kIntegers || c.values == kInvalid) {
      for (float& value : hidden)
        value = static_cast<float>(integer(random, -2, 2)) / 2;
      for (float& value : weight)
        value = static_cast<float>(integer(random, -2, 2)) / 2;
    }
    if (c.values == kEqual) {
      for (uint32_t row = 0; row < c.batch_size; row++)
        hidden[row * size] = static_cast<float>(static_cast<int>(row % 5) - 2);
      for (uint32_t i = 0; i < c.vocab_size; i++)
        weight[i * size] = 1.f;
    }
    if (c.values == kHuge) {
      for (uint32_t row = 0; row < c.batch_size; row++)
        hidden[row * size] = row % 4 == 3 ? -1.f : 1.f;
      for (uint32_t i = 0; i < c.vocab_size; i++) {
        const uint32_t kind = random() % 64;
        weight[i * size] = to_bf16(kind == 0 ? 3e38f : kind < 32 ? 2.5e38f : kind < 48 ? -2.5e38f : 0.f);
      }
    }
    if (c.values == kInvalid) {
      // A row of hidden states, and for the rows with a nonzero factor a row of weight that overflows either way.
      if (c.batch_size > 2) hidden[2 * size + size / 2] = NAN;
      for (uint32_t row = 0; row < c.batch_size; row++)
        hidden[row * size] = row % 2 == 0 ? 1.f : -1.f;
      for (uint32_t i = 0; i < c.vocab_size; i++)
        weight[i * size] = 0.f;
      weight[(c.vocab_size / 2) * size] = INFINITY;
    }
    if (c.values == kRare || c.values == kTight) make_rare(random);
  }

  // Two columns of the weight for each row of the batch, whose sum is the logit. All are 0 but that of one token, which
  // wins by its noise; the second best has come tiles before, so that the filter knows it.
  void make_rare(Random& random) {
    const NoiseScheme scheme = static_cast<NoiseScheme>(c.scheme);
    for (uint32_t row = 0; row < c.batch_size; row++) {
      const uint32_t column = 2 * row % c.hidden_size;
      hidden[row * c.hidden_size + column] = hidden[row * c.hidden_size + column + 1] = 1.f;
      position[row] = draw_index[row] = 0;
      if (2 * row >= c.hidden_size) {  // the same row again
        seed[row] = seed[row - c.hidden_size / 2];
        continue;
      }
      uint32_t token = 0;
      float noise = 0.f, other = 0.f;
      for (bool is_found = false; !is_found;) {
        seed[row] = (static_cast<uint64_t>(random()) << 32) | random();
        const RowKey key = row_key(row_params(), scheme, row, 0);
        uint32_t second = 0, least = UINT32_MAX, next = UINT32_MAX;
        for (uint32_t i = 0; i < c.vocab_size; i++) {
          const uint32_t v = WinnerFilter::integer(scheme, token_bits(scheme, key, c.vocab_start + i));
          if (v < least) {
            second = token, next = least;
            token = i, least = v;
          } else if (v < next) {
            second = i, next = v;
          }
        }
        const double doublings = -std::log2((least + 0.5) * 0x1p-32);
        is_found = c.values == kRare
                       ? doublings > 17.5
                       : doublings > 8 && std::ceil(doublings) - doublings < 0.01 && token > second + c.vocab_size / 3;
        noise = token_gumbel(scheme, token_bits(scheme, key, c.vocab_start + token));
        other = token_gumbel(scheme, token_bits(scheme, key, c.vocab_start + second));
      }
      const float logit = other - noise + (c.values == kRare ? 0.1f : 0.004f), high = to_bf16(logit);
      weight[token * c.hidden_size + column] = high;
      weight[token * c.hidden_size + column + 1] = to_bf16(logit - high);
    }
  }

  RowParams row_params() const {
    RowParams rows = {};
    if (c.has(kTemperatures) || c.has(kGreedy) || c.has(kHot)) rows.temperature = temperature.data();
    rows.seed = seed.data();
    rows.position = position.data();
    rows.draw_index = draw_index.data();
    if (c.has(kNumSamples)) rows.num_samples = num_samples.data();
    if (c.has(kBias)) rows.logit_bias = bias.data();
    rows.logit_bias_stride = bias_stride;
    if (c.has(kMask)) rows.allowed_tokens = allowed.data();
    rows.allowed_tokens_stride = allowed_stride;
    return rows;
  }

  // Draws from each shard of the vocabulary, and merges them if there are several. Gives what is wrong, or "".
  std::string sample() {
    DeviceInfo device;
    device.num_multiprocessors = static_cast<int>(c.num_multiprocessors);
    device.encode_tensor_map = cuTensorMapEncodeTiled;
    if (sm90_prepare(device) != cudaSuccess) return "cannot prepare";
    const int64_t padding = c.has(kPadded) ? 24 : 0;
    const Matrix hidden_states(hidden, c.batch_size, c.hidden_size, c.hidden_size + padding, c.type);
    const Matrix weights(weight, c.vocab_size, c.hidden_size, c.hidden_size + 2 * padding, c.type);
    Results parts;
    parts.resize(c, c.num_shards);
    for (uint32_t shard = 0; shard < c.num_shards; shard++) {
      const uint32_t begin = shard * c.vocab_size / c.num_shards, end = (shard + 1) * c.vocab_size / c.num_shards;
      SampleParams params = {};
      params.batch_size = c.batch_size;
      params.hidden_size = c.hidden_size;
      params.shard_rows = end - begin;
      params.vocab_start = c.vocab_start + begin;
      params.max_num_samples = c.num_draws;
      params.dtype = static_cast<Dtype>(c.type);
      params.noise_scheme = static_cast<NoiseScheme>(c.scheme);
      params.logprobs_mode = static_cast<LogprobsMode>(c.mode);
      params.hidden_states = hidden_states.begin;
      params.hidden_states_stride = hidden_states.stride;
      params.weight = weights.begin + begin * weights.stride;
      params.weight_stride = weights.stride;
      params.rows = row_params();
      params.out = parts.outputs(c, shard);
      params.workspace = &workspace;
      if (sm90_sample(device, params, nullptr) != cudaSuccess) return "cannot launch";
      const uint8_t* zeroed = reinterpret_cast<const uint8_t*>(&workspace);
      if (std::any_of(zeroed, zeroed + kZeroedBytes, [](uint8_t byte) { return byte != 0; })) {
        return "the workspace is not left zero";
      }
    }
    if (c.num_shards == 1) {
      results = std::move(parts);
      return "";
    }
    results.resize(c, 1);
    MergeArgs merge = {};
    merge.num_shards = c.num_shards;
    merge.batch_size = c.batch_size;
    merge.max_num_samples = c.num_draws;
    merge.noise_scheme = static_cast<NoiseScheme>(c.scheme);
    merge.logprobs_mode = static_cast<LogprobsMode>(c.mode);
    merge.candidates = parts.candidates.data();
    merge.log_sum_exp = c.has(kLogprobs) ? parts.log_sum_exp.data() : nullptr;
    merge.row_status = parts.status.data();
    merge.rows = row_params();
    merge.out = results.outputs(c, 0);
    for (uint32_t row = 0; row < c.batch_size; row++) {
      for (uint32_t draw = 0; draw < c.num_draws; draw++)
        merge_slot(merge, row, draw);
    }
    return "";
  }

  // Compares every output with a plain loop over the tokens; gives what is wrong first, or "".
  std::string check() const {
    for (uint32_t row = 0; row < c.batch_size; row++) {
      const std::string wrong = check_row(row);
      if (!wrong.empty()) return "row " + std::to_string(row) + ": " + wrong;
    }
    return "";
  }

  std::string check_row(uint32_t row) const {
    const NoiseScheme scheme = static_cast<NoiseScheme>(c.scheme);
    const RowParams rows = row_params();
    const float row_temp = row_temperature(rows, row), divisor = temperature_divisor(row_temp);
    bool is_invalid = false, has_token = false;
    std::vector<float> transformed(c.vocab_size);
    std::vector<double> counted(c.vocab_size);
    double largest = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < c.vocab_size; i++) {
      const uint32_t token_id = c.vocab_start + i;
      const float raw = logits[row * c.vocab_size + i];
      float logit = raw + (c.has(kBias) ? bias[row * bias_stride + token_id] : 0.f);
      is_invalid |= is_invalid_logit(logit);
      if (c.has(kMask) && (allowed[row * allowed_stride + token_id / 32] >> (token_id % 32) & 1) == 0)
        logit = -INFINITY;
      transformed[i] = apply_temperature(logit, divisor);
      counted[i] = c.mode == 1 ? raw : transformed[i];
      largest = std::fmax(largest, counted[i]);
      has_token |= transformed[i] > -INFINITY;
    }
    for (const double value : counted) {
      if (value > -INFINITY) sum += std::exp(value - largest);
    }
    const double mass = largest > -INFINITY ? largest + std::log(sum) : -INFINITY;
    const uint32_t wanted = row_num_samples(rows, row, c.num_draws);
    const int32_t expected_status = !is_valid_temperature(row_temp) ? kRowInvalidParameters
                                    : is_invalid                    ? kRowInvalidLogits
                                    : !has_token && wanted > 0      ? kRowAllTokensMasked
                                                                    : kRowOk;
    std::ostringstream wrong;
    if (results.status[row] != expected_status) {
      wrong << "status " << results.status[row] << " for " << expected_status;
      return wrong.str();
    }
    const bool has_mass = expected_status == kRowOk || expected_status == kRowAllTokensMasked;
    if (c.has(kLogprobs) && !is_near(results.log_sum_exp[row], has_mass ? mass : NAN)) {
      wrong << "log-sum-exp " << results.log_sum_exp[row] << " for " << mass;
      return wrong.str();
    }
    for (uint32_t draw = 0; draw < c.num_draws; draw++) {
      uint64_t best = kNoCandidate;
      const RowKey key = row_key(rows, scheme, row, draw);
      for (uint32_t i = 0; i < c.vocab_size; i++) {
        const uint32_t token_id = c.vocab_start + i;
        if (!(transformed[i] > -INFINITY && transformed[i] < INFINITY)) continue;
        const float score =
            row_temp == 0.f ? transformed[i] : transformed[i] + token_gumbel(scheme, token_bits(scheme, key, token_id));
        best = std::max(best, pack_candidate(score, token_id));
      }
      const bool is_drawn = expected_status == kRowOk && draw < wanted;
      const int64_t expected_id = is_drawn ? static_cast<int64_t>(candidate_token_id(best)) : -1;
      const size_t slot = row * c.num_draws + draw;
      const int64_t id = c.has(kInt64) ? results.ids64[slot] : results.ids32[slot];
      wrong << "draw " << draw << ": ";
      if (id != expected_id) {
        wrong << "token " << id << " for " << expected_id;
        return wrong.str();
      }
      const bool is_error = expected_status == kRowInvalidParameters || expected_status == kRowInvalidLogits;
      const uint64_t expected = is_error ? pack_row_error(expected_status) : is_drawn ? best : kNoCandidate;
      if (results.candidates[slot] != expected) {
        wrong << "candidate " << results.candidates[slot] << " for " << expected;
        return wrong.str();
      }
      const double logprob = is_drawn ? counted[expected_id - c.vocab_start] - mass : NAN;
      // The drawn logit comes back from its score, so its error is a rounding of the score, times the divisor for raw.
      const double scale = is_drawn ? std::fabs(candidate_score(best)) * (c.mode == 1 ? divisor : 1) : 0;
      if (c.has(kLogprobs) && !is_near(results.logprobs[slot], logprob, 1e-6 * std::fmax(scale, std::fabs(mass)))) {
        wrong << "logprob " << results.logprobs[slot] << " for " << logprob;
        return wrong.str();
      }
      wrong.str("");
    }
    return "";
  }

  static bool is_near(double value, double expected, double slack = 0) {
    if (expected != expected) return value != value;
    if (std::isinf(expected)) return value == expected;
    return std::fabs(value - expected) <= 1e-5 * std::fmax(1, std::fabs(expected)) + slack;
  }
};

}  // namespace
}  // namespace flashsampling

int main() {
  using namespace flashsampling;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream in(line);
    Case c = {};
    in >> c.type >> c.batch_size >> c.vocab_size >> c.vocab_start >> c.hidden_size >> c.num_draws >>
        c.num_multiprocessors >> c.num_shards >> c.scheme >> c.mode >> c.flags >> c.values >> c.seed;
    if (!in) {
      std::fprintf(stderr, "cannot read the case: %s\n", line.c_str());
      return 1;
    }
    Random random(c.seed);
    emulation::random_state = 0x9E3779B97F4A7C15ull * (c.seed + 1);
    Problem problem(c, random);
    std::string wrong = problem.sample();
    if (wrong.empty()) wrong = problem.check();
    std::printf("%u %s\n", c.batch_size, wrong.empty() ? "equal" : wrong.c_str());
    std::fflush(stdout);
  }
  return 0;
}
