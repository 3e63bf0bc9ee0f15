// One case of the kernels' host tests: how it is told, the parameters of its rows, room for what a kernel writes.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "common/sample_params.h"
#include "common/workspace.h"
#include "random_inputs.h"

namespace flashsampling {

// Known to test/kernel-cases.ts.
enum Flags : uint32_t {
  kTemperatures = 1,  // mixed, greedy and invalid ones included; else all 1
  kBias = 2,
  kMask = 4,
  kSharedRow = 8,    // bias and mask with stride 0
  kNumSamples = 16,  // mixed, 0 included
  kInt64 = 32,
  kPadded = 64,        // strides above the row's length
  kMaskedRow = 128,    // with kMask: a row without any token
  kLogprobs = 256,     // and log-sum-exps
  kInvalid = 512,      // NaN and infinities among the inputs
  kMisaligned = 1024,  // logits that are not aligned to 16 bytes
  kGreedy = 2048,      // all rows
  kHot = 4096,         // all rows at a temperature that leaves nothing but noise
};

struct KernelCase {
  uint32_t type, batch_size, vocab_size, vocab_start, hidden_size, num_draws, scheme, mode, flags, seed;
  bool has(Flags flag) const { return (flags & flag) != 0; }
};

// Reads a case a line from stdin and writes an answer a line to stdout: rows checked, and what was wrong first. check()
// reads what else its case has from the line, runs it, and gives "" or what is wrong.
template <class Check>
int answer_cases(Check check) {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream in(line);
    KernelCase c = {};
    in >> c.type >> c.batch_size >> c.vocab_size >> c.vocab_start >> c.hidden_size >> c.num_draws >> c.scheme >>
        c.mode >> c.flags >> c.seed;
    Random random(c.seed);
    const std::string wrong = check(c, in, random);
    if (!in) {
      std::fprintf(stderr, "cannot read the case: %s\n", line.c_str());
      return 1;
    }
    std::printf("%u %s\n", c.batch_size, wrong.empty() ? "equal" : wrong.c_str());
    std::fflush(stdout);
  }
  return 0;
}

// Parameters of all rows.
struct RowInputs {
  std::vector<float> temperature;  // empty: all 1
  std::vector<uint64_t> seed, position;
  std::vector<uint32_t> draw_index, num_samples;  // num_samples empty: all draws
  std::vector<float> bias;                        // empty: none
  std::vector<int32_t> allowed;                   // empty: all
  int64_t bias_stride = 0, allowed_stride = 0;

  RowInputs(const KernelCase& c, Random& random) {
    constexpr float kMixed[] = {1.f, 0.f, 0.7f, 3.f, 1.f, -1.f, 0.25f, NAN, INFINITY, 1e-30f, 1.f, 1.5f};
    for (uint32_t row = 0; row < c.batch_size; row++) {
      seed.push_back((static_cast<uint64_t>(random()) << 32) | random());
      position.push_back(row % 3 == 0 ? (1ull << 33) + row : row);
      draw_index.push_back(row % 4);
      if (c.has(kGreedy)) {
        temperature.push_back(0.f);
      } else if (c.has(kHot)) {
        temperature.push_back(1e6f);
      } else if (c.has(kTemperatures)) {
        temperature.push_back(kMixed[row % std::size(kMixed)]);
      }
      const int wanted = integer(random, 0, static_cast<int>(c.num_draws) + 1);
      if (c.has(kNumSamples)) num_samples.push_back(static_cast<uint32_t>(wanted));
    }
    const uint32_t token_end = c.vocab_start + c.vocab_size;
    const uint32_t table_rows = c.has(kSharedRow) ? 1 : c.batch_size;
    if (c.has(kBias)) {
      const uint32_t columns = token_end + 3;
      bias_stride = c.has(kSharedRow) ? 0 : columns;
      bias.assign(table_rows * columns, NAN);
      for (uint32_t row = 0; row < table_rows; row++) {
        for (uint32_t t = c.vocab_start; t < token_end; t++)
          bias[row * columns + t] = t % 11 == 3 ? -INFINITY : static_cast<float>(integer(random, -8, 8)) / 4;
      }
    }
    if (c.has(kMask)) {
      const uint32_t words = (token_end + 31) / 32 + 1;
      allowed_stride = c.has(kSharedRow) ? 0 : words;
      for (uint32_t i = 0; i < table_rows * words; i++) {
        const bool is_masked_row = c.has(kMaskedRow) && i / words == table_rows - 1;
        allowed.push_back(is_masked_row ? 0 : static_cast<int32_t>(random() & random()));
      }
    }
  }

  RowParams params() const {
    RowParams rows = {};
    rows.temperature = address(temperature);
    rows.seed = seed.data();
    rows.position = position.data();
    rows.draw_index = draw_index.data();
    rows.num_samples = address(num_samples);
    rows.logit_bias = address(bias);
    rows.logit_bias_stride = bias_stride;
    rows.allowed_tokens = address(allowed);
    rows.allowed_tokens_stride = allowed_stride;
    return rows;
  }

 private:
  template <class T>
  static const T* address(const std::vector<T>& values) {
    return values.empty() ? nullptr : values.data();
  }
};

// What kernels write for one or more shards; at first what none of them would.
struct Results {
  std::vector<int64_t> ids64;
  std::vector<int32_t> ids32, status;
  std::vector<float> logprobs, log_sum_exp;
  std::vector<uint64_t> candidates;

  explicit Results(const KernelCase& c, uint32_t num_shards = 1) {
    const size_t rows = c.batch_size * num_shards, slots = rows * c.num_draws;
    ids64.assign(slots, -7);
    ids32.assign(slots, -7);
    candidates.assign(slots, 7);
    logprobs.assign(slots, -7.f);
    log_sum_exp.assign(rows, -7.f);
    status.assign(rows, -7);
  }

  SampleOutputs outputs(const KernelCase& c, uint32_t shard = 0) {
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

// A workspace as the contract has it: zero at its begin, anything behind.
struct TestWorkspace {
  std::unique_ptr<Workspace> workspace = std::make_unique<Workspace>();

  TestWorkspace() {
    std::memset(static_cast<void*>(workspace.get()), 0xFF, sizeof(Workspace));
    std::memset(static_cast<void*>(workspace.get()), 0, kZeroedBytes);
  }

  Workspace* get() { return workspace.get(); }

  bool is_left_zero() const {
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(workspace.get());
    return std::all_of(bytes, bytes + kZeroedBytes, [](uint8_t byte) { return byte == 0; });
  }
};

// The parameters of a call for the tokens [begin, end) of the case.
inline SampleParams sample_params(const KernelCase& c, const Matrix& hidden_states, const Matrix& weight,
                                  uint32_t begin, uint32_t end) {
  SampleParams params = {};
  params.batch_size = c.batch_size;
  params.hidden_size = c.hidden_size;
  params.shard_rows = end - begin;
  params.vocab_start = c.vocab_start + begin;
  params.max_num_samples = c.num_draws;
  params.dtype = static_cast<Dtype>(c.type);
  params.noise_scheme = static_cast<NoiseScheme>(c.scheme);
  params.logprobs_mode = static_cast<LogprobsMode>(c.mode);
  params.hidden_states = hidden_states.row(0);
  params.hidden_states_stride = hidden_states.stride();
  params.weight = weight.row(begin);
  params.weight_stride = weight.stride();
  return params;
}

}  // namespace flashsampling
