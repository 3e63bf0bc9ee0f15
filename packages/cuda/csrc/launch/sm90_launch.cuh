// Launches the Hopper kernel for one batch width. Included by one translation unit per width, so that they compile side
// by side.
#pragma once

#include <algorithm>

#include "../kernels/sm90/tile_sample.cuh"
#include "launch.h"
#include "sm90_widths.h"

namespace flashsampling {

inline cudaError_t encode_map(const DeviceInfo& device, CUtensorMap* map, Dtype dtype, const void* data,
                              uint64_t columns, uint64_t rows, int64_t stride, uint32_t box_rows,
                              CUtensorMapL2promotion promotion) {
  const CUtensorMapDataType type =
      dtype == Dtype::kBf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  const cuuint64_t sizes[2] = {columns, rows};
  const cuuint64_t strides[1] = {static_cast<cuuint64_t>(stride) * 2};
  const cuuint32_t box[2] = {kSwizzleColumns, box_rows};
  const cuuint32_t steps[2] = {1, 1};
  const CUresult result = device.encode_tensor_map(map, type, 2, const_cast<void*>(data), sizes, strides, box, steps,
                                                   CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, promotion,
                                                   CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

template <class Config, Dtype kDtype>
cudaError_t sm90_prepare_width() {
  static_assert(sizeof(Sm90Shared<Config>) <= kMaxSharedBytes, "a block's shared memory");
  return cudaFuncSetAttribute(sm90_tile_sample<Config, kDtype>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              sizeof(Sm90Shared<Config>));
}

template <class Config, Dtype kDtype>
cudaError_t sm90_launch_width(const DeviceInfo& device, const Sm90Args& args, cudaStream_t stream) {
  const SampleParams& params = args.params;
  CUtensorMap weight_map, weight_unit_map, hidden_map;
  cudaError_t error = encode_map(device, &weight_map, kDtype, params.weight, params.hidden_size, params.shard_rows,
                                 params.weight_stride, Config::kTileVocab, CU_TENSOR_MAP_L2_PROMOTION_L2_256B);
  if (error != cudaSuccess) return error;
  error = encode_map(device, &weight_unit_map, kDtype, params.weight, params.hidden_size, params.shard_rows,
                     params.weight_stride, kUnit, CU_TENSOR_MAP_L2_PROMOTION_L2_256B);
  if (error != cudaSuccess) return error;
  const uint16_t* hidden =
      static_cast<const uint16_t*>(params.hidden_states) + args.pass.first_row * params.hidden_states_stride;
  error = encode_map(device, &hidden_map, kDtype, hidden, params.hidden_size, args.pass.num_rows,
                     params.hidden_states_stride, Config::kTileBatch / Config::kClusterSize,
                     CU_TENSOR_MAP_L2_PROMOTION_L2_256B);
  if (error != cudaSuccess) return error;

  // One block per multiprocessor; fewer when the vocabulary has fewer units than blocks.
  const uint32_t num_blocks = std::min<uint32_t>(
      {static_cast<uint32_t>(device.num_multiprocessors), kMaxBlocks, args.num_units * Config::kClusterSize});
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(num_blocks / Config::kClusterSize * Config::kClusterSize);
  config.blockDim = dim3(kBlockThreads);
  config.dynamicSmemBytes = sizeof(Sm90Shared<Config>);
  config.stream = stream;
  cudaLaunchAttribute attribute;
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {Config::kClusterSize, 1, 1};
  config.attrs = &attribute;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, sm90_tile_sample<Config, kDtype>, weight_map, weight_unit_map, hidden_map, args);
}

template <class Config>
cudaError_t sm90_prepare_both() {
  const cudaError_t error = sm90_prepare_width<Config, Dtype::kBf16>();
  return error != cudaSuccess ? error : sm90_prepare_width<Config, Dtype::kF16>();
}

template <class Config>
cudaError_t sm90_launch_either(const DeviceInfo& device, const Sm90Args& args, cudaStream_t stream) {
  return args.params.dtype == Dtype::kBf16 ? sm90_launch_width<Config, Dtype::kBf16>(device, args, stream)
                                           : sm90_launch_width<Config, Dtype::kF16>(device, args, stream);
}

// Defines the functions that sm90_widths.h declares for one width.
#define FLASHSAMPLING_SM90_WIDTH(WIDTH)                                                                   \
  cudaError_t sm90_prepare_n##WIDTH() { return sm90_prepare_both<Sm90Width<WIDTH>>(); }                   \
  cudaError_t sm90_sample_n##WIDTH(const DeviceInfo& device, const Sm90Args& args, cudaStream_t stream) { \
    return sm90_launch_either<Sm90Width<WIDTH>>(device, args, stream);                                    \
  }

}  // namespace flashsampling
