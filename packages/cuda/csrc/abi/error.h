// The calling thread's last failure, and the macros that every function of the ABI reports through. No CUDA, no
// exceptions, no allocation.
#pragma once

#include "flashsampling.h"

namespace flashsampling {

// What flashsampling_last_error() returns on this thread.
const char* last_error();

// Keeps the text for flashsampling_last_error() and returns the status. `expression` is the condition that did not
// hold.
__attribute__((format(printf, 5, 6))) flashsampling_status fail(flashsampling_status status, const char* expression,
                                                                const char* file, int line, const char* format, ...);

}  // namespace flashsampling

// Returns from the enclosing function with `status` unless the condition holds.
#define FS_REQUIRE(condition, status, ...)                                               \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      return ::flashsampling::fail(status, #condition, __FILE__, __LINE__, __VA_ARGS__); \
    }                                                                                    \
  } while (false)

// The condition of an argument; what it must be is in the text.
#define FS_REQUIRE_ARGUMENT(condition, ...) FS_REQUIRE(condition, FLASHSAMPLING_INVALID_ARGUMENT, __VA_ARGS__)

// Passes a failure on; its text is already kept.
#define FS_RETURN_IF_FAILED(call)                        \
  do {                                                   \
    const flashsampling_status fs_status = (call);       \
    if (fs_status != FLASHSAMPLING_OK) return fs_status; \
  } while (false)
