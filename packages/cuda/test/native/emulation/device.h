// Runs CUDA kernels as host C++: every thread of a block is a fiber, and collective operations (barriers, shuffles,
// votes, ldmatrix, mma) wait until all lanes or threads have come. Of the threads that can go on, a random one does. It
// shows wrong indices, masks, tails, swizzles and merges, missing barriers and deadlocks on machines without a GPU; it
// shows no timing, and no race between two threads that meet no collective operation or atomic in between.
//
// Include before any kernel header.
#pragma once

// Fibers are left by longjmp to another stack, which the fortified one refuses.
#undef _FORTIFY_SOURCE

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
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
// Blocks with variables of this kind run one after the other on one system thread, so one copy is enough.
#define __shared__ thread_local

struct dim3 {
  uint32_t x, y, z;
  dim3(uint32_t x_ = 1, uint32_t y_ = 1, uint32_t z_ = 1) : x(x_), y(y_), z(z_) {}
};

struct uint4 {
  uint32_t x, y, z, w;
};

struct float4 {
  float x, y, z, w;
};

inline dim3 threadIdx, blockIdx, gridDim;

// --- Fibers ---

namespace emulation {

struct Block;

struct Fiber {
  jmp_buf jump;
  ucontext_t context;  // for the first time
  bool has_started = false;
  bool is_slow = false;  // goes on mostly when no other thread can
  Block* block = nullptr;
  uint32_t thread_idx = 0;
};

using WaitList = std::vector<Fiber*>;

inline Fiber* current = nullptr;
inline WaitList ready, slow_ready;
inline std::vector<std::function<void()>> events;  // what may happen at any time, as copies may end
inline uint32_t event_pace = 1;                    // an event in about so many switches; 0: only when all threads wait
inline uint32_t num_alive = 0;
inline jmp_buf main_jump;
inline std::function<void()> body;

// Decides which thread goes on; every seed gives an order of its own, the same in every run.
inline uint64_t random_state = 1;
inline uint32_t random_word() {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return static_cast<uint32_t>((random_state * 0x2545F4914F6CDD1Dull) >> 32);
}

[[noreturn]] void fail(const char* what);

template <class T>
T take_any(std::vector<T>& list) {
  std::swap(list[random_word() % list.size()], list.back());
  T taken = std::move(list.back());
  list.pop_back();
  return taken;
}

// Goes on with any thread that can; back to the launcher when all have ended.
[[noreturn]] void dispatch();

__attribute__((noinline)) inline void switch_away() {
  if (_setjmp(current->jump) == 0) dispatch();
}

inline void sleep_in(WaitList& list) {
  list.push_back(current);
  switch_away();
}

inline void make_ready(Fiber* fiber) { (fiber->is_slow ? slow_ready : ready).push_back(fiber); }

inline void wake(WaitList& list) {
  for (Fiber* fiber : list)
    make_ready(fiber);
  list.clear();
}

// Where threads of a device may overtake each other.
inline void maybe_yield() {
  if (random_word() % 16 == 0) sleep_in(current->is_slow ? slow_ready : ready);
}

class Barrier {
 public:
  explicit Barrier(uint32_t expected = 0) : expected_(expected) {}
  void wait() {
    if (++arrived_ == expected_) {
      open();
    } else {
      sleep_in(waiting_);
    }
  }
  // A thread that has ended is not waited for.
  void leave() {
    if (--expected_ > 0 && arrived_ == expected_) open();
  }
  uint64_t generation() const { return generation_; }
  uint32_t expected() const { return expected_; }

 private:
  void open() {
    arrived_ = 0;
    generation_++;
    wake(waiting_);
  }

  uint32_t expected_, arrived_ = 0;
  uint64_t generation_ = 0;
  WaitList waiting_;
};

// An mbarrier: a phase ends when all arrivals and all bytes announced have come.
class MemoryBarrier {
 public:
  explicit MemoryBarrier(uint32_t arrivals = 1) : expected_(arrivals), pending_(arrivals) {}
  void arrive(int64_t announced_bytes = 0) {
    if (pending_ == 0) fail("more arrivals at a memory barrier than it expects");
    bytes_ += announced_bytes;
    pending_--;
    check();
  }
  void complete(int64_t bytes) {
    bytes_ -= bytes;
    check();
  }
  // Waits until the phase of this parity has ended.
  void wait(uint32_t parity) {
    while ((phase_ & 1u) == parity)
      sleep_in(waiting_);
  }

 private:
  void check() {
    if (pending_ != 0 || bytes_ != 0) return;
    phase_++;
    pending_ = expected_;
    wake(waiting_);
  }

