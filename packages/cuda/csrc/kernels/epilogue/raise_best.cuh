// Running winners that several threads improve.
#pragma once

#include <cstdint>

#include "../common/macros.h"

namespace flashsampling {

// Makes a packed winner the best of itself and a candidate; in shared memory or device memory.
FS_DEVICE void raise_best(uint64_t* best, uint64_t candidate) {
  static_assert(sizeof(unsigned long long) == sizeof(uint64_t), "atomicMax of 64 bits");
  atomicMax(reinterpret_cast<unsigned long long*>(best), static_cast<unsigned long long>(candidate));
}

}  // namespace flashsampling
