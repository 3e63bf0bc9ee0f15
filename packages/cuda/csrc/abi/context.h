// One GPU as the library sees it, and the checks that every call with a context begins with.
#pragma once

#include "../launch/launch.h"
#include "cuda_status.h"

struct flashsampling_context {
  flashsampling::DeviceInfo device;
  bool serves_sm90a = false;
  char name[256] = "";
  // Contexts that live, linked so that a destroyed one is recognised instead of read.
  flashsampling_context* next = nullptr;
};

namespace flashsampling {

// Makes a GPU the thread's current one and puts the former back.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device_index) {
    error_ = cudaGetDevice(&previous_);
    if (error_ != cudaSuccess || previous_ == device_index) return;
    error_ = cudaSetDevice(device_index);
    restore_ = error_ == cudaSuccess;
  }
  ~DeviceGuard() {
    if (restore_) (void)cudaSetDevice(previous_);
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

  cudaError_t error() const { return error_; }

 private:
  int previous_ = 0;
  bool restore_ = false;
  cudaError_t error_ = cudaSuccess;
};

// INVALID_ARGUMENT for NULL, for a destroyed context and for a pointer that never was one; UNAVAILABLE for NULL where
// no GPU is.
flashsampling_status check_context(const flashsampling_context* context, const char* action);

}  // namespace flashsampling

// Begins a function with a context: checks it and makes its GPU current until the function returns.
#define FS_ENTER(context, action)                                              \
  FS_RETURN_IF_FAILED(::flashsampling::check_context(context, action));        \
  const ::flashsampling::DeviceGuard fs_guard((context)->device.device_index); \
  FS_CHECK_CUDA(fs_guard.error())