  uint32_t expected_, pending_;
  int64_t bytes_ = 0;
  uint32_t phase_ = 0;
  WaitList waiting_;
};

struct Warp {
  Barrier barrier{32};
  uint64_t words[2][32][8];  // what each lane has put down for the others, by turns
};

struct Cluster {
  std::vector<std::unique_ptr<Block>> blocks;
  Barrier barrier;
};

struct Block {
  dim3 idx;
  uint32_t rank_in_cluster = 0, num_alive = 0;
  Cluster* cluster = nullptr;
  Barrier barrier;
  std::vector<Warp> warps;
  Barrier named_barriers[16];
  std::vector<uint8_t> memory;  // with room to align it
  uint8_t* shared = nullptr;
  size_t shared_size = 0;
  std::map<uint32_t, MemoryBarrier> memory_barriers;  // by shared address
};

inline Warp& current_warp() { return current->block->warps[current->thread_idx / 32]; }

inline void fail(const char* what) {
  if (current != nullptr) {
    std::fprintf(stderr, "block %u, thread %u: %s\n", current->block->idx.x, current->thread_idx, what);
  } else {
    std::fprintf(stderr, "%s\n", what);
  }
  std::_Exit(1);
}

inline void dispatch() {
  while (true) {
    const bool all_wait = ready.empty() && slow_ready.empty();
    if (!events.empty() && (all_wait || (event_pace != 0 && random_word() % event_pace == 0))) {
      take_any(events)();
    } else if (!all_wait) {
      const bool is_slow = ready.empty() || (!slow_ready.empty() && random_word() % 1024 == 0);
      current = take_any(is_slow ? slow_ready : ready);
      threadIdx.x = current->thread_idx;
      blockIdx = current->block->idx;
      if (current->has_started) _longjmp(current->jump, 1);
      current->has_started = true;
      setcontext(&current->context);
    } else if (num_alive > 0) {
      fail("deadlock: this thread was the last to wait, and all others do");
    } else {
      _longjmp(main_jump, 1);
    }
  }
}

inline void run_fiber() {
  body();
  Block* block = current->block;
  num_alive--;
  block->num_alive--;
  block->warps[current->thread_idx / 32].barrier.leave();
  block->barrier.leave();
  block->cluster->barrier.leave();
  dispatch();
}

// Which threads lag behind the others, so that those which should wait for them are found out.
enum class Slow { kNone, kOneBlock, kOneWarp, kSomeThreads };

struct LaunchShape {
  dim3 grid;
  uint32_t num_threads;
  uint32_t cluster_size = 1;
  size_t shared_size = 0;
  uint32_t clusters_at_a_time = 1;
  Slow slow = Slow::kNone;
};

__attribute__((noinline)) inline void run_ready() {
  if (_setjmp(main_jump) == 0) dispatch();
}

__attribute__((noinline)) inline void prepare(ucontext_t& context, char* stack, size_t stack_bytes) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = stack_bytes;
  context.uc_link = nullptr;
  makecontext(&context, run_fiber, 0);
}

// Starts the threads of one cluster; its stacks are those from first_fiber on.
inline std::unique_ptr<Cluster> start_cluster(const LaunchShape& shape, uint32_t cluster_idx,
                                              std::vector<std::unique_ptr<Fiber>>& fibers, size_t first_fiber) {
  constexpr size_t kStackBytes = 128 * 1024;
  static std::vector<std::unique_ptr<char[]>> stacks;
  auto cluster = std::make_unique<Cluster>();
  cluster->barrier = Barrier(shape.num_threads * shape.cluster_size);
  const uint32_t slow_rank = random_word() % shape.cluster_size, slow_warp = random_word() % (shape.num_threads / 32);
  const uint32_t clusters_in_x = shape.grid.x / shape.cluster_size;
  for (uint32_t rank = 0; rank < shape.cluster_size; rank++) {
    cluster->blocks.push_back(std::make_unique<Block>());
    Block& block = *cluster->blocks.back();
    block.idx = dim3(cluster_idx % clusters_in_x * shape.cluster_size + rank, cluster_idx / clusters_in_x);
    block.rank_in_cluster = rank;
    block.cluster = cluster.get();
    block.num_alive = shape.num_threads;
    block.barrier = Barrier(shape.num_threads);
    block.warps.resize(shape.num_threads / 32);
    block.memory.assign(shape.shared_size + 1024, 0xFF);
    block.shared_size = shape.shared_size;
    block.shared = block.memory.data() + (1024 - reinterpret_cast<uintptr_t>(block.memory.data()) % 1024) % 1024;
    for (uint32_t i = 0; i < shape.num_threads; i++) {
      const size_t index = first_fiber + rank * shape.num_threads + i;
      while (stacks.size() <= index)
        stacks.emplace_back(new char[kStackBytes]);
      fibers.push_back(std::make_unique<Fiber>());
      Fiber& fiber = *fibers.back();
      fiber.block = &block;
      fiber.thread_idx = i;
      fiber.is_slow = (shape.slow == Slow::kOneBlock && rank == slow_rank) ||
                      (shape.slow == Slow::kOneWarp && i / 32 == slow_warp) ||
                      (shape.slow == Slow::kSomeThreads && random_word() % 8 == 0);
      prepare(fiber.context, stacks[index].get(), kStackBytes);
      make_ready(&fiber);
      num_alive++;
    }
  }
  return cluster;
}

