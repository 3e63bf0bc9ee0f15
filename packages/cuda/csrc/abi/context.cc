#include "context.h"

#include <cstddef>
#include <cstring>
#include <mutex>
#include <new>

namespace flashsampling {
namespace {

std::mutex contexts_mutex;
flashsampling_context* contexts = nullptr;  // guarded by contexts_mutex

constexpr size_t kFirstPropertiesSize = offsetof(flashsampling_device_properties, serves_smxx) + sizeof(int32_t);

flashsampling_status check_device_index(int32_t device_index, const char* action) {
  int count = 0;
  FS_CHECK_CUDA(cudaGetDeviceCount(&count));
  FS_REQUIRE_ARGUMENT(device_index >= 0 && device_index < count,
                      "Cannot %s as \"device_index\" must be from 0 to %d: current value is %d", action, count - 1,
                      device_index);
  return FLASHSAMPLING_OK;
}

// Looked up through the runtime, so that nothing links to libcuda.so.1 and the library loads without it.
decltype(&cuTensorMapEncodeTiled) find_tensor_map_encoder() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result);
#else
  const cudaError_t error = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &result);
#endif
  if (error != cudaSuccess || result != cudaDriverEntryPointSuccess) {
    (void)cudaGetLastError();
    return nullptr;
  }
  return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
}

flashsampling_status read_device(int device_index, DeviceInfo* out) {
  out->device_index = device_index;
  FS_CHECK_CUDA(cudaDeviceGetAttribute(&out->compute_major, cudaDevAttrComputeCapabilityMajor, device_index));
  FS_CHECK_CUDA(cudaDeviceGetAttribute(&out->compute_minor, cudaDevAttrComputeCapabilityMinor, device_index));
  FS_CHECK_CUDA(cudaDeviceGetAttribute(&out->num_multiprocessors, cudaDevAttrMultiProcessorCount, device_index));
  FS_CHECK_CUDA(cudaDeviceGetAttribute(&out->max_shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device_index));
  if (out->compute_major == 9) out->encode_tensor_map = find_tensor_map_encoder();
  return FLASHSAMPLING_OK;
}

// sm_90a code runs on compute capability 9.0 and nothing else.
bool serves_sm90a(const DeviceInfo& device) {
  return device.compute_major == 9 && device.compute_minor == 0 && device.encode_tensor_map != nullptr;
}

bool serves_smxx(const DeviceInfo& device) { return device.compute_major >= 8; }

flashsampling_status prepare_kernels(const flashsampling_context& context) {
  if (context.serves_sm90a) FS_CHECK_CUDA(sm90_prepare(context.device));
  FS_CHECK_CUDA(smxx_prepare(context.device));
  return FLASHSAMPLING_OK;
}

flashsampling_status fill_context(int device_index, flashsampling_context* context) {
  FS_RETURN_IF_FAILED(read_device(device_index, &context->device));
  cudaDeviceProp properties;
  FS_CHECK_CUDA(cudaGetDeviceProperties(&properties, device_index));
  static_assert(sizeof(properties.name) <= sizeof(context->name), "the name is copied whole");
  std::memcpy(context->name, properties.name, sizeof(properties.name));
  const DeviceInfo& device = context->device;
  FS_REQUIRE(serves_smxx(device), FLASHSAMPLING_UNSUPPORTED_DEVICE,
             "Cannot create a context as the compute capability must be >= 8.0: device %d (%s) has %d.%d", device_index,
             context->name, device.compute_major, device.compute_minor);
  context->serves_sm90a = serves_sm90a(device);
  const DeviceGuard guard(device_index);
  FS_CHECK_CUDA(guard.error());
  return prepare_kernels(*context);
}

}  // namespace

flashsampling_status check_context(const flashsampling_context* context, const char* action) {
  if (context == nullptr) {
    // Where no context can be had, its absence is not the caller's mistake.
    int count = 0;
    FS_CHECK_CUDA(cudaGetDeviceCount(&count));
  }
  FS_REQUIRE_ARGUMENT(context != nullptr, "Cannot %s as \"context\" must not be NULL", action);
  bool lives = false;
  {
    const std::lock_guard<std::mutex> lock(contexts_mutex);
    for (const flashsampling_context* known = contexts; known != nullptr && !lives; known = known->next) {
      lives = known == context;
    }
  }
  FS_REQUIRE_ARGUMENT(lives, "Cannot %s as \"context\" must be a context that was not destroyed", action);
  return FLASHSAMPLING_OK;
}

}  // namespace flashsampling

