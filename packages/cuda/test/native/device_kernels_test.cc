// The portable kernels as a host program, by emulation, against a plain loop over tokens. One case a line on stdin, one
// answer a line on stdout: rows checked, and what was wrong first. Driven by test/device-kernels.test.ts.
//
// Hidden states and weight are small integers, so that every sum is exact and equality is bitwise. What must not be
// read (padding between rows, before and after) is NaN, which would make its row an error.
#include "emulation/device.h"
#include "emulation/smxx_ptx.h"

#include <iostream>
#include <sstream>
#include <string>

#include "logits_sample.cuh"
#include "random_inputs.h"
#include "smxx_tile_sample.cuh"

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
  kInvalid = 128,    // NaN and infinities among the inputs
  kMaskedRow = 256,  // with kMask: a row without any token
  kLogprobs = 512,
  kMisaligned = 1024,  // logits that are not aligned to 16 bytes
};

struct Case {
  uint32_t type, batch_size, vocab_size, vocab_start, hidden_size, num_draws, num_blocks, scheme, mode, flags, seed;
  bool has(Flags flag) const { return (flags & flag) != 0; }
};

// A matrix of 16-bit or fp32 elements with strides, NaN wherever it has no element.
struct Matrix {
  std::vector<uint8_t> bytes;
  size_t begin;
  int64_t stride;
  uint32_t type, width;

  static constexpr size_t kMargin = 4096;

  Matrix(uint32_t rows, uint32_t columns, int64_t stride_, uint32_t type_, size_t offset)
      : stride(stride_), type(type_), width(type_ == 2 ? 4 : 2) {
    const size_t size = rows * stride * width + 2 * kMargin + 256;
    bytes.resize(size);
    begin = kMargin + (256 - (reinterpret_cast<uintptr_t>(bytes.data()) + kMargin) % 256) % 256 + offset * width;
    for (size_t at = begin % width; at + width <= size; at += width)
      put(at, NAN);
    (void)columns;
  }
  void put(size_t at, float value) {
    if (type == 2) {
      std::memcpy(&bytes[at], &value, 4);
    } else {
      const uint16_t word = to_16_bits(value, type);
      std::memcpy(&bytes[at], &word, 2);
    }
  }
  void set(uint32_t row, uint32_t column, float value) { put(begin + (row * stride + column) * width, value); }
  const void* data() const { return bytes.data() + begin; }
};

struct Problem {
  Case c;
  std::vector<float> logits;  // [batch_size, vocab_size], exact
  std::vector<float> temperature;
  std::vector<uint64_t> seed, position;
  std::vector<uint32_t> draw_index, num_samples;
  std::vector<float> bias;
  std::vector<int32_t> allowed;
  int64_t bias_stride = 0, allowed_stride = 0;
  // Results.
  std::vector<int64_t> ids64;
  std::vector<int32_t> ids32, status;
  std::vector<float> logprobs, log_sum_exp;
  std::vector<uint64_t> candidates;
  Workspace workspace = {};

