// Instructions of compute capability 8.0 that the portable kernel is made of.
#pragma once

#include <cstdint>

#include "common/macros.h"
#include "common/sample_params.h"

// Host builds, which run the kernel by emulation, bring functions of their own: test/native/emulation.
#if defined(__CUDACC__)

namespace flashsampling::smxx {

// The shared memory that the launch asked for.
FS_DEVICE uint8_t* dynamic_shared() {
  extern __shared__ __align__(128) uint8_t shared_bytes[];
  return shared_bytes;
}

FS_DEVICE uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// Copies 16 bytes to shared memory, or writes 16 zeros; global must be a valid address in either case.
FS_DEVICE void copy_async(uint32_t shared, const void* global, bool is_valid) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared), "l"(global),
               "r"(is_valid ? 16 : 0)
               : "memory");
}

FS_DEVICE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most kPending of this thread's groups are under way.
template <int kPending>
FS_DEVICE void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Four 8x8 matrices of 16-bit elements; lanes 8i .. 8i+7 name the rows of matrix i.
FS_DEVICE void load_matrices(uint32_t (&fragment)[4], uint32_t shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
               : "r"(shared)
               : "memory");
}

// d[16 x 8] += a[16 x 16] . b[16 x 8]; d[0], d[1] lie in row lane / 4, columns 2 (lane % 4) and the next; d[2], d[3]
// eight rows below.
template <Dtype kDtype>
FS_DEVICE void multiply_accumulate(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (kDtype == Dtype::kBf16) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

}  // namespace flashsampling::smxx

#endif
