// Plain reads of device memory, several ways: the fastest of them is the ceiling that draws are compared with.
// Nothing is computed and nothing is written. Built by read_ceiling.py, called through ctypes.
#include <cstdint>

#include <cuda_runtime.h>

namespace {

constexpr uint64_t kVectorBytes = 16;

__device__ uint64_t evict_first_policy() {
  uint64_t policy;
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

__device__ uint4 load_streaming(const uint4* address, uint64_t policy) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.L2::cache_hint.v4.u32 {%0, %1, %2, %3}, [%4], %5;"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(address), "l"(policy));
  return value;
}

__device__ uint4 load_plain(const uint4* address, uint64_t) { return __ldg(address); }

// Each block reads chunks of blockDim.x * kUnroll vectors, one after the other over the grid; a thread has kUnroll loads
// of 16 bytes in flight.
template <int kUnroll, bool kStreaming>
__global__ void read_vectors(const uint4* data,      // [num_vectors]
                             uint64_t num_vectors, uint32_t* sink) {
  const uint64_t policy = kStreaming ? evict_first_policy() : 0;
  const uint64_t chunk = static_cast<uint64_t>(blockDim.x) * kUnroll;
  const uint64_t num_chunks = num_vectors / chunk;
  const auto load = [&](uint64_t index) {
    return kStreaming ? load_streaming(data + index, policy) : load_plain(data + index, policy);
  };
  uint32_t mixed = 0;
  for (uint64_t number = blockIdx.x; number < num_chunks; number += gridDim.x) {
    uint4 values[kUnroll];
#pragma unroll
    for (int i = 0; i < kUnroll; i++) values[i] = load(number * chunk + static_cast<uint64_t>(i) * blockDim.x + threadIdx.x);
#pragma unroll
    for (int i = 0; i < kUnroll; i++) mixed ^= values[i].x ^ values[i].y ^ values[i].z ^ values[i].w;
  }
  for (uint64_t index = num_chunks * chunk + blockIdx.x * blockDim.x + threadIdx.x; index < num_vectors;
       index += static_cast<uint64_t>(gridDim.x) * blockDim.x) {
    const uint4 value = load(index);
    mixed ^= value.x ^ value.y ^ value.z ^ value.w;
  }
  // Keeps the loads alive; random data never mixes to this word in every thread.
  if (mixed == 0x9E3779B9u && sink != nullptr) *sink = mixed;
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define HAS_BULK_COPY 1
#else
#define HAS_BULK_COPY 0
#endif

__device__ uint32_t shared_address(const void* pointer) { return static_cast<uint32_t>(__cvta_generic_to_shared(pointer)); }

// One thread of each block keeps num_stages bulk copies of stage_bytes into shared memory in flight, and looks at none.
__global__ void read_bulk(const uint8_t* data,  // [num_bytes], a multiple of 16
                          uint64_t num_bytes, uint32_t stage_bytes, uint32_t num_stages) {
#if HAS_BULK_COPY
  extern __shared__ __align__(128) uint8_t stages[];
  __shared__ uint64_t barriers[32];
  if (threadIdx.x != 0) return;
  const uint64_t policy = evict_first_policy();
  for (uint32_t stage = 0; stage < num_stages; stage++) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(&barriers[stage])));
  }
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  const uint64_t num_chunks = (num_bytes + stage_bytes - 1) / stage_bytes;
  const auto issue = [&](uint64_t chunk, uint32_t stage) {
    const uint64_t start = chunk * stage_bytes;
    const uint32_t bytes = static_cast<uint32_t>(min(static_cast<uint64_t>(stage_bytes), num_bytes - start));
    const uint32_t barrier = shared_address(&barriers[stage]);
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::"r"(
            shared_address(stages + static_cast<uint64_t>(stage) * stage_bytes)),
        "l"(data + start), "r"(bytes), "r"(barrier), "l"(policy)
        : "memory");
  };
  const auto wait = [&](uint32_t stage, uint32_t parity) {
    asm volatile(
        "{\n.reg .pred done;\n"
        "again:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@done bra finished;\nbra again;\nfinished:\n}" ::"r"(
            shared_address(&barriers[stage])),
        "r"(parity)
        : "memory");
  };
  uint64_t next = blockIdx.x;
  uint64_t issued = 0;
  for (; issued < num_stages && next < num_chunks; issued++, next += gridDim.x) issue(next, static_cast<uint32_t>(issued));
  for (uint64_t done = 0; done < issued; done++) {
    const uint32_t stage = static_cast<uint32_t>(done % num_stages);
    wait(stage, static_cast<uint32_t>(done / num_stages) & 1);
    if (next < num_chunks) {
      issue(next, stage);
      issued++;
      next += gridDim.x;
    }
  }