  Problem(const Case& case_, Random& random) : c(case_) {
    const uint32_t token_end = c.vocab_start + c.vocab_size;
    const uint32_t rows = c.batch_size, parameter_rows = c.has(kSharedRow) ? 1 : rows;
    for (uint32_t row = 0; row < rows; row++) {
      seed.push_back((static_cast<uint64_t>(random()) << 32) | random());
      position.push_back(row % 3 == 0 ? (1ull << 33) + row : row);
      draw_index.push_back(row % 4);
      const float choices[] = {1.f, 0.f, 0.7f, 3.f, 1.f, -1.f, 0.25f, NAN, INFINITY, 1e-30f};
      temperature.push_back(choices[row % 10]);
      num_samples.push_back(static_cast<uint32_t>(integer(random, 0, static_cast<int>(c.num_draws) + 1)));
    }
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
      const uint32_t words = (token_end + 31) / 32 + 1;
      allowed_stride = c.has(kSharedRow) ? 0 : words;
      for (uint32_t i = 0; i < parameter_rows * words; i++) {
        const bool is_masked_row = c.has(kMaskedRow) && i / words == parameter_rows - 1;
        allowed.push_back(is_masked_row ? 0 : static_cast<int32_t>(random() & random()));
      }
    }
    ids64.assign(rows * c.num_draws, -7);
    ids32.assign(rows * c.num_draws, -7);
    logprobs.assign(rows * c.num_draws, -7.f);
    candidates.assign(rows * c.num_draws, 7);
    log_sum_exp.assign(rows, -7.f);
    status.assign(rows, -7);
  }

  RowParams row_params() const {
    RowParams rows = {};
    if (c.has(kTemperatures)) rows.temperature = temperature.data();
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

  SampleOutputs outputs() {
    SampleOutputs out = {};
    out.token_ids = c.has(kInt64) ? static_cast<void*>(ids64.data()) : ids32.data();
    out.token_ids_are_int64 = c.has(kInt64);
    out.row_status = status.data();
    out.candidates = candidates.data();
    if (c.has(kLogprobs)) {
      out.logprobs = logprobs.data();
      out.log_sum_exp = log_sum_exp.data();
    }
    return out;
  }

  // Compares every output with a plain loop over the tokens; gives what is wrong first, or "".
  std::string check() {
    const NoiseScheme scheme = static_cast<NoiseScheme>(c.scheme);
    const RowParams rows = row_params();
    for (uint32_t row = 0; row < c.batch_size; row++) {
      const float row_temp = row_temperature(rows, row), divisor = temperature_divisor(row_temp);
      bool is_invalid = false, has_token = false;
      double sum = 0;
      float largest = -INFINITY;
      std::vector<float> transformed(c.vocab_size), counted(c.vocab_size);
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
      for (const float value : counted) {
        if (value > -INFINITY) sum += std::exp(static_cast<double>(value) - largest);
      }
      const double mass = largest > -INFINITY ? largest + std::log(sum) : -INFINITY;
      const uint32_t wanted = row_num_samples(rows, row, c.num_draws);
      const int32_t expected_status = !is_valid_temperature(row_temp) ? kRowInvalidParameters
                                      : is_invalid                    ? kRowInvalidLogits
                                      : !has_token && wanted > 0      ? kRowAllTokensMasked
                                                                      : kRowOk;
      std::ostringstream where;
      where << "row " << row << ": ";
      if (status[row] != expected_status) {
        where << "status " << status[row] << " for " << expected_status;
        return where.str();
      }
      const bool has_mass = expected_status == kRowOk || expected_status == kRowAllTokensMasked;
      if (c.has(kLogprobs) && !is_near(log_sum_exp[row], has_mass ? mass : NAN)) {
        where << "log-sum-exp " << log_sum_exp[row] << " for " << mass;
        return where.str();
      }
      for (uint32_t draw = 0; draw < c.num_draws; draw++) {
        uint64_t best = kNoCandidate;
        const RowKey key = row_key(rows, scheme, row, draw);
        for (uint32_t i = 0; i < c.vocab_size; i++) {
          const uint32_t token_id = c.vocab_start + i;
          if (!(transformed[i] > -INFINITY && transformed[i] < INFINITY)) continue;
          const float score = row_temp == 0.f
                                  ? transformed[i]
                                  : transformed[i] + token_gumbel(scheme, token_bits(scheme, key, token_id));
          best = std::max(best, pack_candidate(score, token_id));
        }
        const bool is_drawn = expected_status == kRowOk && draw < wanted;
        const int64_t expected_id = is_drawn ? static_cast<int64_t>(candidate_token_id(best)) : -1;
        const size_t slot = row * c.num_draws + draw;
        const int64_t id = c.has(kInt64) ? ids64[slot] : ids32[slot];
        where.str("");
        where << "row " << row << ", draw " << draw << ": ";
        if (id != expected_id) {
          where << "token " << id << " for " << expected_id;
          return where.str();
        }
        const bool is_error = expected_status == kRowInvalidParameters || expected_status == kRowInvalidLogits;
        const uint64_t expected = is_error ? pack_row_error(expected_status) : is_drawn ? best : kNoCandidate;
        if (candidates[slot] != expected) {
          where << "candidate " << candidates[slot] << " for " << expected;
          return where.str();
        }
        const double logprob = is_drawn ? counted[expected_id - c.vocab_start] - mass : NAN;
        // The drawn logit comes back from its score, so its error is a rounding of the score, times the divisor for
        // raw.
        const double slack = is_drawn && c.mode == 1 ? std::fabs(candidate_score(best)) * 1e-6 * divisor : 0;
        if (c.has(kLogprobs) && !is_near(logprobs[slot], logprob, slack)) {
          where << "logprob " << logprobs[slot] << " for " << logprob;
          return where.str();
        }
      }
    }
    const uint8_t* zeroed = reinterpret_cast<const uint8_t*>(&workspace);
    for (uint64_t i = 0; i < kZeroedBytes; i++) {
      if (zeroed[i] != 0) return "the workspace is not left zero";
    }
    return "";
  }

  static bool is_near(double value, double expected, double slack = 0) {
    if (expected != expected) return value != value;
    if (std::isinf(expected)) return value == expected;
    return std::fabs(value - expected) <= 1e-5 + 4e-7 * std::fabs(expected) + slack;
  }
};

