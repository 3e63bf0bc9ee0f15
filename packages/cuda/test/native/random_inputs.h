// Random small integers, and 16-bit elements that hold them exactly: inputs of the kernels' host tests.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>

#include "common/candidate.h"

namespace flashsampling {

using Random = std::mt19937;

inline int integer(Random& random, int low, int high) {
  return low + static_cast<int>(random() % static_cast<uint32_t>(high - low + 1));
}

// Rounds towards zero to bf16 (type 0) or f16; small integers and quarters, and what is not a number, are exact in both.
inline uint16_t to_16_bits(float value, uint32_t type) {
  if (type == 0) return static_cast<uint16_t>(float_bits(value) >> 16);
  if (value == 0.f) return 0;
  if (value != value) return 0x7E00;
  const uint32_t bits = float_bits(value);
  if (std::isinf(value)) return static_cast<uint16_t>((bits >> 16 & 0x8000) | 0x7C00);
  return static_cast<uint16_t>((bits >> 16 & 0x8000) | ((bits >> 23 & 0xFF) - 112) << 10 | (bits >> 13 & 0x3FF));
}

}  // namespace flashsampling
