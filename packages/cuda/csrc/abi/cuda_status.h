// Turns what the CUDA runtime reports into a status and a text.
#pragma once

#include <cuda_runtime.h>

#include "error.h"

namespace flashsampling {

// Keeps the error's name and meaning as text; also clears the runtime's own record of it, so that the next call of the
// thread does not report it again.
flashsampling_status fail_cuda(cudaError_t error, const char* expression, const char* file, int line);

}  // namespace flashsampling

// Returns from the enclosing function unless the call succeeds.
#define FS_CHECK_CUDA(call)                                                                              \
  do {                                                                                                   \
    const cudaError_t fs_error = (call);                                                                 \
    if (fs_error != cudaSuccess) return ::flashsampling::fail_cuda(fs_error, #call, __FILE__, __LINE__); \
  } while (false)