// --- The fused kernel ---

template <int kTileBatch, Dtype kDtype>
void run_smxx(const smxx::Args& args, uint32_t num_blocks) {
  using Config = smxx::Config<kTileBatch>;
  static_assert(sizeof(smxx::Shared<Config>) <= smxx::kSharedBytes, "shared memory");
  std::memset(smxx::shared_bytes, 0xFF, sizeof(smxx::shared_bytes));
  for (auto& queue : smxx::copy_queues)
    queue = {};
  emulation::launch({num_blocks}, smxx::kNumThreads, [&] { smxx::smxx_tile_sample<Config, kDtype>(args); });
}

template <int kTileBatch>
void run_smxx(const smxx::Args& args, uint32_t num_blocks) {
  if (args.params.dtype == Dtype::kBf16) {
    run_smxx<kTileBatch, Dtype::kBf16>(args, num_blocks);
  } else {
    run_smxx<kTileBatch, Dtype::kF16>(args, num_blocks);
  }
}

std::string check_smxx(const Case& c, Random& random) {
  Problem problem(c, random);
  const int64_t padding = c.has(kPadded) ? 24 : 0;
  Matrix hidden(c.batch_size, c.hidden_size, c.hidden_size + padding, c.type, 0);
  Matrix weight(c.vocab_size, c.hidden_size, c.hidden_size + 2 * padding, c.type, 0);
  std::vector<float> h(c.batch_size * c.hidden_size), w(c.vocab_size * c.hidden_size);
  for (float& value : h)
    value = static_cast<float>(integer(random, -2, 2)) / 2;
  for (float& value : w)
    value = static_cast<float>(integer(random, -2, 2)) / 2;
  if (c.has(kInvalid)) {
    // A row of hidden states, and for the rows with a nonzero factor a row of weight that overflows either way.
    if (c.batch_size > 2) h[2 * c.hidden_size + c.hidden_size / 2] = NAN;
    for (uint32_t row = 0; row < c.batch_size; row++)
      h[row * c.hidden_size] = row % 2 == 0 ? 1.f : -1.f;
    for (uint32_t i = 0; i < c.vocab_size; i++)
      w[i * c.hidden_size] = 0.f;
    w[(c.vocab_size / 2) * c.hidden_size] = INFINITY;
  }
  for (uint32_t row = 0; row < c.batch_size; row++) {
    for (uint32_t k = 0; k < c.hidden_size; k++)
      hidden.set(row, k, h[row * c.hidden_size + k]);
  }
  for (uint32_t i = 0; i < c.vocab_size; i++) {
    for (uint32_t k = 0; k < c.hidden_size; k++)
      weight.set(i, k, w[i * c.hidden_size + k]);
  }
  for (uint32_t row = 0; row < c.batch_size; row++) {
    for (uint32_t i = 0; i < c.vocab_size; i++) {
      float sum = 0.f;
      for (uint32_t k = 0; k < c.hidden_size; k++)
        sum += h[row * c.hidden_size + k] * w[i * c.hidden_size + k];
      problem.logits.push_back(sum);
    }
  }

  smxx::Args args = {};
  args.params.batch_size = c.batch_size;
  args.params.hidden_size = c.hidden_size;
  args.params.shard_rows = c.vocab_size;
  args.params.vocab_start = c.vocab_start;
  args.params.max_num_samples = c.num_draws;
  args.params.dtype = static_cast<Dtype>(c.type);
  args.params.noise_scheme = static_cast<NoiseScheme>(c.scheme);
  args.params.logprobs_mode = static_cast<LogprobsMode>(c.mode);
  args.params.hidden_states = hidden.data();
  args.params.hidden_states_stride = hidden.stride;
  args.params.weight = weight.data();
  args.params.weight_stride = weight.stride;
  args.params.rows = problem.row_params();
  args.params.out = problem.outputs();
  args.params.workspace = &problem.workspace;
  args.first_group = c.vocab_start / smxx::kGroup;
  args.num_groups = (c.vocab_start + c.vocab_size + smxx::kGroup - 1) / smxx::kGroup - args.first_group;
  const uint64_t conflicts = smxx::num_bank_conflicts;
  for (uint32_t row = 0; row < c.batch_size; row += args.pass.num_rows) {
    args.pass.first_row = row;
    args.pass.num_rows = std::min(c.batch_size - row, 128u);
    for (uint32_t draw = 0; draw < c.num_draws; draw += args.pass.num_draws) {
      args.pass.first_draw = draw;
      args.pass.num_draws = std::min(c.num_draws - draw, kMaxSlots / args.pass.num_rows);
      const uint32_t num_rows = args.pass.num_rows;
      const auto run = num_rows <= 8    ? run_smxx<8>
                       : num_rows <= 16 ? run_smxx<16>
                       : num_rows <= 32 ? run_smxx<32>
                       : num_rows <= 64 ? run_smxx<64>
                                        : run_smxx<128>;
      run(args, c.num_blocks);
    }
  }
  if (smxx::num_bank_conflicts != conflicts) return "ldmatrix has bank conflicts";
  return problem.check();
}

