/**
 * 16-bit floating-point patterns as numbers.
 *
 * @module
 */

const f32Scratch = new Float32Array(1)
const u32Scratch = new Uint32Array(f32Scratch.buffer)

/**
 * Widens an IEEE half-precision bit pattern.
 *
 * @param bits - u16.
 * @returns The exact value.
 */
export function f16ToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const mantissa = bits & 0x3ff
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN
  if (exponent === 0) return sign * mantissa * 2 ** -24
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15)
}

/**
 * Widens a bfloat16 bit pattern.
 *
 * @param bits - u16.
 * @returns The exact value.
 */
export function bf16ToNumber(bits: number): number {
  u32Scratch[0] = bits << 16
  return f32Scratch[0] as number
}
