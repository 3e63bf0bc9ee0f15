// The functions of kernels/sm90/ptx.cuh and kernels/sm90/wgmma.cuh by emulation. Shared addresses count bytes from the
// block's dynamic shared memory.
#pragma once

#include "device.h"

#include <cuda.h>

#include "common/sample_params.h"
#include "common/workspace.h"

// The method that only device code has.
#define __CUDACC__
#include "sm90/config.h"
#undef __CUDACC__

// The kernel declares `extern __shared__ uint8_t shared_bytes[]`. Blocks of a cluster run side by side, each with
// memory of its own; so the declaration becomes that of a function which gives the memory of the block that asks.
#undef __shared__
#define __shared__
#undef __align__
#define __align__(bytes)
#define shared_bytes (*block_shared_bytes())

// noise_codes() takes the leading zeros of a word by an instruction of the device, in AT&T order here: both take the
// destination first, so the operands keep their places.
#if !defined(__x86_64__)
#error "the assembler macro below is for x86-64"
#endif
asm(".macro bfind.shiftamt.u32 destination, source\n"
    "bsrl \\source, \\destination\n"
    "jnz 771f\n"
    "movl $0xFFFFFFE0, \\destination\n"
    "771: xorl $31, \\destination\n"
    ".endm\n");

namespace flashsampling {

inline uint8_t (*block_shared_bytes())[] { return reinterpret_cast<uint8_t(*)[]>(emulation::current->block->shared); }

constexpr uint64_t kEvictFirst = 1, kEvictLast = 2;

inline uint32_t shared_address(const void* pointer) {
  const emulation::Block& block = *emulation::current->block;
  const size_t offset = static_cast<const uint8_t*>(pointer) - block.shared;
  if (offset >= block.shared_size) emulation::fail("not an address in shared memory");
  return static_cast<uint32_t>(offset);
}

// The address with the bits that the copy engine and wgmma exchange in it: 16-byte columns by 128-byte rows.
inline uint32_t swizzle_128(uint32_t address) { return address ^ (address >> 7 & 7u) << 4; }

// --- mbarrier ---

// What an mbarrier's own 8 bytes hold here: nothing may write over them.
constexpr uint64_t kBarrierMark = 0x5AFEBA221E25EEDDull;

inline emulation::MemoryBarrier& memory_barrier(emulation::Block& block, uint32_t barrier) {
  if (block.num_alive == 0) emulation::fail("a block's memory barrier is used after the block's end");
  const auto found = block.memory_barriers.find(barrier);
  if (found == block.memory_barriers.end()) emulation::fail("a memory barrier is used before its initialisation");
  uint64_t mark;
  std::memcpy(&mark, block.shared + barrier, sizeof(mark));
  if (mark != kBarrierMark) emulation::fail("a memory barrier was written over");
  return found->second;
}

inline emulation::MemoryBarrier& memory_barrier(uint32_t barrier) {
  return memory_barrier(*emulation::current->block, barrier);
}

inline void barrier_init(uint32_t barrier, uint32_t arrivals) {
  emulation::Block& block = *emulation::current->block;
  if (barrier % 8 != 0) emulation::fail("misaligned memory barrier");
  std::memcpy(block.shared + barrier, &kBarrierMark, sizeof(kBarrierMark));
  block.memory_barriers[barrier] = emulation::MemoryBarrier(arrivals);
}

inline void barrier_init_fence() {}

inline void barrier_expect_bytes(uint32_t barrier, uint32_t bytes) { memory_barrier(barrier).arrive(bytes); }

inline void barrier_arrive(uint32_t barrier) {
  memory_barrier(barrier).arrive();
  emulation::maybe_yield();
}

inline void barrier_arrive_remote(uint32_t barrier, uint32_t block_rank) {
  memory_barrier(*emulation::current->block->cluster->blocks.at(block_rank), barrier).arrive();
  emulation::maybe_yield();
}

inline void barrier_wait(uint32_t barrier, uint32_t parity) { memory_barrier(barrier).wait(parity); }

// --- Bulk tensor copies ---

inline void tensor_map_prefetch(const CUtensorMap*) {}
inline void prefetch_l2(const void* address) { (void)*static_cast<const volatile uint8_t*>(address); }
inline void tensor_prefetch(const CUtensorMap*, int, int, uint64_t) {}

// Ends some time later. Until then the destination holds what may be read of it: nothing.
inline void copy_box(const CUtensorMap* map, emulation::Block* block, uint32_t destination, uint32_t barrier,
                     int64_t column, int64_t row) {
  const uint32_t row_bytes = map->box_columns * 2, bytes = map->box_rows * row_bytes;
  if (destination % 1024 != 0 || destination + bytes > block->shared_size) {
    emulation::fail("a box does not lie in shared memory, or not at the swizzle's alignment");
  }
  if (block->num_alive == 0) emulation::fail("a copy to a block that has ended");
  std::memset(block->shared + destination, 0xFF, bytes);
  emulation::events.push_back([=] {
    emulation::MemoryBarrier& completion = memory_barrier(*block, barrier);
    for (uint32_t r = 0; r < map->box_rows; r++) {
      for (uint32_t c = 0; c < map->box_columns; c++) {
        const int64_t y = row + r, x = column + c;
        const bool is_inside =
            x >= 0 && y >= 0 && x < static_cast<int64_t>(map->columns) && y < static_cast<int64_t>(map->rows);
        uint16_t element = 0;
        if (is_inside) std::memcpy(&element, map->data + y * map->row_bytes + x * 2, 2);
        std::memcpy(block->shared + swizzle_128(destination + r * row_bytes + c * 2), &element, 2);
      }
    }
    completion.complete(bytes);
  });
}

inline void tensor_load(const CUtensorMap* map, uint32_t destination, uint32_t barrier, int column, int row, uint64_t) {
  copy_box(map, emulation::current->block, destination, barrier, column, row);
}

inline void tensor_load_multicast(const CUtensorMap* map, uint32_t destination, uint32_t barrier, int column, int row,
                                  uint16_t blocks, uint64_t) {
  for (const auto& block : emulation::current->block->cluster->blocks) {
    if ((blocks >> block->rank_in_cluster & 1) != 0) copy_box(map, block.get(), destination, barrier, column, row);
  }
}

// --- Clusters, barriers, registers ---

inline uint32_t cluster_block_rank() { return emulation::current->block->rank_in_cluster; }
inline void cluster_sync() { emulation::current->block->cluster->barrier.wait(); }

template <int kThreads>
void named_barrier(int index) {
  __syncwarp();
  emulation::Barrier& barrier = emulation::current->block->named_barriers[index];
  if (barrier.expected() == 0) barrier = emulation::Barrier(kThreads);
  if (barrier.expected() != kThreads) emulation::fail("two numbers of threads at one barrier");
  barrier.wait();
}

template <int kRegisters>
void increase_registers() {}
template <int kRegisters>
void decrease_registers() {}

// --- wgmma ---

inline uint64_t wgmma_descriptor(uint32_t shared_address) {
  return 1ull << 62 | static_cast<uint64_t>(1024 >> 4) << 32 | 1ull << 16 | (shared_address & 0x3FFFFu) >> 4;
}

// Multiplications that a thread has begun. They end, and read shared memory, at any time until they are waited for.
struct WgmmaQueue {
  std::vector<std::function<void()>> open;
  std::vector<std::vector<std::function<void()>>> groups;

