/**
 * Philox counter-based random words (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3",
 * SC'11), ten rounds, as published with Random123.
 *
 * @module
 */

const PHILOX_M2X32 = 0xd256d193
const PHILOX_M4X32_0 = 0xd2511f53
const PHILOX_M4X32_1 = 0xcd9e8d57
const PHILOX_W32_0 = 0x9e3779b9
const PHILOX_W32_1 = 0xbb67ae85
const ROUNDS = 10

/** High 32 bits of the 64-bit product of two u32, by 16-bit halves: no intermediate exceeds 2^53. */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const low = aLow * bLow
  const mid = aHigh * bLow + (low >>> 16)
  const mid2 = aLow * bHigh + (mid % 0x10000)
  return (aHigh * bHigh + Math.floor(mid / 0x10000) + Math.floor(mid2 / 0x10000)) >>> 0
}

/**
 * Philox4x32-10: four random 32-bit words from a 128-bit counter and a 64-bit key.
 *
 * @param counter - Four u32 words, least significant first; taken modulo 2^32.
 * @param key - Two u32 words.
 * @returns Four u32 words.
 * @example
 * ```ts
 * philox4x32([0, 0, 0, 0], [0, 0]) // => Uint32Array [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
 * ```
 * @see Salmon et al., SC'11, section 4.3; known answers of Random123 (`kat_vectors`)
 */
export function philox4x32(counter: ArrayLike<number>, key: ArrayLike<number>): Uint32Array {
  let c0 = (counter[0] ?? 0) >>> 0
  let c1 = (counter[1] ?? 0) >>> 0
  let c2 = (counter[2] ?? 0) >>> 0
  let c3 = (counter[3] ?? 0) >>> 0
  let k0 = (key[0] ?? 0) >>> 0
  let k1 = (key[1] ?? 0) >>> 0
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = mulHigh(PHILOX_M4X32_0, c0)
    const low0 = Math.imul(PHILOX_M4X32_0, c0)
    const high1 = mulHigh(PHILOX_M4X32_1, c2)
    const low1 = Math.imul(PHILOX_M4X32_1, c2)
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1 >>> 0
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0 >>> 0
    k0 = (k0 + PHILOX_W32_0) >>> 0
    k1 = (k1 + PHILOX_W32_1) >>> 0
  }
  return Uint32Array.of(c0, c1, c2, c3)
}

/**
 * Philox2x32-10: two random 32-bit words from a 64-bit counter and a 32-bit key.
 *
 * @param counter - Two u32 words, least significant first; taken modulo 2^32.
 * @param key - One u32 word (a number, or the first entry of an array).
 * @returns Two u32 words.
 * @example
 * ```ts
 * philox2x32([0, 0], 0) // => Uint32Array [0xff1dae59, 0x6cd10df2]
 * ```
 * @see Salmon et al., SC'11, section 4.3; known answers of Random123 (`kat_vectors`)
 */
export function philox2x32(
  counter: ArrayLike<number>,
  key: number | ArrayLike<number>,
): Uint32Array {
  let c0 = (counter[0] ?? 0) >>> 0
  let c1 = (counter[1] ?? 0) >>> 0
  let k0 = (typeof key === 'number' ? key : (key[0] ?? 0)) >>> 0
  for (let round = 0; round < ROUNDS; round++) {
    const high = mulHigh(PHILOX_M2X32, c0)
    const low = Math.imul(PHILOX_M2X32, c0)
    c0 = (high ^ k0 ^ c1) >>> 0
    c1 = low >>> 0
    k0 = (k0 + PHILOX_W32_0) >>> 0
  }
  return Uint32Array.of(c0, c1)
}
