#include "cuda_status.h"

namespace flashsampling {
namespace {

// Why no kernel can run on this machine at all, or nullptr when the error is another one.
const char* unavailable_reason(cudaError_t error) {
  int driver_version = 0;
  switch (error) {
    case cudaErrorInsufficientDriver:
      // The driver's version is 0 where there is none.
      if (cudaDriverGetVersion(&driver_version) != cudaSuccess || driver_version == 0) {
        return "no NVIDIA driver is installed (libcuda.so.1 was not found)";
      }
      return "the NVIDIA driver is older than the CUDA runtime of this library";
    case cudaErrorNoDevice: return "the NVIDIA driver shows no GPU to this process (see CUDA_VISIBLE_DEVICES)";
    case cudaErrorStubLibrary: return "libcuda.so.1 is the stub library, not a driver";
    case cudaErrorSystemDriverMismatch: return "the NVIDIA driver's kernel module and library differ in version";
    case cudaErrorSystemNotReady:
    case cudaErrorInitializationError:
    case cudaErrorOperatingSystem: return "the NVIDIA driver could not be initialised";
    case cudaErrorDevicesUnavailable: return "the GPU is in use by another process in exclusive mode";
    default: return nullptr;
  }
}

}  // namespace

flashsampling_status fail_cuda(cudaError_t error, const char* expression, const char* file, int line) {
  const char* reason = unavailable_reason(error);
  // Takes note of the error and forgets it; one that broke the context comes back by itself.
  (void)cudaGetLastError();
  if (reason != nullptr) {
    return fail(FLASHSAMPLING_UNAVAILABLE, expression, file, line, "Cannot use CUDA as %s: %s", reason,
                cudaGetErrorName(error));
  }
  const flashsampling_status status =
      error == cudaErrorMemoryAllocation ? FLASHSAMPLING_OUT_OF_MEMORY : FLASHSAMPLING_CUDA_ERROR;
  return fail(status, expression, file, line, "CUDA failed with %s (%d): %s", cudaGetErrorName(error),
              static_cast<int>(error), cudaGetErrorString(error));
}

}  // namespace flashsampling
