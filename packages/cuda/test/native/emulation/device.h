// Runs CUDA kernels as host C++, one block after the other: every thread of a block is a fiber, and collective
// operations (barriers, shuffles, votes, ldmatrix, mma) wait until all lanes or threads have come. It shows wrong
// indices, masks, tails, swizzles and merges on machines without a GPU; it shows no data race and no timing.
//
// Include before any kernel header.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "cuda_bf16.h"
#include "cuda_fp16.h"

// --- Words of the language ---

#define FS_DEVICE inline
#define __device__
#define __global__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
// Blocks run one after the other on one system thread, so one copy of a block's shared memory is enough.
#define __shared__ thread_local

struct dim3 {
  uint32_t x = 1, y = 1, z = 1;
};

struct uint4 {
  uint32_t x, y, z, w;
};

inline dim3 threadIdx, blockIdx, gridDim;

// --- Fibers ---

namespace emulation {

class Barrier {
 public:
  explicit Barrier(int expected = 0) : expected_(expected) {}
  void wait();
  void leave();

 private:
  int expected_, arrived_ = 0;
  uint64_t generation_ = 0;
};

struct Warp {
  Barrier barrier{32};
  uint64_t words[32][8];  // what each lane has put down for the others
};

struct Block {
  Barrier barrier;
  std::vector<Warp> warps;
  std::vector<ucontext_t> contexts;
  std::vector<bool> has_ended;
  ucontext_t main;
  int current = 0;
};

inline std::unique_ptr<Block> block;
inline std::function<void()> body;

// Runs the next fiber that has not ended; back to the launcher when there is none.
inline void yield() {
  const int num_threads = static_cast<int>(block->contexts.size());
  const int previous = block->current;
  for (int step = 1; step <= num_threads; step++) {
    const int next = (previous + step) % num_threads;
    if (block->has_ended[next]) continue;
    if (next == previous) return;
    block->current = next;
    threadIdx.x = next;
    swapcontext(&block->contexts[previous], &block->contexts[next]);
    return;
  }
  swapcontext(&block->contexts[previous], &block->main);
}

inline void Barrier::wait() {
  const uint64_t generation = generation_;
  if (++arrived_ == expected_) {
    arrived_ = 0;
    generation_++;
    return;
  }
  while (generation_ == generation)
    yield();
}

// A thread that has ended is not waited for.
inline void Barrier::leave() {
  if (--expected_ > 0 && arrived_ == expected_) {
    arrived_ = 0;
    generation_++;
  }
}

inline void run_fiber() {
  body();
  const int thread_idx = block->current;
  block->has_ended[thread_idx] = true;
  block->warps[thread_idx / 32].barrier.leave();
  block->barrier.leave();
  yield();
}

// kernel<<<grid, num_threads>>>(): the body calls the kernel with its arguments.
inline void launch(dim3 grid, int num_threads, std::function<void()> kernel) {
  constexpr size_t kStackBytes = 256 * 1024;
  std::vector<std::unique_ptr<char[]>> stacks;
  for (int i = 0; i < num_threads; i++)
    stacks.emplace_back(new char[kStackBytes]);
  body = std::move(kernel);
  gridDim = grid;
  for (blockIdx.y = 0; blockIdx.y < grid.y; blockIdx.y++) {
    for (blockIdx.x = 0; blockIdx.x < grid.x; blockIdx.x++) {
      block = std::make_unique<Block>();
      block->barrier = Barrier(num_threads);
      block->warps.resize(num_threads / 32);
      block->contexts.resize(num_threads);
      block->has_ended.resize(num_threads);
      for (int i = 0; i < num_threads; i++) {
        getcontext(&block->contexts[i]);
        block->contexts[i].uc_stack.ss_sp = stacks[i].get();
        block->contexts[i].uc_stack.ss_size = kStackBytes;
        block->contexts[i].uc_link = nullptr;
        makecontext(&block->contexts[i], run_fiber, 0);
      }
      threadIdx.x = 0;
      swapcontext(&block->main, &block->contexts[0]);
    }
  }
}

// Puts words down and waits until the other lanes have; call done() after reading theirs.
class Exchange {
 public:
  template <class T>
  explicit Exchange(const T& value) : warp_(block->warps[threadIdx.x / 32]) {
    static_assert(sizeof(T) <= sizeof(warp_.words[0]), "room for a lane's words");
    std::memcpy(warp_.words[threadIdx.x % 32], &value, sizeof(T));
    warp_.barrier.wait();
  }
  template <class T>
  T of(uint32_t lane_idx) const {
    T value;
    std::memcpy(&value, warp_.words[lane_idx], sizeof(T));
    return value;
  }
  void done() { warp_.barrier.wait(); }

 private:
  Warp& warp_;
};

}  // namespace emulation

// --- Functions of the language ---

inline void __syncthreads() { emulation::block->barrier.wait(); }
inline void __syncwarp() { emulation::block->warps[threadIdx.x / 32].barrier.wait(); }
inline void __threadfence() {}

template <class T>
T __shfl_xor_sync(uint32_t, T value, uint32_t lanes) {
  emulation::Exchange exchange(value);
  const T other = exchange.of<T>((threadIdx.x % 32) ^ lanes);
  exchange.done();
  return other;
}

inline bool __any_sync(uint32_t, bool predicate) {
  emulation::Exchange exchange(predicate);
  bool any = false;
  for (uint32_t lane = 0; lane < 32; lane++)
    any |= exchange.of<bool>(lane);
  exchange.done();
  return any;
}

template <class T>
T atomicMax(T* address, T value) {
  const T old = *address;
  *address = std::max(old, value);
  return old;
}

template <class T>
T atomicAdd(T* address, T value) {
  const T old = *address;
  *address += value;
  return old;
}

template <class T>
T atomicOr(T* address, T value) {
  const T old = *address;
  *address |= value;
  return old;
}

template <class T>
T __ldcg(const T* address) {
  return *address;
}

// Vector loads fault on the device when they are not aligned.
template <class T>
T __ldg(const T* address) {
  if (reinterpret_cast<uintptr_t>(address) % sizeof(T) != 0) {
    std::fprintf(stderr, "misaligned load of %zu bytes\n", sizeof(T));
    std::abort();
  }
  return *address;
}

inline float __expf(float x) { return expf(x); }
inline int __ffs(uint32_t word) { return __builtin_ffs(static_cast<int>(word)); }
inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
using std::max;
using std::min;
