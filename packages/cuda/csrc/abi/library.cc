#include "error.h"

#ifndef FS_VERSION
#error "FS_VERSION must be the version of the package"
#endif

extern "C" {

uint32_t flashsampling_abi_version(void) { return FLASHSAMPLING_ABI_VERSION; }

const char* flashsampling_version(void) { return FS_VERSION; }

const char* flashsampling_last_error(void) { return flashsampling::last_error(); }

const char* flashsampling_status_name(flashsampling_status status) {
  switch (status) {
    case FLASHSAMPLING_OK: return "FLASHSAMPLING_OK";
    case FLASHSAMPLING_INVALID_ARGUMENT: return "FLASHSAMPLING_INVALID_ARGUMENT";
    case FLASHSAMPLING_NOT_SERVED: return "FLASHSAMPLING_NOT_SERVED";
    case FLASHSAMPLING_UNSUPPORTED_DEVICE: return "FLASHSAMPLING_UNSUPPORTED_DEVICE";
    case FLASHSAMPLING_UNAVAILABLE: return "FLASHSAMPLING_UNAVAILABLE";
    case FLASHSAMPLING_CUDA_ERROR: return "FLASHSAMPLING_CUDA_ERROR";
    case FLASHSAMPLING_WORKSPACE_TOO_SMALL: return "FLASHSAMPLING_WORKSPACE_TOO_SMALL";
    case FLASHSAMPLING_OUT_OF_MEMORY: return "FLASHSAMPLING_OUT_OF_MEMORY";
  }
  return "unknown status";
}

}  // extern "C"
