// From a logit to a score, and the exact filter that spares hopeless tokens their logarithms. Host and device.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>

#include "candidate.h"
#include "macros.h"
#include "noise.h"

namespace flashsampling {

// Temperatures below this act as this, so that a division cannot overflow; 0 is greedy.
constexpr float kSmallestTemperature = 8.673617379884035e-19f;  // 2^-60

constexpr uint32_t kLargestBits = 0x7F7FFFFFu;  // FLT_MAX

// false for negative, NaN or infinite temperatures.
FS_HOST_DEVICE bool is_valid_temperature(float temperature) { return temperature >= 0.f && temperature < INFINITY; }

// The divisor of a row's logits: 1 for greedy, and for temperatures that make the row an error anyway.
FS_HOST_DEVICE float temperature_divisor(float temperature) {
  if (temperature == 0.f || !is_valid_temperature(temperature)) return 1.f;
  return temperature > kSmallestTemperature ? temperature : kSmallestTemperature;
}

// NaN and +infinity make their row an error, whether the token is masked or not.
FS_HOST_DEVICE bool is_invalid_logit(float logit) { return !(logit < INFINITY); }

// The larger value; NaN when one of them is NaN.
FS_HOST_DEVICE float max_or_nan(float a, float b) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
#else
  return a > b || a != a ? a : b;
#endif
}

// IEEE division in every build, so that scores are the same bits on every kernel.
FS_HOST_DEVICE float divide(float logit, float divisor) {
#if defined(__CUDA_ARCH__)
  return __fdiv_rn(logit, divisor);
#else
  return logit / divisor;
#endif
}

// Quotients by temperatures below 1 reach 2^188. From kCrowded on, four steps of fp32 become one, so that the 80 powers
// of two up to there share the last 20 of fp32: quotients stay finite, keep their order, and can be taken back within
// 2^-22. Noise is far below one step there.
constexpr float kCrowded = 3.24518553658426727e32f;  // 2^108
constexpr uint32_t kCrowdedBits = (127u + 108u) << 23, kCrowdingBits = 2;
// Crowded quotients are worked with in this unit.
constexpr float kCrowdedUnit = 18446744073709551616.f;  // 2^64
constexpr uint32_t kCrowdedUnitBits = 64u << 23;

// A quotient of kCrowded or more, crowded.
FS_HOST_DEVICE float crowd_quotient(float logit, float divisor) {
  const uint32_t steps =
      float_bits(divide(fabsf(logit) * (1.f / kCrowdedUnit), divisor)) - (kCrowdedBits - kCrowdedUnitBits);
  const uint32_t crowded = kCrowdedBits + ((steps + (1u << (kCrowdingBits - 1))) >> kCrowdingBits);
  return copysignf(bits_float(crowded < kLargestBits ? crowded : kLargestBits), logit);
}

// A finite logit or -infinity, divided. Finite logits stay finite, so that they can win (or lose) and are not mistaken
// for a mask.
FS_HOST_DEVICE float apply_temperature(float logit, float divisor) {
  if (divisor == 1.f || logit == -INFINITY) return logit;
  const float quotient = divide(logit, divisor);
  return fabsf(quotient) < kCrowded || divisor > 1.f ? quotient : crowd_quotient(logit, divisor);
}

// The logit that apply_temperature() divided.
FS_HOST_DEVICE float undo_temperature(float quotient, float divisor) {
  if (fabsf(quotient) < kCrowded || divisor >= 1.f) return fminf(fmaxf(quotient * divisor, -FLT_MAX), FLT_MAX);
  const uint32_t steps = (float_bits(fabsf(quotient)) - kCrowdedBits) << kCrowdingBits;
  const float logit = bits_float(kCrowdedBits - kCrowdedUnitBits + steps) * divisor * kCrowdedUnit;
  return copysignf(fminf(logit, FLT_MAX), quotient);
}

// The hardware's 2^x and log2(x), accurate to 2^-21 relative: for the filter only, never for a score.
FS_HOST_DEVICE float rough_exp2(float x) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  return exp2f(x);
#endif
}

FS_HOST_DEVICE float rough_log2(float x) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  return log2f(x);
#endif
}

// noise = -log(E) with E = -log1p(-v) >= v, so a token reaches a best score only if v <= exp(logit - best). The filter
// compares v in units of 2^-32. Every token that passes is scored in full, and the margin is wider than all roundings
// of score and filter together, so nothing is approximated: kMargin covers the noise (1e-5) and the terms of size 32,
// kSlack * |best| the roundings that are relative to the scores: quotient, score, scale, offset, at most 2^-24 each.
struct WinnerFilter {
  static constexpr float kMargin = 1e-4f;
  static constexpr float kSlack = 9.5367431640625e-07f;  // 2^-20
  static constexpr float kLog2E = 1.44269504f;
  static constexpr float kLn2 = 0.693147181f;
  // What a greedy row compares in place of its noise: the noise 0 has E = 1.
  static constexpr float kGreedyInteger = 4294967296.f;

  // What a row's best score so far contributes; any lower bound of the final best serves. Everything passes -infinity,
  // and crowded scores, which are no quotients.
  static FS_HOST_DEVICE float offset(float best) {
    const float lowered = best - kMargin - fabsf(best) * kSlack;
    return fabsf(best) < kCrowded ? fmaf(-lowered, kLog2E, 32.f) : INFINITY;
  }

  // The noise's v in units of 2^-32, rounded down.
  static FS_HOST_DEVICE uint32_t integer(NoiseScheme scheme, uint32_t bits) {
    return scheme == NoiseScheme::kVllm ? vllm_integer(bits) << 1 : bits;
  }

  // What a row's divisor contributes: undivided logits times this are binary exponents.
  static FS_HOST_DEVICE float scale(float divisor) { return kLog2E / divisor; }

  // Integers above this cannot win. NaN for a NaN logit, and passes() lets NaN through.
  static FS_HOST_DEVICE float threshold(float logit, float scale, float offset) {
    return rough_exp2(fmaf(logit, scale, offset));
  }

  static FS_HOST_DEVICE bool passes(float integer, float threshold) { return !(integer > threshold); }

  // A lower bound of a token's score (plus 2e-5 at most) for two rough logarithms, from E <= v / (1 - v). It gives
  // offset() a best score to begin with. Close to the score where v is small, which it is for every likely winner.
  static FS_HOST_DEVICE float rough_score(float logit, uint32_t integer) {
    const float odds = rough_log2(static_cast<float>(~integer) + 0.5f) - rough_log2(static_cast<float>(integer) + 0.5f);
    return fmaf(odds, kLn2, logit);
  }
};

}  // namespace flashsampling
