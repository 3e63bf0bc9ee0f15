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
  const magnitude = bits & 0x7fff
  if (magnitude >= 0x400 && magnitude < 0x7c00) {
    // The same digits under the larger bias of fp32; a power of two by Math.pow() takes ten times as long.
    u32Scratch[0] = ((bits & 0x8000) << 16) | ((magnitude << 13) + (112 << 23))
    return f32Scratch[0] as number
  }
  const sign = bits & 0x8000 ? -1 : 1
  if (magnitude < 0x400) return sign * magnitude * 2 ** -24
  return magnitude === 0x7c00 ? sign * Infinity : NaN
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
