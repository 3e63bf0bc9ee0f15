// A row's winner as one 64-bit word, so that an integer maximum merges candidates: higher score first, then lower token
// id.
#pragma once

#include <cstdint>
#include <cstring>

#include "macros.h"

namespace flashsampling {

// No token: smaller than every packed candidate.
constexpr uint64_t kNoCandidate = 0;

FS_HOST_DEVICE uint32_t float_bits(float value) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(value);
#else
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
#endif
}

FS_HOST_DEVICE float bits_float(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
#endif
}

// Maps fp32 (no NaN) to u32 so that integer order is numeric order. -0 becomes +0 first: they are equal scores.
FS_HOST_DEVICE uint32_t ordered_bits(float score) {
  const uint32_t bits = float_bits(score + 0.f);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

FS_HOST_DEVICE float from_ordered_bits(uint32_t ordered) {
  return bits_float((ordered & 0x80000000u) != 0 ? ordered & 0x7FFFFFFFu : ~ordered);
}

// score must be finite; a masked token (-infinity) is never packed.
FS_HOST_DEVICE uint64_t pack_candidate(float score, uint32_t token_id) {
  return (static_cast<uint64_t>(ordered_bits(score)) << 32) | static_cast<uint32_t>(~token_id);
}

FS_HOST_DEVICE float candidate_score(uint64_t candidate) {
  return from_ordered_bits(static_cast<uint32_t>(candidate >> 32));
}

FS_HOST_DEVICE uint32_t candidate_token_id(uint64_t candidate) { return ~static_cast<uint32_t>(candidate); }

// A row's error (RowStatus) in a candidate's place, above every candidate: a maximum over shards then keeps the error,
// so that one shard's NaN cannot vanish behind another shard's winner. The upper half is the pattern of a NaN score.
FS_HOST_DEVICE uint64_t pack_row_error(int32_t status) { return 0xFFFFFFFF00000000u | static_cast<uint32_t>(status); }

FS_HOST_DEVICE bool is_row_error(uint64_t candidate) { return (candidate >> 32) == 0xFFFFFFFFu; }

FS_HOST_DEVICE int32_t candidate_row_error(uint64_t candidate) { return static_cast<int32_t>(candidate); }

}  // namespace flashsampling
