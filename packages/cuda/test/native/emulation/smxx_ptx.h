// The functions of kernels/smxx_ptx.cuh by emulation. Shared addresses count bytes from the dynamic shared memory.
#pragma once

#include "device.h"

#include "common/sample_params.h"

namespace flashsampling::smxx {

constexpr size_t kSharedBytes = 227 * 1024;
alignas(1024) inline uint8_t shared_bytes[kSharedBytes];

inline uint8_t* dynamic_shared() { return shared_bytes; }

inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(static_cast<const uint8_t*>(pointer) - shared_bytes);
}

inline uint8_t* shared_pointer(uint32_t address, const char* what) {
  if (address % 16 != 0 || address + 16 > kSharedBytes) {
    std::fprintf(stderr, "%s: bad shared address %u\n", what, address);
    std::abort();
  }
  return shared_bytes + address;
}

// Copies when it is waited for: a reader that does not wait sees old bytes, as it may on the device.
struct PendingCopy {
  uint32_t shared;
  uint8_t bytes[16];
};
struct CopyQueue {
  std::vector<PendingCopy> open;
  std::vector<std::vector<PendingCopy>> groups;
};
inline CopyQueue copy_queues[1024];  // by thread

inline void copy_async(uint32_t shared, const void* global, bool is_valid) {
  if (reinterpret_cast<uintptr_t>(global) % 16 != 0) {
    std::fprintf(stderr, "misaligned cp.async\n");
    std::abort();
  }
  PendingCopy copy = {shared, {}};
  // Reads even what is then replaced by zeros: the address must be valid in either case.
  std::memcpy(copy.bytes, global, 16);
  if (!is_valid) std::memset(copy.bytes, 0, 16);
  copy_queues[threadIdx.x].open.push_back(copy);
}

inline void copy_async_commit() {
  CopyQueue& queue = copy_queues[threadIdx.x];
  queue.groups.push_back(std::move(queue.open));
  queue.open.clear();
}

template <int kPending>
void copy_async_wait() {
  auto& groups = copy_queues[threadIdx.x].groups;
  while (groups.size() > kPending) {
    for (const PendingCopy& copy : groups.front())
      std::memcpy(shared_pointer(copy.shared, "cp.async"), copy.bytes, 16);
    groups.erase(groups.begin());
  }
}

// Counts bank conflicts, of which the swizzle promises none.
inline uint64_t num_bank_conflicts = 0;

inline void load_matrices(uint32_t (&fragment)[4], uint32_t shared) {
  emulation::Exchange exchange(shared);
  const uint32_t lane_idx = threadIdx.x % 32;
  for (uint32_t i = 0; i < 4; i++) {
    const uint32_t address = exchange.of<uint32_t>(8 * i + lane_idx / 4);
    std::memcpy(&fragment[i], shared_pointer(address, "ldmatrix") + lane_idx % 4 * 4, 4);
    if (lane_idx == 0) {
      uint32_t banks = 0;
      for (uint32_t row = 0; row < 8; row++)
        banks |= 1u << (exchange.of<uint32_t>(8 * i + row) / 16 % 8);
      num_bank_conflicts += banks != 0xFFu;
    }
  }
}

template <Dtype kDtype>
float element(uint32_t word, uint32_t index) {
  const uint16_t bits = static_cast<uint16_t>(word >> (16 * index));
  return kDtype == Dtype::kBf16 ? __bfloat162float({bits}) : __half2float({bits});
}

template <Dtype kDtype>
void multiply_accumulate(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  struct Fragment {
    uint32_t a[4], b[2];
  };
  emulation::Exchange exchange(Fragment{{a[0], a[1], a[2], a[3]}, {b0, b1}});
  const uint32_t lane_idx = threadIdx.x % 32;
  for (uint32_t i = 0; i < 4; i++) {
    const uint32_t row = lane_idx / 4 + i / 2 * 8, column = lane_idx % 4 * 2 + i % 2;
    for (uint32_t k = 0; k < 16; k++) {
      const Fragment left = exchange.of<Fragment>(row % 8 * 4 + k % 8 / 2);
      const Fragment right = exchange.of<Fragment>(column * 4 + k % 8 / 2);
      d[i] += element<kDtype>(left.a[row / 8 + k / 8 * 2], k % 2) * element<kDtype>(right.b[k / 8], k % 2);
    }
  }
}

}  // namespace flashsampling::smxx
