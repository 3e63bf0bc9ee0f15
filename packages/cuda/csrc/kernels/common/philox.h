// Philox counter-based generators with ten rounds, as published (Salmon et al., SC'11; constants of Random123).
// Compiles as device code and as host C++; tested against fixtures/contract.json on machines without a GPU.
#pragma once

#include <cstdint>

#include "macros.h"

namespace flashsampling {

constexpr int kPhiloxRounds = 10;
constexpr uint32_t kPhilox2x32Multiplier = 0xD256D193u;
constexpr uint32_t kPhilox2x32Weyl = 0x9E3779B9u;
constexpr uint32_t kPhilox4x32Multiplier0 = 0xD2511F53u;
constexpr uint32_t kPhilox4x32Multiplier1 = 0xCD9E8D57u;
constexpr uint32_t kPhilox4x32Weyl0 = 0x9E3779B9u;
constexpr uint32_t kPhilox4x32Weyl1 = 0xBB67AE85u;

struct Philox2 {
  uint32_t x, y;
};

struct Philox4 {
  uint32_t x, y, z, w;
};

// One round; between rounds the key grows by kPhilox2x32Weyl.
FS_HOST_DEVICE Philox2 philox2x32_round(Philox2 counter, uint32_t key) {
  const uint64_t product = static_cast<uint64_t>(counter.x) * kPhilox2x32Multiplier;
  return {static_cast<uint32_t>(product >> 32) ^ key ^ counter.y, static_cast<uint32_t>(product)};
}

FS_HOST_DEVICE Philox2 philox2x32(Philox2 counter, uint32_t key) {
  FS_UNROLL
  for (int round = 0; round < kPhiloxRounds; round++) {
    counter = philox2x32_round(counter, key);
    key += kPhilox2x32Weyl;
  }
  return counter;
}

FS_HOST_DEVICE Philox4 philox4x32(Philox4 counter, uint32_t key0, uint32_t key1) {
  FS_UNROLL
  for (int round = 0; round < kPhiloxRounds; round++) {
    const uint64_t product0 = static_cast<uint64_t>(counter.x) * kPhilox4x32Multiplier0;
    const uint64_t product1 = static_cast<uint64_t>(counter.z) * kPhilox4x32Multiplier1;
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter.y ^ key0, static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter.w ^ key1, static_cast<uint32_t>(product0)};
    key0 += kPhilox4x32Weyl0;
    key1 += kPhilox4x32Weyl1;
  }
  return counter;
}

}  // namespace flashsampling
