// The portable kernels as a host program, by emulation, against a plain loop over tokens. One case a line on stdin, one
// answer a line on stdout: rows checked, and what was wrong first. Driven by test/device-kernels.test.ts.
//
// Hidden states and weight are small integers, so that every sum is exact and equality is bitwise. What must not be
// read (padding between rows, before and after) is NaN, which would make its row an error.
#include "emulation/device.h"
#include "emulation/smxx_ptx.h"

#include "kernel_case.h"
#include "logits_sample.cuh"
#include "plain_loop.h"
#include "smxx_tile_sample.cuh"

namespace flashsampling {
namespace {

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

// What the logits are; known to test/device-kernels.test.ts.
enum Values : uint32_t {
  kSmall = 0,  // sums of small integers, and quarters
  kHuge = 1,   // HeadValues::set_huge()
  kWide = 2,   // HeadValues::set_wide()
};

std::string check_smxx(const KernelCase& c, uint32_t num_blocks, uint32_t kind, Random& random) {
  const RowInputs inputs(c, random);
  Results results(c);
  TestWorkspace workspace;
  HeadValues values(c.batch_size, c.vocab_size, c.hidden_size);
  if (kind == kSmall) values.set_integers(random);
  if (kind == kHuge) values.set_huge(random);
  if (kind == kWide) values.set_wide(random);
  if (c.has(kInvalid)) values.add_invalid();
  const int64_t padding = c.has(kPadded) ? 24 : 0;
  const Matrix hidden(values.hidden, c.batch_size, c.hidden_size, c.hidden_size + padding, c.type);
  const Matrix weight(values.weight, c.vocab_size, c.hidden_size, c.hidden_size + 2 * padding, c.type);

  smxx::Args args = {};
  args.params = sample_params(c, hidden, weight, 0, c.vocab_size);
  args.params.rows = inputs.params();
  args.params.out = results.outputs(c);
  args.params.workspace = workspace.get();
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
      run(args, num_blocks);
    }
  }
  if (smxx::num_bank_conflicts != conflicts) return "ldmatrix has bank conflicts";
  if (!workspace.is_left_zero()) return "the workspace is not left zero";
  return PlainLoop(c, inputs, values.logits()).check(results);
}

// --- The kernel for logits in memory ---

template <class T>
void run_logits(const logits::Args& args, uint32_t num_blocks) {
  emulation::launch({num_blocks, args.pass.num_rows}, logits::kNumThreads,
                    [&] { logits::logits_sample_kernel<T>(args); });
}

std::string check_logits(const KernelCase& c, uint32_t num_blocks, uint32_t kind, Random& random) {
  const RowInputs inputs(c, random);
  Results results(c);
  TestWorkspace workspace;
  HeadValues head(c.batch_size, c.vocab_size, 1);
  if (kind == kHuge) head.set_huge(random);
  if (kind == kWide) head.set_wide(random);
  std::vector<float> values = head.logits();
  Matrix matrix(c.batch_size, c.vocab_size + (c.has(kPadded) ? 40 - c.vocab_size % 8 : 0), c.type,
                (16 - c.vocab_start % 16) % 16 + (c.has(kMisaligned) ? 1 : 0));
  for (uint32_t row = 0; row < c.batch_size; row++) {
    for (uint32_t i = 0; i < c.vocab_size; i++) {
      float& value = values[row * c.vocab_size + i];
      if (kind == kSmall) value = static_cast<float>(integer(random, -40, 40)) / 4;
      if (i % 13 == 5) value = -INFINITY;
      if (c.has(kInvalid) && row % 3 == 1 && i == c.vocab_size / 2) value = row % 2 == 0 ? INFINITY : NAN;
      matrix.set(row, i, value);
    }
  }
  logits::Args args = {};
  args.vocab_size = c.vocab_size;
  args.vocab_start = c.vocab_start;
  args.max_num_samples = c.num_draws;
  args.noise_scheme = static_cast<NoiseScheme>(c.scheme);
  args.logprobs_mode = static_cast<LogprobsMode>(c.mode);
  args.logits = matrix.row(0);
  args.logits_stride = matrix.stride();
  args.rows = inputs.params();
  args.out = results.outputs(c);
  args.workspace = workspace.get();
  args.first_group = c.vocab_start / logits::kGroup;
  args.num_groups = (c.vocab_start + c.vocab_size + logits::kGroup - 1) / logits::kGroup - args.first_group;
  args.pass.num_rows = c.batch_size;
  for (uint32_t draw = 0; draw < c.num_draws; draw += args.pass.num_draws) {
    args.pass.first_draw = draw;
    args.pass.num_draws = std::min(c.num_draws - draw, kMaxSlots / args.pass.num_rows);
    (c.type == 0 ? run_logits<__nv_bfloat16> : c.type == 1 ? run_logits<__half> : run_logits<float>)(args, num_blocks);
  }
  if (!workspace.is_left_zero()) return "the workspace is not left zero";
  return PlainLoop(c, inputs, std::move(values)).check(results);
}

}  // namespace
}  // namespace flashsampling

int main() {
  using namespace flashsampling;
  return answer_cases([](const KernelCase& c, std::istream& in, Random& random) -> std::string {
    std::string kernel;
    uint32_t num_blocks = 0, kind = 0;
    in >> kernel >> num_blocks >> kind;
    if (!in || (kernel != "smxx" && kernel != "logits")) return "cannot read";
    return (kernel == "smxx" ? check_smxx : check_logits)(c, num_blocks, kind, random);
  });
}
