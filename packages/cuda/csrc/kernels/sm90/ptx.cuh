// Barriers, bulk tensor copies and cluster primitives of Hopper, one function per instruction.
// Source: PTX ISA 8.x, "mbarrier", "cp.async.bulk.tensor", "barrier.cluster", "setmaxnreg".
#pragma once

#include <cuda.h>

#include <cstdint>

#include "../common/macros.h"

// Host builds, which run the kernel by emulation, bring functions of their own: test/native/emulation.
#if defined(__CUDACC__)

namespace flashsampling {

// Cache policies of the bulk copies, as createpolicy would encode them.
constexpr uint64_t kEvictFirst = 0x12F0000000000000ull;  // a stream that is read once
constexpr uint64_t kEvictLast = 0x14F0000000000000ull;   // data that every tile reads again

FS_DEVICE uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

FS_DEVICE void barrier_init(uint32_t barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals));
}

// Makes initialised barriers visible to the copy engine and to the other blocks of the cluster.
FS_DEVICE void barrier_init_fence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

FS_DEVICE void barrier_expect_bytes(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

FS_DEVICE void barrier_arrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// Arrives at the barrier with the same offset in another block of the cluster.
// NOTE: no .release.cluster here and no .acquire.cluster where it is waited for. What the barrier guards is read by
// wgmma and written by the copy engine, never by ordinary loads and stores; the cluster-scope fences double the time of
// a pass (docs/findings/hopper-fused-sampler.md).
FS_DEVICE void barrier_arrive_remote(uint32_t barrier, uint32_t block_rank) {
  asm volatile("{\n.reg .b32 remote;\n"
               "mapa.shared::cluster.u32 remote, %0, %1;\n"
               "mbarrier.arrive.shared::cluster.b64 _, [remote];\n}\n" ::"r"(barrier),
               "r"(block_rank)
               : "memory");
}

FS_DEVICE bool barrier_try_wait(uint32_t barrier, uint32_t parity) {
  uint32_t done;
  asm volatile("{\n.reg .pred p;\n"
               "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
               "selp.u32 %0, 1, 0, p;\n}\n"
               : "=r"(done)
               : "r"(barrier), "r"(parity)
               : "memory");
  return done != 0;
}

FS_DEVICE void barrier_wait(uint32_t barrier, uint32_t parity) {
  while (!barrier_try_wait(barrier, parity)) {
  }
}

FS_DEVICE void tensor_map_prefetch(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

// Copies the box at (column, row) of a 2D tensor into shared memory and reports its bytes to the barrier.
FS_DEVICE void tensor_load(const CUtensorMap* map, uint32_t destination, uint32_t barrier, int column, int row,
                           uint64_t policy) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint"
               " [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(destination),
               "l"(map), "r"(barrier), "r"(column), "r"(row), "l"(policy)
               : "memory");
}

// The same into every block of the cluster named in `blocks`, at the same offset, reporting to each block's own
// barrier.
FS_DEVICE void tensor_load_multicast(const CUtensorMap* map, uint32_t destination, uint32_t barrier, int column,
                                     int row, uint16_t blocks, uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster.L2::cache_hint"
      " [%0], [%1, {%3, %4}], [%2], %5, %6;" ::"r"(destination),
      "l"(map), "r"(barrier), "r"(column), "r"(row), "h"(blocks), "l"(policy)
      : "memory");
}

// Brings the box at (column, row) into L2, for a later tensor_load().
FS_DEVICE void tensor_prefetch(const CUtensorMap* map, int column, int row, uint64_t policy) {
  asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global.tile.L2::cache_hint [%0, {%1, %2}], %3;" ::"l"(map),
               "r"(column), "r"(row), "l"(policy)
               : "memory");
}

// Brings the sector with an address into L2, for a later load.
FS_DEVICE void prefetch_l2(const void* address) { asm volatile("prefetch.global.L2 [%0];" ::"l"(address)); }

FS_DEVICE uint32_t cluster_block_rank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

FS_DEVICE void cluster_sync() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// A barrier among kThreads threads of the block; 0 is __syncthreads().
template <int kThreads>
FS_DEVICE void named_barrier(int index) {
  __syncwarp();  // bar.sync is for converged warps
  asm volatile("bar.sync %0, %1;" ::"r"(index), "n"(kThreads) : "memory");
}

template <int kRegisters>
FS_DEVICE void increase_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

template <int kRegisters>
FS_DEVICE void decrease_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

}  // namespace flashsampling

#endif
