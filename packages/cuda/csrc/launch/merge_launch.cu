// Launches the merge of shards: one thread per (row, draw).
#include "../kernels/merge_shards.cuh"
#include "launch.h"

namespace flashsampling {

cudaError_t merge_shards(const MergeParams& params, cudaStream_t stream) {
  const uint64_t num_slots = static_cast<uint64_t>(params.batch_size) * params.max_num_samples;
  const unsigned num_blocks = static_cast<unsigned>((num_slots + kMergeThreads - 1) / kMergeThreads);
  merge_shards_kernel<<<num_blocks, kMergeThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace flashsampling
