// Warpgroup matrix multiply-accumulate of Hopper: D[64, N] += A[64, 16] * B[N, 16]^T, both operands in shared memory,
// K-major, 128-byte swizzle; D in registers, fp32. One specialisation per width N; `d` holds N / 2 values per thread,
// laid out as d[4 j + 2 i + k] = D[16 * warp + lane / 4 + 8 i][8 j + 2 * (lane % 4) + k]. Source: PTX ISA 8.x,
// "wgmma.mma_async".
#pragma once

#include <cstdint>

#include "../common/macros.h"
#include "../common/sample_params.h"

// As in ptx.cuh: not for host builds.
#if defined(__CUDACC__)

namespace flashsampling {

// Orders register and shared-memory writes before the wgmma that follow.
FS_DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

FS_DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Waits until at most kPending groups are unfinished.
template <int kPending>
FS_DEVICE void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Descriptor of a K-major operand with 128-byte swizzle: groups of 8 rows lie 1024 bytes apart. The operand starts at a
// multiple of 1024 bytes; the k-th 16-element step inside a 128-byte row adds 32 bytes, which is 2 in the address
// field.
FS_DEVICE uint64_t wgmma_descriptor(uint32_t shared_address) {
  constexpr uint64_t kSwizzle128 = 1ull << 62;
  constexpr uint64_t kGroupStride = static_cast<uint64_t>(1024 >> 4) << 32;
  constexpr uint64_t kLeadingOffset = 1ull << 16;  // unused with a swizzle
  return kSwizzle128 | kGroupStride | kLeadingOffset | ((shared_address & 0x3FFFFu) >> 4);
}

template <int kWidth, Dtype kDtype>
struct Wgmma;

#define FS_WGMMA_ASM(WIDTH, TYPE, REGISTERS, A, B, SCALE)                                           \
  "{\n.reg .pred p;\nsetp.ne.b32 p, " SCALE ", 0;\n"                                                \
  "wgmma.mma_async.sync.aligned.m64n" #WIDTH "k16.f32." TYPE "." TYPE " {" REGISTERS "}, " A ", " B \
  ", p, 1, 1, 0, 0;\n}\n"

#define FS_WGMMA_REGISTERS_8 "%0, %1, %2, %3"
#define FS_WGMMA_8(DTYPE, TYPE)                                                             \
  template <>                                                                               \
  struct Wgmma<8, DTYPE> {                                                                  \
    static FS_DEVICE void multiply(float (&d)[4], uint64_t a, uint64_t b, int accumulate) { \
      asm volatile(FS_WGMMA_ASM(8, TYPE, FS_WGMMA_REGISTERS_8, "%4", "%5", "%6")            \
                   : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                         \
                   : "l"(a), "l"(b), "r"(accumulate));                                      \
    }                                                                                       \
  };
FS_WGMMA_8(Dtype::kBf16, "bf16")
FS_WGMMA_8(Dtype::kF16, "f16")

#define FS_WGMMA_REGISTERS_16 "%0, %1, %2, %3, %4, %5, %6, %7"
#define FS_WGMMA_16(DTYPE, TYPE)                                                                                    \
  template <>                                                                                                       \
  struct Wgmma<16, DTYPE> {                                                                                         \
    static FS_DEVICE void multiply(float (&d)[8], uint64_t a, uint64_t b, int accumulate) {                         \
      asm volatile(FS_WGMMA_ASM(16, TYPE, FS_WGMMA_REGISTERS_16, "%8", "%9", "%10")                                 \
                   : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]) \
                   : "l"(a), "l"(b), "r"(accumulate));                                                              \
    }                                                                                                               \
  };
FS_WGMMA_16(Dtype::kBf16, "bf16")
FS_WGMMA_16(Dtype::kF16, "f16")