#endif
}

template <int kUnroll, bool kStreaming>
void launch_vectors(const void* data, uint64_t bytes, int blocks, int threads, uint32_t* sink, cudaStream_t stream) {
  read_vectors<kUnroll, kStreaming>
      <<<blocks, threads, 0, stream>>>(static_cast<const uint4*>(data), bytes / kVectorBytes, sink);
}

cudaError_t launch_bulk(const void* data, uint64_t bytes, int blocks, uint32_t stage_bytes, uint32_t num_stages,
                        cudaStream_t stream) {
  const int shared_bytes = static_cast<int>(stage_bytes * num_stages);
  const cudaError_t error =
      cudaFuncSetAttribute(read_bulk, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  if (error != cudaSuccess) return error;
  read_bulk<<<blocks, 32, shared_bytes, stream>>>(static_cast<const uint8_t*>(data), bytes, stage_bytes, num_stages);
  return cudaSuccess;
}

struct Method {
  const char* name;
  int blocks_per_multiprocessor;
  int threads;
  uint32_t stage_bytes, num_stages;  // of bulk copies; 0 for loads
};

constexpr Method kMethods[] = {
    {"ld-x8-2x512", 2, 512, 0, 0},        {"ld-x8-4x512", 4, 512, 0, 0},         {"ld-evict-first-x8-2x512", 2, 512, 0, 0},
    {"ld-evict-first-x8-4x512", 4, 512, 0, 0}, {"ld-evict-first-x4-8x256", 8, 256, 0, 0}, {"ld-evict-first-x4-2x1024", 2, 1024, 0, 0},
    {"bulk-1x12x16k", 1, 32, 16384, 12},  {"bulk-1x6x32k", 1, 32, 32768, 6},     {"bulk-2x12x8k", 2, 32, 8192, 12},
    {"bulk-2x6x16k", 2, 32, 16384, 6},
};

}  // namespace

extern "C" {

int read_ceiling_num_methods(void) { return static_cast<int>(sizeof(kMethods) / sizeof(kMethods[0])); }

const char* read_ceiling_method_name(int method) { return kMethods[method].name; }

// Reads bytes (a multiple of 16) of data once, on the stream. Returns a cudaError_t; 801 (not supported) for a method that
// this GPU lacks.
int read_ceiling_run(int method, const void* data, uint64_t bytes, void* sink, void* stream) {
  const Method& chosen = kMethods[method];
  int device = 0, multiprocessors = 0, major = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  const int blocks = multiprocessors * chosen.blocks_per_multiprocessor;
  const auto queue = static_cast<cudaStream_t>(stream);
  const auto word = static_cast<uint32_t*>(sink);
  if (chosen.stage_bytes != 0) {
    if (major < 9) return cudaErrorNotSupported;
    const cudaError_t error = launch_bulk(data, bytes, blocks, chosen.stage_bytes, chosen.num_stages, queue);
    if (error != cudaSuccess) return error;
  } else if (method < 2) {
    launch_vectors<8, false>(data, bytes, blocks, chosen.threads, word, queue);
  } else if (method < 4) {
    launch_vectors<8, true>(data, bytes, blocks, chosen.threads, word, queue);
  } else {
    launch_vectors<4, true>(data, bytes, blocks, chosen.threads, word, queue);
  }
  return cudaGetLastError();
}

}  // extern "C"
