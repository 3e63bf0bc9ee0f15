#include <cinttypes>

#include "context.h"

using namespace flashsampling;

namespace {

flashsampling_status check_size(uint64_t bytes, void** out_pointer, const char* action) {
  FS_REQUIRE_ARGUMENT(out_pointer != nullptr, "Cannot %s as \"out_pointer\" must not be NULL", action);
  *out_pointer = nullptr;
  FS_REQUIRE_ARGUMENT(bytes > 0, "Cannot %s as \"bytes\" must be >= 1: current value is 0", action);
  return FLASHSAMPLING_OK;
}

// The text of an exhausted memory says how much was asked for.
flashsampling_status check_allocation(cudaError_t error, uint64_t bytes, const char* action, const char* expression,
                                      int line) {
  if (error == cudaSuccess) return FLASHSAMPLING_OK;
  if (error != cudaErrorMemoryAllocation) return fail_cuda(error, expression, __FILE__, line);
  (void)cudaGetLastError();
  return fail(FLASHSAMPLING_OUT_OF_MEMORY, expression, __FILE__, line,
              "Cannot %s of %" PRIu64 " bytes as memory is exhausted: cudaErrorMemoryAllocation", action, bytes);
}

flashsampling_status check_copy(const void* device, const void* host, const char* action) {
  FS_REQUIRE_ARGUMENT(device != nullptr, "Cannot %s as \"device\" must not be NULL", action);
  FS_REQUIRE_ARGUMENT(host != nullptr, "Cannot %s as \"host\" must not be NULL", action);
  return FLASHSAMPLING_OK;
}

cudaStream_t as_stream(flashsampling_stream stream) { return static_cast<cudaStream_t>(stream); }

}  // namespace

extern "C" {

flashsampling_status flashsampling_stream_create(flashsampling_context* context, flashsampling_stream* out_stream) {
  FS_REQUIRE_ARGUMENT(out_stream != nullptr, "Cannot create a stream as \"out_stream\" must not be NULL");
  *out_stream = nullptr;
  FS_ENTER(context, "create a stream");
  cudaStream_t stream = nullptr;
  FS_CHECK_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  *out_stream = stream;
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_stream_destroy(flashsampling_context* context, flashsampling_stream stream) {
  FS_ENTER(context, "destroy the stream");
  if (stream != nullptr) FS_CHECK_CUDA(cudaStreamDestroy(as_stream(stream)));
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_stream_synchronize(flashsampling_context* context, flashsampling_stream stream) {
  FS_ENTER(context, "wait for the stream");
  FS_CHECK_CUDA(cudaStreamSynchronize(as_stream(stream)));
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_memory_alloc(flashsampling_context* context, uint64_t bytes, void** out_pointer) {
  const char* action = "allocate device memory";
  FS_RETURN_IF_FAILED(check_size(bytes, out_pointer, action));
  FS_ENTER(context, action);
  return check_allocation(cudaMalloc(out_pointer, bytes), bytes, action, "cudaMalloc(out_pointer, bytes)", __LINE__);
}

flashsampling_status flashsampling_host_alloc(flashsampling_context* context, uint64_t bytes, void** out_pointer) {
  const char* action = "allocate page-locked host memory";
  FS_RETURN_IF_FAILED(check_size(bytes, out_pointer, action));
  FS_ENTER(context, action);
  return check_allocation(cudaHostAlloc(out_pointer, bytes, cudaHostAllocPortable), bytes, action,
                          "cudaHostAlloc(out_pointer, bytes, cudaHostAllocPortable)", __LINE__);
}

flashsampling_status flashsampling_memory_free(flashsampling_context* context, void* pointer) {
  FS_ENTER(context, "free device memory");
  FS_CHECK_CUDA(cudaFree(pointer));
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_host_free(flashsampling_context* context, void* pointer) {
  FS_ENTER(context, "free host memory");
  FS_CHECK_CUDA(cudaFreeHost(pointer));
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_copy_to_device(flashsampling_context* context, void* device, const void* host,
                                                  uint64_t bytes, flashsampling_stream stream) {
  FS_ENTER(context, "copy to the device");
  if (bytes == 0) return FLASHSAMPLING_OK;
  FS_RETURN_IF_FAILED(check_copy(device, host, "copy to the device"));
  FS_CHECK_CUDA(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, as_stream(stream)));
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_copy_to_host(flashsampling_context* context, void* host, const void* device,
                                                uint64_t bytes, flashsampling_stream stream) {
  FS_ENTER(context, "copy to the host");
  if (bytes == 0) return FLASHSAMPLING_OK;
  FS_RETURN_IF_FAILED(check_copy(device, host, "copy to the host"));
  FS_CHECK_CUDA(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, as_stream(stream)));
  return FLASHSAMPLING_OK;
}

}  // extern "C"
