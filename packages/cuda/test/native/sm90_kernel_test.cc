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

#include "../launch/sm90_launch.cu"
#include "../launch/sm90_n128.cu"
#include "../launch/sm90_n16.cu"
#include "../launch/sm90_n256.cu"
#include "../launch/sm90_n32.cu"
#include "../launch/sm90_n64.cu"
#include "../launch/sm90_n8.cu"
#include "kernel_case.h"
#include "merge_shards.cuh"
#include "plain_loop.h"

namespace flashsampling {
namespace {

// What the logits are; known to test/sm90-kernel.test.ts.
enum Values : uint32_t {
  kIntegers = 0,  // sums of small integers
  kEqual = 1,     // the same for all tokens: ties
  kHuge = 2,      // HeadValues::set_huge()
  kRare = 3,      // a row's best token wins by noise beyond 2^15 odds, over a logit far below the others
  kTight = 4,     // a row's best token wins by less than 0.005, and its noise is the least that its code promises
  kWide = 5,      // HeadValues::set_wide()
};

float to_bf16(float value) { return bits_float(float_bits(value) & 0xFFFF0000u); }

struct Problem {
  const KernelCase& c;
  uint32_t kind, num_multiprocessors, num_shards;
  RowInputs inputs;
  HeadValues values;
  TestWorkspace workspace;

  Problem(const KernelCase& c_, uint32_t kind_, uint32_t num_multiprocessors_, uint32_t num_shards_, Random& random)
      : c(c_), kind(kind_), num_multiprocessors(num_multiprocessors_), num_shards(num_shards_), inputs(c, random),
        values(c.batch_size, c.vocab_size, c.hidden_size) {
    if (kind == kIntegers) values.set_integers(random);
    if (kind == kEqual) make_equal();
    if (kind == kHuge) values.set_huge(random);
    if (kind == kWide) values.set_wide(random);
    if (kind == kRare || kind == kTight) make_rare(random);
    if (c.has(kInvalid)) values.add_invalid();
  }

  void make_equal() {
    for (uint32_t row = 0; row < c.batch_size; row++)
      values.hidden[row * c.hidden_size] = static_cast<float>(static_cast<int>(row % 5) - 2);
    for (uint32_t i = 0; i < c.vocab_size; i++)
      values.weight[i * c.hidden_size] = 1.f;
  }

  // Two columns of the weight for each row of the batch, whose sum is the logit. All are 0 but that of one token, which
  // wins by its noise; the second best has come tiles before, so that the filter knows it.
  void make_rare(Random& random) {
    const NoiseScheme scheme = static_cast<NoiseScheme>(c.scheme);
    for (uint32_t row = 0; row < c.batch_size; row++) {
      const uint32_t column = 2 * row % c.hidden_size;
      values.hidden[row * c.hidden_size + column] = values.hidden[row * c.hidden_size + column + 1] = 1.f;
      inputs.position[row] = inputs.draw_index[row] = 0;
      if (2 * row >= c.hidden_size) {  // the same row again
        inputs.seed[row] = inputs.seed[row - c.hidden_size / 2];
        continue;
      }
      uint32_t token = 0;
      float noise = 0.f, other = 0.f;
      for (bool is_found = false; !is_found;) {
        inputs.seed[row] = (static_cast<uint64_t>(random()) << 32) | random();
        const RowKey key = row_key(inputs.params(), scheme, row, 0);
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
        is_found = kind == kRare
                       ? doublings > 17.5
                       : doublings > 8 && std::ceil(doublings) - doublings < 0.01 && token > second + c.vocab_size / 3;
        noise = token_gumbel(scheme, token_bits(scheme, key, c.vocab_start + token));
        other = token_gumbel(scheme, token_bits(scheme, key, c.vocab_start + second));
      }
      const float logit = other - noise + (kind == kRare ? 0.1f : 0.004f), high = to_bf16(logit);
      values.weight[token * c.hidden_size + column] = high;
      values.weight[token * c.hidden_size + column + 1] = to_bf16(logit - high);
    }
  }

  // Draws from each shard of the vocabulary, and merges them if there are several. Gives what is wrong, or "".
  std::string check() {
    DeviceInfo device;
    device.num_multiprocessors = static_cast<int>(num_multiprocessors);
    device.encode_tensor_map = cuTensorMapEncodeTiled;
    if (sm90_prepare(device) != cudaSuccess) return "cannot prepare";
    const int64_t padding = c.has(kPadded) ? 24 : 0;
    const Matrix hidden(values.hidden, c.batch_size, c.hidden_size, c.hidden_size + padding, c.type);
    const Matrix weight(values.weight, c.vocab_size, c.hidden_size, c.hidden_size + 2 * padding, c.type);
    Results parts(c, num_shards);
    for (uint32_t shard = 0; shard < num_shards; shard++) {
      const uint32_t begin = shard * c.vocab_size / num_shards, end = (shard + 1) * c.vocab_size / num_shards;
      SampleParams params = sample_params(c, hidden, weight, begin, end);
      params.rows = inputs.params();
      params.out = parts.outputs(c, shard);
      params.workspace = workspace.get();
      if (sm90_sample(device, params, nullptr) != cudaSuccess) return "cannot launch";
      if (!workspace.is_left_zero()) return "the workspace is not left zero";
    }
    const PlainLoop loop(c, inputs, values.logits());
    return loop.check(num_shards == 1 ? parts : merge(parts));
  }

  Results merge(const Results& parts) {
    Results merged(c);
    MergeParams args = {};
    args.num_shards = num_shards;
    args.batch_size = c.batch_size;
    args.max_num_samples = c.num_draws;
    args.noise_scheme = static_cast<NoiseScheme>(c.scheme);
    args.logprobs_mode = static_cast<LogprobsMode>(c.mode);
    args.candidates = parts.candidates.data();
    args.log_sum_exp = c.has(kLogprobs) ? parts.log_sum_exp.data() : nullptr;
    args.row_status = parts.status.data();
    args.rows = inputs.params();
    args.out = merged.outputs(c);
    for (uint32_t row = 0; row < c.batch_size; row++) {
      for (uint32_t draw = 0; draw < c.num_draws; draw++)
        merge_slot(args, row, draw);
    }
    return merged;
  }
};

}  // namespace
}  // namespace flashsampling

int main() {
  using namespace flashsampling;
  return answer_cases([](const KernelCase& c, std::istream& in, Random& random) -> std::string {
    uint32_t kind = 0, num_multiprocessors = 0, num_shards = 0;
    in >> kind >> num_multiprocessors >> num_shards;
    if (!in) return "cannot read";
    emulation::random_state = 0x9E3779B97F4A7C15ull * (c.seed + 1);
    return Problem(c, kind, num_multiprocessors, num_shards, random).check();
  });
}
