/**
 * fp32 building blocks of the embedded backend: logarithm, Gumbel noise, division by temperatures.
 *
 * Every operation is rounded to fp32 on its own (no fused multiply-add) and in the order written here, so the
 * WebAssembly kernels, which do the same four lanes at a time, give the same bits.
 *
 * @module
 */
import type { NoiseScheme } from '../noise.ts'

const fround = Math.fround
const f32 = new Float32Array(1)
const i32 = new Int32Array(f32.buffer)
const u32 = new Uint32Array(f32.buffer)

const LN2 = fround(0.6931471805599453)
const TWO_POW_MINUS_32 = fround(2 ** -32)
const ONE_SIXTEENTH = fround(1 / 16)
const ONE_FIFTH = fround(1 / 5)
const ONE_QUARTER = fround(1 / 4)
const ONE_THIRD = fround(1 / 3)
const ONE_SIXTH = fround(1 / 6)

// Coefficients of log(1 + f) = f - f^2/2 + f^3 * P(f) on [sqrt(1/2) - 1, sqrt(2) - 1], the minimax polynomial of the
// Cephes library (logf.c, S. L. Moshier).
const LOG_P0 = fround(7.0376836292e-2)
const LOG_P1 = fround(-1.151461031e-1)
const LOG_P2 = fround(1.167699874e-1)
const LOG_P3 = fround(-1.2420140846e-1)
const LOG_P4 = fround(1.4249322787e-1)
const LOG_P5 = fround(-1.6668057665e-1)
const LOG_P6 = fround(2.0000714765e-1)
const LOG_P7 = fround(-2.4999993993e-1)
const LOG_P8 = fround(3.3333331174e-1)
/** Bits of sqrt(1/2): mantissas are taken in [sqrt(1/2), sqrt(2)). */
const SQRT_HALF_BITS = 0x3f3504f3

/**
 * Natural logarithm of a positive normal fp32 number, within 2 ulp.
 *
 * @param x - Positive, normal.
 * @returns fp32.
 */
export function logF32(x: number): number {
  f32[0] = x
  const shifted = (i32[0] as number) - SQRT_HALF_BITS
  const exponent = shifted >> 23
  i32[0] = (shifted & 0x7fffff) + SQRT_HALF_BITS
  const f = fround((f32[0] as number) - 1)
  const z = fround(f * f)
  let y = fround(fround(LOG_P0 * f) + LOG_P1)
  y = fround(fround(y * f) + LOG_P2)
  y = fround(fround(y * f) + LOG_P3)
  y = fround(fround(y * f) + LOG_P4)
  y = fround(fround(y * f) + LOG_P5)
  y = fround(fround(y * f) + LOG_P6)
  y = fround(fround(y * f) + LOG_P7)
  y = fround(fround(y * f) + LOG_P8)
  y = fround(fround(y * f) * z)
  y = fround(y - fround(z * 0.5))
  return fround(fround(f + y) + fround(fround(exponent) * LN2))
}

/** `-log1p(-v)` for 0 < v < 1/16 by its series: no cancellation. */
function seriesF32(v: number): number {
  let s = fround(ONE_FIFTH + fround(v * ONE_SIXTH))
  s = fround(ONE_QUARTER + fround(v * s))
  s = fround(ONE_THIRD + fround(v * s))
  s = fround(0.5 + fround(v * s))
  s = fround(1 + fround(v * s))
  return fround(v * s)
}

// vLLM multiplies a 31-bit integer by its rounded 2^-31; the distance of 1 - u from zero needs that rounding.
const VLLM_SCALE = 4.6566127342e-10
const VLLM_SCALE_F32 = fround(VLLM_SCALE)
const VLLM_COMPLEMENT = fround(1 - 2 ** 31 * VLLM_SCALE)

/**
 * Gumbel noise of 32 random bits in fp32, within 1e-5 of the float64 value for every input and both schemes.
 *
 * The uniform is never formed near 1: below 1/16 a series gives `-log1p(-v)`, above it `1 - v` comes from the
 * complement of the bits.
 *
 * @param bits - u32.
 * @param scheme - Noise scheme.
 * @returns fp32 noise, equal bit for bit on the WebAssembly kernels.
 * @see design contract, "Noise: one seed, one token"
 */
export function gumbelF32(bits: number, scheme: NoiseScheme = 'flash'): number {
  let v: number
  let complement: number
  if (scheme === 'vllm') {
    const signed = bits | 0
    // The larger of x and 1: vLLM clamps its uniform from below.
    const x = Math.max(signed < 0 ? ~signed : signed, 1)
    v = fround(fround(x) * VLLM_SCALE_F32)
    complement = fround(VLLM_COMPLEMENT + fround(fround(2147483648 - x) * VLLM_SCALE_F32))
  } else {
    v = fround(fround(fround(bits >>> 0) + 0.5) * TWO_POW_MINUS_32)
    complement = fround(fround(fround(~bits >>> 0) + 0.5) * TWO_POW_MINUS_32)
  }
  const e = v < ONE_SIXTEENTH ? seriesF32(v) : fround(-logF32(complement))
  return fround(-logF32(e))
}

/**
 * Where quotients begin to be crowded. Those by temperatures from 2^-60 on reach 2^188; four steps of fp32 become one
 * from here on, so that 80 powers of two share the last 20 of fp32.
 */
const CROWDED = 2 ** 108
/** Bits of 2^108, and of 2^108 in units of 2^64. */
const CROWDED_BITS = (127 + 108) * 2 ** 23
const CROWDED_SCALED_BITS = (127 + 108 - 64) * 2 ** 23
const MAX_F32_BITS = 0x7f7fffff

/** The logits that are crowded when they are divided: from this magnitude on. */
export function crowdedLimit(temperature: number): number {
  return temperature < 1 ? fround(CROWDED * temperature) : Infinity
}

/**
 * A logit divided by a temperature, in fp32. Finite logits stay finite and in order, so that they can win or lose:
 * quotients beyond 2^108 are rounded to 2^-22 of themselves and stand closer than they are.
 *
 * @param logit - fp32.
 * @param temperature - fp32, at least 2^-60.
 * @param limit - {@link crowdedLimit} of the temperature.
 * @returns fp32, equal bit for bit on the WebAssembly kernels.
 */
export function quotientF32(logit: number, temperature: number, limit: number): number {
  const magnitude = Math.abs(logit)
  if (!(magnitude >= limit) || magnitude === Infinity) return fround(logit / temperature)
  f32[0] = (magnitude * 2 ** -64) / temperature
  const steps = (u32[0] as number) - CROWDED_SCALED_BITS
  u32[0] = Math.min(CROWDED_BITS + ((steps + 2) >>> 2), MAX_F32_BITS)
  return logit < 0 ? -(f32[0] as number) : (f32[0] as number)
}
