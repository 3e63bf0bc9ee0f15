// Gumbel noise of one (seed, position, drawIndex, tokenId): docs/noise.md. Host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "macros.h"
#include "philox.h"

namespace flashsampling {

enum class NoiseScheme : uint32_t { kFlash = 0, kVllm = 1 };

// What a row and a draw contribute to the noise of every token. For kVllm only `low` is used.
struct RowKey {
  uint32_t low, high;
};

FS_HOST_DEVICE RowKey make_row_key(NoiseScheme scheme, uint64_t seed, uint64_t position, uint32_t draw_index) {
  const uint32_t domain = 0;
  const Philox4 words =
      philox4x32({static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), draw_index, domain},
                 static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  return scheme == NoiseScheme::kVllm ? RowKey{words.x, 0u} : RowKey{words.x, words.y};
}

// Tokens t and t + 8 (bit 3 of t clear) share one philox2x32 call, whose two words are theirs.
FS_HOST_DEVICE uint32_t noise_pair(uint32_t token_id) { return ((token_id >> 4) << 3) | (token_id & 7u); }

FS_HOST_DEVICE Philox2 flash_pair_bits(RowKey key, uint32_t pair) { return philox2x32({pair, key.low}, key.high); }

FS_HOST_DEVICE uint32_t flash_bits(RowKey key, uint32_t token_id) {
  const Philox2 words = flash_pair_bits(key, noise_pair(token_id));
  return (token_id & 8u) != 0 ? words.y : words.x;
}

FS_HOST_DEVICE uint32_t vllm_bits(RowKey key, uint32_t token_id) {
  return philox4x32({token_id, 0u, 0u, 0u}, key.low, 0u).x;
}

FS_HOST_DEVICE uint32_t token_bits(NoiseScheme scheme, RowKey key, uint32_t token_id) {
  return scheme == NoiseScheme::kVllm ? vllm_bits(key, token_id) : flash_bits(key, token_id);
}

// -log1p(-v) for v below 1/16: six terms of v + v^2/2 + v^3/3 + ..., relative error < v^6 / 7 < 1e-8.
// NOTE: fmaf is spelled out here and below: left to the compiler, contraction could differ between kernels, and with it
// the last bit of a score.
FS_HOST_DEVICE float small_exponential(float v) {
  float sum = fmaf(v, 1.f / 6, 0.2f);
  sum = fmaf(v, sum, 0.25f);
  sum = fmaf(v, sum, 1.f / 3);
  sum = fmaf(v, sum, 0.5f);
  sum = fmaf(v, sum, 1.f);
  return v * sum;
}

// NOTE: logf, not __logf: near 1 the fast form loses the relative accuracy that the outer logarithm needs.
FS_HOST_DEVICE float flash_gumbel(uint32_t bits) {
  constexpr float kScale = 2.3283064365386963e-10f;  // 2^-32
  const float v = (static_cast<float>(bits) + 0.5f) * kScale;
  const float exponential =
      bits < 0x10000000u ? small_exponential(v) : -logf((static_cast<float>(~bits) + 0.5f) * kScale);
  return -logf(exponential);
}

// vLLM's uniform is x * kVllmScale with x of 31 bits, at least kVllmScale. 2^31 * kVllmScale lies 3e-8 below 1, and
// that gap must survive: 1 - u is formed from the integer, as gap + (2^31 - x) * kVllmScale, never by subtracting u.
constexpr float kVllmScale = 4.6566127342e-10f;
constexpr float kVllmGap = static_cast<float>(1.0 - 2147483648.0 * 4.6566127342e-10);

FS_HOST_DEVICE uint32_t vllm_integer(uint32_t bits) {
  const uint32_t magnitude = static_cast<int32_t>(bits) < 0 ? ~bits : bits;
  return magnitude > 1u ? magnitude : 1u;
}

FS_HOST_DEVICE float vllm_gumbel(uint32_t bits) {
  const uint32_t x = vllm_integer(bits);
  const float u = static_cast<float>(x) * kVllmScale;
  const float complement = fmaf(static_cast<float>(0x80000000u - x), kVllmScale, kVllmGap);
  return -logf(u < 0.0625f ? small_exponential(u) : -logf(complement));
}

FS_HOST_DEVICE float token_gumbel(NoiseScheme scheme, uint32_t bits) {
  return scheme == NoiseScheme::kVllm ? vllm_gumbel(bits) : flash_gumbel(bits);
}

}  // namespace flashsampling
