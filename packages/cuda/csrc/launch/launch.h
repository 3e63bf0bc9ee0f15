// Entry points of the launch layer: grid, shared memory, tensor maps and the kernel itself. Arguments are already
// checked; nothing here allocates or synchronises, so every call can be captured into a graph.
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include "../kernels/common/sample_params.h"
#include "../kernels/common/workspace.h"

namespace flashsampling {

// What the launchers need to know about a GPU; filled in once per context.
struct DeviceInfo {
  int device_index = 0;
  int compute_major = 0, compute_minor = 0;
  int num_multiprocessors = 0;
  int max_shared_bytes = 0;  // per block, opt-in
  // cuTensorMapEncodeTiled, looked up through the runtime so that nothing links to the driver library; null when
  // absent.
  decltype(&cuTensorMapEncodeTiled) encode_tensor_map = nullptr;
};

// Hopper kernel (sm90_launch.cu). The device must have compute capability 9.0.
cudaError_t sm90_prepare(const DeviceInfo& device);  // once per context: raises shared-memory limits
cudaError_t sm90_sample(const DeviceInfo& device, const SampleParams& params, cudaStream_t stream);

// Portable kernel (smxx_launch.cu), compute capability 8.0 and later.
cudaError_t smxx_prepare(const DeviceInfo& device);
cudaError_t smxx_sample(const DeviceInfo& device, const SampleParams& params, cudaStream_t stream);

// Draws from logits in memory (logits_launch.cu).
enum class LogitsType : uint32_t { kBf16 = 0, kF16 = 1, kF32 = 2 };
struct LogitsParams {
  uint32_t batch_size, vocab_size, vocab_start, max_num_samples;
  LogitsType logits_type;
  NoiseScheme noise_scheme;
  LogprobsMode logprobs_mode;
  const void* logits;     // [batch_size, vocab_size]
  int64_t logits_stride;  // elements
  RowParams rows;
  SampleOutputs out;
  void* workspace;
};
cudaError_t logits_sample(const DeviceInfo& device, const LogitsParams& params, cudaStream_t stream);

// Merge of shards (merge_launch.cu).
cudaError_t merge_shards(const MergeParams& params, cudaStream_t stream);

}  // namespace flashsampling
