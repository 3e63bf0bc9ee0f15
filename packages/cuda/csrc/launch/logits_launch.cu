// Grid of the kernel that draws from logits in memory, and the passes over rows and draws.
#include <algorithm>

#include "../kernels/logits_sample.cuh"
#include "launch.h"

namespace flashsampling {

namespace {

using Kernel = void (*)(logits::Args);

// By LogitsType.
constexpr Kernel kKernels[] = {logits::logits_sample_kernel<__nv_bfloat16>, logits::logits_sample_kernel<__half>,
                               logits::logits_sample_kernel<float>};

}  // namespace

cudaError_t logits_sample(const DeviceInfo& device, const LogitsParams& params, cudaStream_t stream) {
  logits::Args args;
  args.vocab_size = params.vocab_size;
  args.vocab_start = params.vocab_start;
  args.max_num_samples = params.max_num_samples;
  args.noise_scheme = params.noise_scheme;
  args.logprobs_mode = params.logprobs_mode;
  args.logits = params.logits;
  args.logits_stride = params.logits_stride;
  args.rows = params.rows;
  args.out = params.out;
  args.workspace = static_cast<Workspace*>(params.workspace);
  args.first_group = params.vocab_start / logits::kGroup;
  const uint64_t token_end = static_cast<uint64_t>(params.vocab_start) + params.vocab_size;
  args.num_groups = static_cast<uint32_t>((token_end + logits::kGroup - 1) / logits::kGroup) - args.first_group;

  // All blocks run at once.
  const uint32_t most_blocks = std::max(1, device.num_multiprocessors) * logits::kBlocksPerMultiprocessor;
  // A thread takes at least one group.
  const uint32_t most_blocks_per_row =
      std::min((args.num_groups + logits::kNumThreads - 1) / logits::kNumThreads, kMaxBlocks);
  for (uint32_t row = 0; row < params.batch_size; row += kMaxTileBatch) {
    args.pass.first_row = row;
    args.pass.num_rows = std::min(params.batch_size - row, kMaxTileBatch);
    const uint32_t blocks_per_row = std::clamp(most_blocks / args.pass.num_rows, 1u, most_blocks_per_row);
    const uint32_t draws_per_pass = kMaxSlots / args.pass.num_rows;
    for (uint32_t draw = 0; draw < params.max_num_samples; draw += args.pass.num_draws) {
      args.pass.first_draw = draw;
      args.pass.num_draws = std::min(params.max_num_samples - draw, draws_per_pass);
      const dim3 grid(blocks_per_row, args.pass.num_rows);
      kKernels[static_cast<uint32_t>(params.logits_type)]<<<grid, logits::kNumThreads, 0, stream>>>(args);
      const cudaError_t error = cudaGetLastError();
      if (error != cudaSuccess) return error;
    }
  }
  return cudaSuccess;
}

}  // namespace flashsampling