  void run_oldest() {
    for (const auto& multiplication : groups.front())
      multiplication();
    groups.erase(groups.begin());
  }
};

inline std::map<const emulation::Fiber*, WgmmaQueue> wgmma_queues;

inline WgmmaQueue& wgmma_queue() { return wgmma_queues[emulation::current]; }

inline void wgmma_fence() {}

inline void wgmma_commit() {
  WgmmaQueue& queue = wgmma_queue();
  queue.groups.push_back(std::move(queue.open));
  queue.open.clear();
  while (!queue.groups.empty() && emulation::random_word() % 4 == 0)
    queue.run_oldest();
}

template <int kPending>
void wgmma_wait() {
  WgmmaQueue& queue = wgmma_queue();
  while (queue.groups.size() > kPending)
    queue.run_oldest();
  if (queue.groups.empty()) wgmma_queues.erase(emulation::current);
  __syncwarp();  // a warp goes on together
}

// 16 elements of one row of an operand.
template <Dtype kDtype>
void read_operand(float (&values)[kWgmmaHidden], const emulation::Block& block, uint64_t descriptor, uint32_t row) {
  const uint32_t start = static_cast<uint32_t>(descriptor & 0x3FFFu) << 4;
  const uint32_t group_bytes = static_cast<uint32_t>(descriptor >> 32 & 0x3FFFu) << 4;
  for (uint32_t half = 0; half < 2; half++) {
    const uint32_t address = swizzle_128(start + row / 8 * group_bytes + row % 8 * 128 + half * 16);
    uint16_t bits[8];
    std::memcpy(bits, block.shared + address, sizeof(bits));
    for (uint32_t k = 0; k < 8; k++)
      values[8 * half + k] = kDtype == Dtype::kBf16 ? __bfloat162float({bits[k]}) : __half2float({bits[k]});
  }
}

template <int kWidth, Dtype kDtype>
struct Wgmma {
  static void multiply(float (&d)[kWidth / 2], uint64_t weight, uint64_t hidden, int accumulate) {
    if (weight >> 62 != 1 || hidden >> 62 != 1) emulation::fail("not a descriptor with 128-byte swizzle");
    const emulation::Block* block = emulation::current->block;
    const uint32_t warp_idx = threadIdx.x / 32 % 4, lane_idx = threadIdx.x % 32;
    float* sums = d;
    wgmma_queue().open.push_back([=] {
      float a[2][kWgmmaHidden], b[kWgmmaHidden];
      for (uint32_t i = 0; i < 2; i++)
        read_operand<kDtype>(a[i], *block, weight, 16 * warp_idx + lane_idx / 4 + 8 * i);
      for (uint32_t j = 0; j < kWidth / 8; j++) {
        for (uint32_t k = 0; k < 2; k++) {
          read_operand<kDtype>(b, *block, hidden, 8 * j + 2 * (lane_idx % 4) + k);
          for (uint32_t i = 0; i < 2; i++) {
            float sum = accumulate != 0 ? sums[4 * j + 2 * i + k] : 0.f;
            for (int step = 0; step < kWgmmaHidden; step++)
              sum += a[i][step] * b[step];
            sums[4 * j + 2 * i + k] = sum;
          }
        }
      }
    });
  }
};

}  // namespace flashsampling