// --- The kernel for logits in memory ---

template <class T>
void run_logits(const logits::Args& args, uint32_t num_blocks) {
  emulation::launch({num_blocks, args.pass.num_rows}, logits::kNumThreads,
                    [&] { logits::logits_sample_kernel<T>(args); });
}

std::string check_logits(const Case& c, Random& random) {
  Problem problem(c, random);
  Matrix matrix(c.batch_size, c.vocab_size, c.vocab_size + (c.has(kPadded) ? 40 - c.vocab_size % 8 : 0), c.type,
                (16 - c.vocab_start % 16) % 16 + (c.has(kMisaligned) ? 1 : 0));
  for (uint32_t row = 0; row < c.batch_size; row++) {
    for (uint32_t i = 0; i < c.vocab_size; i++) {
      float value = static_cast<float>(integer(random, -40, 40)) / 4;
      if (i % 13 == 5) value = -INFINITY;
      if (c.has(kInvalid) && row % 3 == 1 && i == c.vocab_size / 2) value = row % 2 == 0 ? INFINITY : NAN;
      matrix.set(row, i, value);
      problem.logits.push_back(value);
    }
  }
  logits::Args args = {};
  args.vocab_size = c.vocab_size;
  args.vocab_start = c.vocab_start;
  args.max_num_samples = c.num_draws;
  args.noise_scheme = static_cast<NoiseScheme>(c.scheme);
  args.logprobs_mode = static_cast<LogprobsMode>(c.mode);
  args.logits = matrix.data();
  args.logits_stride = matrix.stride;
  args.rows = problem.row_params();
  args.out = problem.outputs();
  args.workspace = &problem.workspace;
  args.first_group = c.vocab_start / logits::kGroup;
  args.num_groups = (c.vocab_start + c.vocab_size + logits::kGroup - 1) / logits::kGroup - args.first_group;
  args.pass.num_rows = c.batch_size;
  for (uint32_t draw = 0; draw < c.num_draws; draw += args.pass.num_draws) {
    args.pass.first_draw = draw;
    args.pass.num_draws = std::min(c.num_draws - draw, kMaxSlots / args.pass.num_rows);
    (c.type == 0   ? run_logits<__nv_bfloat16>
     : c.type == 1 ? run_logits<__half>
                   : run_logits<float>)(args, c.num_blocks);
  }
  return problem.check();
}

}  // namespace
}  // namespace flashsampling

int main() {
  using namespace flashsampling;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream in(line);
    std::string kernel;
    Case c = {};
    in >> kernel >> c.type >> c.batch_size >> c.vocab_size >> c.vocab_start >> c.hidden_size >> c.num_draws >>
        c.num_blocks >> c.scheme >> c.mode >> c.flags >> c.seed;
    if (!in || (kernel != "smxx" && kernel != "logits")) {
      std::fprintf(stderr, "cannot read the case: %s\n", line.c_str());
      return 1;
    }
    Random random(c.seed);
    const std::string wrong = kernel == "smxx" ? check_smxx(c, random) : check_logits(c, random);
    std::printf("%u %s\n", c.batch_size, wrong.empty() ? "equal" : wrong.c_str());
    std::fflush(stdout);
  }
  return 0;
}