#define FS_WGMMA_REGISTERS_32 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define FS_WGMMA_32(DTYPE, TYPE)                                                                                     \
  template <>                                                                                                        \
  struct Wgmma<32, DTYPE> {                                                                                          \
    static FS_DEVICE void multiply(float (&d)[16], uint64_t a, uint64_t b, int accumulate) {                         \
      asm volatile(FS_WGMMA_ASM(32, TYPE, FS_WGMMA_REGISTERS_32, "%16", "%17", "%18")                                \
                   : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), \
                     "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]),        \
                     "+f"(d[15])                                                                                     \
                   : "l"(a), "l"(b), "r"(accumulate));                                                               \
    }                                                                                                                \
  };
FS_WGMMA_32(Dtype::kBf16, "bf16")
FS_WGMMA_32(Dtype::kF16, "f16")

#define FS_WGMMA_REGISTERS_64                                              \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define FS_WGMMA_64(DTYPE, TYPE)                                                                                     \
  template <>                                                                                                        \
  struct Wgmma<64, DTYPE> {                                                                                          \
    static FS_DEVICE void multiply(float (&d)[32], uint64_t a, uint64_t b, int accumulate) {                         \
      asm volatile(FS_WGMMA_ASM(64, TYPE, FS_WGMMA_REGISTERS_64, "%32", "%33", "%34")                                \
                   : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), \
                     "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]),        \
                     "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]),      \
                     "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]),      \
                     "+f"(d[29]), "+f"(d[30]), "+f"(d[31])                                                           \
                   : "l"(a), "l"(b), "r"(accumulate));                                                               \
    }                                                                                                                \
  };
FS_WGMMA_64(Dtype::kBf16, "bf16")
FS_WGMMA_64(Dtype::kF16, "f16")

#define FS_WGMMA_REGISTERS_128                                                       \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define FS_WGMMA_128(DTYPE, TYPE)                                                                                    \
  template <>                                                                                                        \
  struct Wgmma<128, DTYPE> {                                                                                         \
    static FS_DEVICE void multiply(float (&d)[64], uint64_t a, uint64_t b, int accumulate) {                         \
      asm volatile(FS_WGMMA_ASM(128, TYPE, FS_WGMMA_REGISTERS_128, "%64", "%65", "%66")                              \
                   : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), \
                     "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]),        \
                     "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]),      \
                     "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]),      \
                     "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]),      \
                     "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), "+f"(d[41]), "+f"(d[42]),      \
                     "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]), "+f"(d[49]),      \
                     "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), "+f"(d[56]),      \
                     "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])       \
                   : "l"(a), "l"(b), "r"(accumulate));                                                               \
    }                                                                                                                \
  };
FS_WGMMA_128(Dtype::kBf16, "bf16")
FS_WGMMA_128(Dtype::kF16, "f16")

#define FS_WGMMA_REGISTERS_256                                                                   \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                       \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "             \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "             \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "             \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define FS_WGMMA_256(DTYPE, TYPE)                                                                                   \
  template <>                                                                                                       \
  struct Wgmma<256, DTYPE> {                                                                                        \
    static FS_DEVICE void multiply(float (&d)[128], uint64_t a, uint64_t b, int accumulate) {                       \
      asm volatile(                                                                                                 \
          FS_WGMMA_ASM(256, TYPE, FS_WGMMA_REGISTERS_256, "%128", "%129", "%130")                                   \
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),         \
            "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),   \
            "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), \
            "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), \
            "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), \
            "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), \
            "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), \
            "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63]), \
            "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67]), "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71]), \
            "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75]), "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79]), \
            "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83]), "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87]), \
            "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91]), "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95]), \
            "+f"(d[96]), "+f"(d[97]), "+f"(d[98]), "+f"(d[99]), "+f"(d[100]), "+f"(d[101]), "+f"(d[102]),           \
            "+f"(d[103]), "+f"(d[104]), "+f"(d[105]), "+f"(d[106]), "+f"(d[107]), "+f"(d[108]), "+f"(d[109]),       \
            "+f"(d[110]), "+f"(d[111]), "+f"(d[112]), "+f"(d[113]), "+f"(d[114]), "+f"(d[115]), "+f"(d[116]),       \
            "+f"(d[117]), "+f"(d[118]), "+f"(d[119]), "+f"(d[120]), "+f"(d[121]), "+f"(d[122]), "+f"(d[123]),       \
            "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127])                                                  \
          : "l"(a), "l"(b), "r"(accumulate));                                                                       \
    }                                                                                                               \
  };
FS_WGMMA_256(Dtype::kBf16, "bf16")
FS_WGMMA_256(Dtype::kF16, "f16")
#undef FS_WGMMA_8
#undef FS_WGMMA_REGISTERS_8
#undef FS_WGMMA_16
#undef FS_WGMMA_REGISTERS_16
#undef FS_WGMMA_32
#undef FS_WGMMA_REGISTERS_32
#undef FS_WGMMA_64
#undef FS_WGMMA_REGISTERS_64
#undef FS_WGMMA_128
#undef FS_WGMMA_REGISTERS_128
#undef FS_WGMMA_256
#undef FS_WGMMA_REGISTERS_256
#undef FS_WGMMA_ASM

}  // namespace flashsampling

#endif
