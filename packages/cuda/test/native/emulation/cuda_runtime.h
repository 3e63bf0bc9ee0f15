// Stands in for the runtime's header where launchers run by emulation.
#pragma once

#include <map>

#include "device.h"

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInvalidConfiguration = 9 };
typedef void* cudaStream_t;

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaLaunchAttributeID { cudaLaunchAttributeClusterDimension = 4 };

struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    struct {
      uint32_t x, y, z;
    } clusterDim;
  } val;
};

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  uint32_t numAttrs;
};

namespace emulation {
constexpr size_t kMaxSharedBytes = 232448;
inline std::map<const void*, size_t> shared_limits;  // by kernel
}  // namespace emulation

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, size_t value) {
  if (value > emulation::kMaxSharedBytes) return cudaErrorInvalidValue;
  emulation::shared_limits[reinterpret_cast<const void*>(kernel)] = value;
  return cudaSuccess;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               const Arguments&... arguments) {
  emulation::LaunchShape shape{config->gridDim, config->blockDim.x};
  shape.shared_size = config->dynamicSmemBytes;
  for (uint32_t i = 0; i < config->numAttrs; i++)
    shape.cluster_size = config->attrs[i].val.clusterDim.x;
  const auto limit = emulation::shared_limits.find(reinterpret_cast<const void*>(kernel));
  const size_t most = limit != emulation::shared_limits.end() ? limit->second : 48 * 1024;
  if (shape.shared_size > most || shape.grid.x == 0 || shape.grid.x % shape.cluster_size != 0) {
    return cudaErrorInvalidConfiguration;
  }
  shape.clusters_at_a_time = 1 + emulation::random_word() % 3;
  shape.slow = static_cast<emulation::Slow>(emulation::random_word() % 4);
  constexpr uint32_t kPaces[] = {0, 1, 8, 64, 512};
  emulation::event_pace = kPaces[emulation::random_word() % 5];
  emulation::launch(shape, [&] { kernel(arguments...); });
  return cudaSuccess;
}