// kernel<<<grid, num_threads>>>(): the body calls the kernel with its arguments. Clusters run in any order.
inline void launch(const LaunchShape& shape, std::function<void()> kernel) {
  body = std::move(kernel);
  gridDim = shape.grid;
  std::vector<uint32_t> waiting(shape.grid.x / shape.cluster_size * shape.grid.y);
  std::iota(waiting.begin(), waiting.end(), 0u);
  while (!waiting.empty()) {
    std::vector<std::unique_ptr<Cluster>> running;
    std::vector<std::unique_ptr<Fiber>> fibers;
    while (!waiting.empty() && running.size() < shape.clusters_at_a_time)
      running.push_back(start_cluster(shape, take_any(waiting), fibers, fibers.size()));
    run_ready();
    current = nullptr;
  }
}

inline void launch(dim3 grid, uint32_t num_threads, std::function<void()> kernel) {
  launch(LaunchShape{grid, num_threads}, std::move(kernel));
}

// Puts words down and waits until the other lanes have. The next exchange has room of its own, so lanes need not wait
// until all have read.
class Exchange {
 public:
  template <class T>
  explicit Exchange(const T& value) : warp_(current_warp()), words_(warp_.words[warp_.barrier.generation() % 2]) {
    static_assert(sizeof(T) <= sizeof(words_[0]), "room for a lane's words");
    std::memcpy(words_[threadIdx.x % 32], &value, sizeof(T));
    warp_.barrier.wait();
  }
  template <class T>
  T of(uint32_t lane_idx) const {
    T value;
    std::memcpy(&value, words_[lane_idx], sizeof(T));
    return value;
  }

 private:
  Warp& warp_;
  uint64_t (&words_)[32][8];
};

}  // namespace emulation

// --- Functions of the language ---

inline void __syncthreads() { emulation::current->block->barrier.wait(); }
inline void __syncwarp() { emulation::current_warp().barrier.wait(); }
inline void __threadfence() {}

template <class T>
T __shfl_sync(uint32_t, T value, uint32_t lane) {
  return emulation::Exchange(value).of<T>(lane % 32);
}

template <class T>
T __shfl_xor_sync(uint32_t, T value, uint32_t lanes) {
  return emulation::Exchange(value).of<T>((threadIdx.x % 32) ^ lanes);
}

template <class T>
T __shfl_up_sync(uint32_t, T value, uint32_t distance) {
  const uint32_t lane_idx = threadIdx.x % 32;
  return emulation::Exchange(value).of<T>(lane_idx >= distance ? lane_idx - distance : lane_idx);
}

inline bool __any_sync(uint32_t, bool predicate) {
  const emulation::Exchange exchange(predicate);
  bool any = false;
  for (uint32_t lane = 0; lane < 32; lane++)
    any |= exchange.of<bool>(lane);
  return any;
}

inline bool __all_sync(uint32_t lanes, bool predicate) { return !__any_sync(lanes, !predicate); }

// One step for all threads, with others before it.
template <class T, class Update>
T update_atomically(T* address, Update update) {
  emulation::maybe_yield();
  const T old = *address;
  *address = update(old);
  return old;
}

template <class T>
T atomicMax(T* address, T value) {
  return update_atomically(address, [value](T old) { return std::max(old, value); });
}

template <class T>
T atomicAdd(T* address, T value) {
  return update_atomically(address, [value](T old) { return old + value; });
}

template <class T>
T atomicOr(T* address, T value) {
  return update_atomically(address, [value](T old) { return old | value; });
}

template <class T>
T __ldcg(const T* address) {
  return *address;
}

// Vector loads fault on the device when they are not aligned.
template <class T>
T __ldg(const T* address) {
  if (reinterpret_cast<uintptr_t>(address) % sizeof(T) != 0) emulation::fail("misaligned vector load");
  return *address;
}

inline float __expf(float x) { return expf(x); }
inline int __ffs(uint32_t word) { return __builtin_ffs(static_cast<int>(word)); }
inline int __popc(uint32_t word) { return __builtin_popcount(word); }
inline uint32_t __funnelshift_r(uint32_t low, uint32_t high, uint32_t bits) {
  return static_cast<uint32_t>(((static_cast<uint64_t>(high) << 32) | low) >> (bits % 32));
}
inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
using std::max;
using std::min;
