/** fp32 values as integers in the same order, for searching between them. */
const f32 = new Float32Array(1)
const u32 = new Uint32Array(f32.buffer)

/**
 * Maps an fp32 value to a u32 that orders alike; -0 and 0 map to the same key.
 *
 * @param value - fp32, not NaN.
 * @returns u32.
 */
export function orderedKeyOf(value: number): number {
  f32[0] = value + 0
  const bits = u32[0] as number
  return bits >= 0x80000000 ? ~bits >>> 0 : (bits | 0x80000000) >>> 0
}

/**
 * Inverse of {@link orderedKeyOf}.
 *
 * @param key - u32.
 * @returns fp32.
 */
export function valueOfOrderedKey(key: number): number {
  u32[0] = key >= 0x80000000 ? key & 0x7fffffff : ~key
  return f32[0] as number
}