using namespace flashsampling;

extern "C" {

flashsampling_status flashsampling_device_count(int32_t* out_count) {
  FS_REQUIRE_ARGUMENT(out_count != nullptr, "Cannot count devices as \"out_count\" must not be NULL");
  *out_count = 0;
  int count = 0;
  FS_CHECK_CUDA(cudaGetDeviceCount(&count));
  FS_REQUIRE(count > 0, FLASHSAMPLING_UNAVAILABLE, "Cannot use CUDA as the NVIDIA driver shows no GPU to this process");
  *out_count = count;
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_device_properties_get(int32_t device_index, flashsampling_device_properties* out) {
  const char* action = "read device properties";
  FS_REQUIRE_ARGUMENT(out != nullptr, "Cannot %s as \"out\" must not be NULL", action);
  FS_REQUIRE_ARGUMENT(out->struct_size >= kFirstPropertiesSize,
                      "Cannot %s as \"struct_size\" must be sizeof(the struct), at least %zu: current value is %u",
                      action, kFirstPropertiesSize, out->struct_size);
  FS_RETURN_IF_FAILED(check_device_index(device_index, action));
  DeviceInfo device;
  FS_RETURN_IF_FAILED(read_device(device_index, &device));
  cudaDeviceProp read;
  FS_CHECK_CUDA(cudaGetDeviceProperties(&read, device_index));

  flashsampling_device_properties properties = {};
  properties.struct_size = out->struct_size;
  properties.device_index = device_index;
  static_assert(sizeof(read.name) <= sizeof(properties.name), "the name is copied whole");
  std::memcpy(properties.name, read.name, sizeof(read.name));
  properties.compute_major = device.compute_major;
  properties.compute_minor = device.compute_minor;
  properties.num_multiprocessors = device.num_multiprocessors;
  properties.l2_bytes = read.l2CacheSize;
  properties.total_memory_bytes = read.totalGlobalMem;
  FS_CHECK_CUDA(cudaDriverGetVersion(&properties.driver_version));
  FS_CHECK_CUDA(cudaRuntimeGetVersion(&properties.runtime_version));
  properties.serves_sm90a = serves_sm90a(device) ? 1 : 0;
  properties.serves_smxx = serves_smxx(device) ? 1 : 0;

  // A newer caller's further fields are left as they are.
  const size_t known = out->struct_size < sizeof(properties) ? out->struct_size : sizeof(properties);
  std::memcpy(out, &properties, known);
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_context_create(int32_t device_index, flashsampling_context** out_context) {
  const char* action = "create a context";
  FS_REQUIRE_ARGUMENT(out_context != nullptr, "Cannot %s as \"out_context\" must not be NULL", action);
  *out_context = nullptr;
  FS_RETURN_IF_FAILED(check_device_index(device_index, action));
  auto* context = new (std::nothrow) flashsampling_context;
  FS_REQUIRE(context != nullptr, FLASHSAMPLING_OUT_OF_MEMORY, "Cannot %s as host memory is exhausted", action);
  const flashsampling_status status = fill_context(device_index, context);
  if (status != FLASHSAMPLING_OK) {
    delete context;
    return status;
  }
  const std::lock_guard<std::mutex> lock(contexts_mutex);
  context->next = contexts;
  contexts = context;
  *out_context = context;
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_context_destroy(flashsampling_context* context) {
  if (context == nullptr) return FLASHSAMPLING_OK;
  bool found = false;
  {
    const std::lock_guard<std::mutex> lock(contexts_mutex);
    for (flashsampling_context** link = &contexts; *link != nullptr; link = &(*link)->next) {
      if (*link != context) continue;
      *link = context->next;
      found = true;
      break;
    }
  }
  FS_REQUIRE_ARGUMENT(found, "Cannot destroy the context as \"context\" must be a context that was not destroyed");
  delete context;
  return FLASHSAMPLING_OK;
}

}  // extern "C"
