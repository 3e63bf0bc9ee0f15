// What a function of the C ABI reported, carried from the thread it ran on to the JavaScript error it becomes.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include <napi.h>

#include "flashsampling.h"

namespace flashsampling::addon {

// Default: nothing failed.
struct Failure {
  flashsampling_status status = FLASHSAMPLING_OK;
  const char* operation = "";    // for example "upload the weights"; reads on from "Cannot"
  std::string text;              // flashsampling_last_error() of the thread that failed
  uint64_t requested_bytes = 0;  // of an allocation

  explicit operator bool() const { return status != FLASHSAMPLING_OK; }
};

// Keeps status and text of a call that has just returned on this thread.
inline Failure to_failure(flashsampling_status status, const char* operation, uint64_t requested_bytes = 0) {
  if (status == FLASHSAMPLING_OK) return {};
  return {status, operation, flashsampling_last_error(), requested_bytes};
}

// Name of a status without its prefix, for example "CUDA_ERROR".
inline const char* short_status_name(flashsampling_status status) {
  constexpr char kPrefix[] = "FLASHSAMPLING_";
  const char* name = flashsampling_status_name(status);
  return std::strncmp(name, kPrefix, sizeof(kPrefix) - 1) == 0 ? name + sizeof(kPrefix) - 1 : name;
}

// An Error with the fields that native-error.ts of the package reads: status, operation, requestedBytes.
inline Napi::Error to_error(Napi::Env env, const Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.text);
  error.Set("status", Napi::String::New(env, short_status_name(failure.status)));
  error.Set("operation", Napi::String::New(env, failure.operation));
  error.Set("requestedBytes", Napi::Number::New(env, static_cast<double>(failure.requested_bytes)));
  return error;
}

// The error of a handle that was disposed; `what` names it.
inline Napi::Error disposed_error(Napi::Env env, const char* what) {
  Napi::Error error = Napi::Error::New(env, std::string(what) + " is disposed");
  error.Set("status", Napi::String::New(env, "DISPOSED"));
  error.Set("operation", Napi::String::New(env, what));
  return error;
}

// Throws as a JavaScript exception where the call failed.
inline void throw_if_failed(Napi::Env env, const Failure& failure) {
  if (failure) throw to_error(env, failure);
}

}  // namespace flashsampling::addon

// Returns the failure of a call from the enclosing function.
#define FS_ADDON_TRY(call, operation)                                                                     \
  do {                                                                                                    \
    if (::flashsampling::addon::Failure fs_failure = ::flashsampling::addon::to_failure(call, operation)) \
      return fs_failure;                                                                                  \
  } while (false)

#define FS_ADDON_FORWARD(expression)                                                  \
  do {                                                                                \
    if (::flashsampling::addon::Failure fs_failure = (expression)) return fs_failure; \
  } while (false)
