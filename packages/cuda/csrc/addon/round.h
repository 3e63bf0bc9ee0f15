// fp32 to 16 bits, to the nearest value, ties to even. Host only: hidden states on their way into page-locked memory.
#pragma once

#include <cstdint>
#include <cstring>

namespace flashsampling::addon {

inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

inline float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline uint16_t round_to_bf16(float value) {
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return 0x7FFFu;  // NaN stays NaN
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

inline uint16_t round_to_f16(float value) {
  const uint32_t bits = bits_of(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return 0x7FFFu;
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);  // 65520 and beyond
  if (magnitude < 0x38800000u) {
    // Below 2^-14: the spacing of [0.5, 1) in fp32 is that of the subnormals, 2^-24, so this sum rounds as wanted.
    return static_cast<uint16_t>(sign | (bits_of(float_of(magnitude) + 0.5f) - 0x3F000000u));
  }
  const uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

// Rounds one row and fills it up with zeros; false when a value does not fit and became infinite, or is NaN.
// source [hidden_size], target [padded_size]
template <uint16_t (*kRound)(float), uint16_t kExponentMask>
bool round_row(const float* source, uint32_t hidden_size, uint16_t* target, uint32_t padded_size) {
  bool is_finite = true;
  for (uint32_t i = 0; i < hidden_size; i++) {
    const uint16_t rounded = kRound(source[i]);
    is_finite &= (rounded & kExponentMask) != kExponentMask;
    target[i] = rounded;
  }
  std::memset(target + hidden_size, 0, (padded_size - hidden_size) * sizeof(uint16_t));
  return is_finite;
}

inline bool round_row_to_bf16(const float* source, uint32_t hidden_size, uint16_t* target, uint32_t padded_size) {
  return round_row<round_to_bf16, 0x7F80>(source, hidden_size, target, padded_size);
}

inline bool round_row_to_f16(const float* source, uint32_t hidden_size, uint16_t* target, uint32_t padded_size) {
  return round_row<round_to_f16, 0x7C00>(source, hidden_size, target, padded_size);
}

}  // namespace flashsampling::addon
