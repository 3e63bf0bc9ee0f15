// Owners of what the C ABI hands out. Each keeps its context alive, so that the order in which JavaScript objects are
// collected does not matter. Safe to destroy on any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "failure.h"

namespace flashsampling::addon {

class Context {
 public:
  explicit Context(flashsampling_context* handle) : handle_(handle) {}
  ~Context() { flashsampling_context_destroy(handle_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  flashsampling_context* get() const { return handle_; }

 private:
  flashsampling_context* handle_;
};

using SharedContext = std::shared_ptr<Context>;

// Device or page-locked host memory; empty until allocated.
template <bool kOnDevice>
class Memory {
 public:
  Memory() = default;
  ~Memory() { release(); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // Frees what is held and allocates anew; empty afterwards when that fails.
  Failure allocate(const SharedContext& context, uint64_t bytes, const char* operation) {
    release();
    void* pointer = nullptr;
    const flashsampling_status status = kOnDevice ? flashsampling_memory_alloc(context->get(), bytes, &pointer)
                                                  : flashsampling_host_alloc(context->get(), bytes, &pointer);
    if (Failure failure = to_failure(status, operation, bytes)) return failure;
    context_ = context;
    pointer_ = static_cast<uint8_t*>(pointer);
    bytes_ = bytes;
    return {};
  }

  // Keeps what is held where it is large enough; else grows it by half at least, so that growing batches settle.
  Failure reserve(const SharedContext& context, uint64_t bytes, const char* operation) {
    if (bytes <= bytes_) return {};
    const uint64_t grown = bytes_ + bytes_ / 2;
    return allocate(context, bytes > grown ? bytes : grown, operation);
  }

  void release() {
    if (pointer_ == nullptr) return;
    if (kOnDevice) {
      flashsampling_memory_free(context_->get(), pointer_);
    } else {
      flashsampling_host_free(context_->get(), pointer_);
    }
    pointer_ = nullptr;
    bytes_ = 0;
    context_.reset();
  }

  uint8_t* get() const { return pointer_; }
  uint64_t bytes() const { return bytes_; }

 private:
  SharedContext context_;
  uint8_t* pointer_ = nullptr;
  uint64_t bytes_ = 0;
};

using DeviceMemory = Memory<true>;
using HostMemory = Memory<false>;

class Stream {
 public:
  Stream() = default;
  ~Stream() {
    if (context_ != nullptr) flashsampling_stream_destroy(context_->get(), handle_);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Failure create(const SharedContext& context) {
    FS_ADDON_TRY(flashsampling_stream_create(context->get(), &handle_), "create a CUDA stream");
    context_ = context;
    return {};
  }

  flashsampling_stream get() const { return handle_; }

  Failure synchronize(const char* operation) const {
    return to_failure(flashsampling_stream_synchronize(context_->get(), handle_), operation);
  }

 private:
  SharedContext context_;
  flashsampling_stream handle_ = nullptr;
};

// Page-locked blocks through which weights go to the device, kept between chunks of one upload.
class StagingPool {
 public:
  std::unique_ptr<HostMemory> take(const SharedContext& context, uint64_t bytes, Failure* failure) {
    std::unique_ptr<HostMemory> block;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!free_.empty()) {
        block = std::move(free_.back());
        free_.pop_back();
      }
    }
    if (block == nullptr) block = std::make_unique<HostMemory>();
    *failure = block->reserve(context, bytes, "reserve page-locked memory");
    return block;
  }

  void give_back(std::unique_ptr<HostMemory> block) {
    std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(std::move(block));
  }

  void clear() {
    std::lock_guard<std::mutex> lock(mutex_);
    free_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<HostMemory>> free_;
};

}  // namespace flashsampling::addon
