// Recognises host memory where device memory is asked for: a kernel that reads it would end the process's use of the
// GPU.
#pragma once

#include "context.h"

namespace flashsampling {

// Looks up where pointers lie, one by one; the first that no kernel may touch is the failure. Nothing is looked up
// while the stream is being captured.
class PointerChecker {
 public:
  PointerChecker(const flashsampling_context& context, cudaStream_t stream, const char* action);

  // Memory that may lie on another GPU with peer access, or be page-locked host memory. NULL passes.
  PointerChecker& reachable(const void* pointer, const char* name);
  // Memory of this context's GPU.
  PointerChecker& local(const void* pointer, const char* name);

  flashsampling_status status() const { return status_; }

 private:
  void check(const void* pointer, const char* name, bool must_be_local);
  flashsampling_status look_up(const void* pointer, const char* name, bool must_be_local) const;

  const flashsampling_context& context_;
  const char* action_;
  bool enabled_;
  flashsampling_status status_ = FLASHSAMPLING_OK;
};

}  // namespace flashsampling
