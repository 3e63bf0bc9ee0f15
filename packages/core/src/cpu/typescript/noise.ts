/**
 * Noise bits of 16 tokens at a time, on plain numbers.
 */

/** High 32 bits of the product of two u32; the constant's halves are given to keep the products below 2^53. */
function mulHigh(a: number, bHigh: number, bLow: number): number {
  const aHigh = a >>> 16
  const aLow = a & 0xffff
  // Each partial product is below 2^32, and the sums below 2^33: exact in float64.
  const mid = aHigh * bLow + ((aLow * bLow) >>> 16)
  const mid2 = aLow * bHigh + (mid & 0xffff)
  return (aHigh * bHigh + ((mid / 65536) >>> 0) + ((mid2 / 65536) >>> 0)) >>> 0
}

/** Ten rounds of Philox2x32 on the counter (pair, key0); leaves both words in `pairWords`. */
function philoxPair(pair: number, key0: number, key1: number): void {
  let c0 = pair
  let c1 = key0
  let k = key1
  for (let round = 0; round < 10; round++) {
    const high = mulHigh(c0, 0xd256, 0xd193)
    const low = Math.imul(c0, 0xd256d193)
    c0 = (high ^ k ^ c1) >>> 0
    c1 = low >>> 0
    k = (k + 0x9e3779b9) >>> 0
  }
  pairWords[0] = c0
  pairWords[1] = c1
}

const pairWords = new Uint32Array(2)

/**
 * Noise bits of one token, `flash` scheme, without allocating.
 *
 * @param tokenId - Global token id.
 * @param key0 - First word of the row key.
 * @param key1 - Second word of the row key.
 * @returns u32.
 */
export function flashBitsOf(tokenId: number, key0: number, key1: number): number {
  philoxPair(((tokenId >>> 4) << 3) | (tokenId & 7), key0, key1)
  return pairWords[(tokenId >>> 3) & 1] as number
}

/**
 * Fills the noise bits of the 16 tokens `[firstTokenId, firstTokenId + 16)`, `flash` scheme: eight Philox2x32-10 calls.
 *
 * @param out - Receives 16 u32.
 * @param firstTokenId - Multiple of 16.
 * @param key0 - First word of the row key.
 * @param key1 - Second word of the row key.
 */
export function fillFlashBits(
  out: Uint32Array,
  firstTokenId: number,
  key0: number,
  key1: number,
): void {
  const firstPair = firstTokenId >>> 1
  for (let lane = 0; lane < 8; lane++) {
    philoxPair(firstPair + lane, key0, key1)
    out[lane] = pairWords[0] as number
    out[lane + 8] = pairWords[1] as number
  }
}

/**
 * Fills the noise bits of the 16 tokens `[firstTokenId, firstTokenId + 16)`, `vllm` scheme: 16 Philox4x32-10 calls.
 *
 * @param out - Receives 16 u32.
 * @param firstTokenId - Multiple of 16.
 * @param key0 - Derived seed of the row.
 * @param key1 - Second key word (0 in vLLM).
 */
export function fillVllmBits(
  out: Uint32Array,
  firstTokenId: number,
  key0: number,
  key1: number,
): void {
  for (let lane = 0; lane < 16; lane++) {
    let c0 = firstTokenId + lane
    let c1 = 0
    let c2 = 0
    let c3 = 0
    let k0 = key0
    let k1 = key1
    for (let round = 0; round < 10; round++) {
      const high0 = mulHigh(c0, 0xd251, 0x1f53)
      const low0 = Math.imul(c0, 0xd2511f53)
      const high1 = mulHigh(c2, 0xcd9e, 0x8d57)
      const low1 = Math.imul(c2, 0xcd9e8d57)
      c0 = (high1 ^ c1 ^ k0) >>> 0
      c1 = low1 >>> 0
      c2 = (high0 ^ c3 ^ k1) >>> 0
      c3 = low0 >>> 0
      k0 = (k0 + 0x9e3779b9) >>> 0
      k1 = (k1 + 0xbb67ae85) >>> 0
    }
    out[lane] = c0
  }
}
