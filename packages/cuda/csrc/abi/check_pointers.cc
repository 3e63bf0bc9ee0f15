#include "check_pointers.h"

namespace flashsampling {
namespace {

bool is_capturing(cudaStream_t stream) {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(stream, &capture) == cudaSuccess) return capture != cudaStreamCaptureStatusNone;
  // The legacy stream while another one is captured: the launch will say so.
  (void)cudaGetLastError();
  return true;
}

}  // namespace

PointerChecker::PointerChecker(const flashsampling_context& context, cudaStream_t stream, const char* action)
    : context_(context), action_(action), enabled_(!is_capturing(stream)) {}

PointerChecker& PointerChecker::reachable(const void* pointer, const char* name) {
  check(pointer, name, false);
  return *this;
}

PointerChecker& PointerChecker::local(const void* pointer, const char* name) {
  check(pointer, name, true);
  return *this;
}

void PointerChecker::check(const void* pointer, const char* name, bool must_be_local) {
  if (!enabled_ || pointer == nullptr || status_ != FLASHSAMPLING_OK) return;
  status_ = look_up(pointer, name, must_be_local);
}

flashsampling_status PointerChecker::look_up(const void* pointer, const char* name, bool must_be_local) const {
  cudaPointerAttributes attributes;
  FS_CHECK_CUDA(cudaPointerGetAttributes(&attributes, pointer));
  FS_REQUIRE_ARGUMENT(attributes.type != cudaMemoryTypeUnregistered,
                      "Cannot %s as \"%s\" must be device memory: current value is the host address %p", action_, name,
                      pointer);
  if (!must_be_local) return FLASHSAMPLING_OK;
  FS_REQUIRE_ARGUMENT(attributes.type != cudaMemoryTypeHost,
                      "Cannot %s as \"%s\" must be device memory: current value is page-locked host memory at %p",
                      action_, name, pointer);
  FS_REQUIRE_ARGUMENT(attributes.type != cudaMemoryTypeDevice || attributes.device == context_.device.device_index,
                      "Cannot %s as \"%s\" must be memory of device %d: it lies on device %d", action_, name,
                      context_.device.device_index, attributes.device);
  return FLASHSAMPLING_OK;
}

}  // namespace flashsampling
