/**
 * The noise contract: Gumbel noise as a pure function of `(seed, position, drawIndex, tokenId)`.
 *
 * Nothing about batch, tile, thread, shard or device enters it, so every backend draws the same token.
 *
 * @module
 */
import { invalidArgument, invalidType } from './errors.ts'
import { philox2x32, philox4x32 } from './philox.ts'

/**
 * Which noise a sampler adds.
 *
 * - `flash`: the project's scheme; 32-bit uniforms, one Philox call for tokens t and t+8.
 * - `vllm`: reproduces vLLM's Model Runner V2 sampler (0.24 and later, fp32 noise), draw 0 only in vLLM itself.
 */
export type NoiseScheme = 'flash' | 'vllm'

/**
 * What a noise value is used for; separate domains never share bits.
 *
 * 0 token noise, 1 group noise (group id in place of tokenId), 2 plain uniforms, 3 reserved.
 */
export type NoiseDomain = 0 | 1 | 2 | 3

/** Identifies the noise of one draw of one row. */
export interface NoiseKey {
  /** Request seed, u64. */
  seed: bigint
  /** Step of the request, u64. @defaultValue 0 */
  position?: bigint | number | undefined
  /** Draw of the row, u32. @defaultValue 0 */
  drawIndex?: number | undefined
}

const U64_MAX = 0xffff_ffff_ffff_ffffn
const VLLM_SCALE = 4.6566127342e-10

/** Splits a u64 into its low and high 32-bit words, checking its type and range. */
function splitU64(action: string, name: string, value: unknown): [number, number] {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw invalidArgument(action, name, 'a whole number from 0 to 2^53 - 1, or a bigint', value)
    }
    return [value >>> 0, Math.floor(value / 0x1_0000_0000)]
  }
  if (typeof value !== 'bigint') throw invalidType(action, name, 'a bigint', value)
  if (value < 0n || value > U64_MAX)
    throw invalidArgument(action, name, 'from 0 to 2^64 - 1', value)
  return [Number(value & 0xffff_ffffn), Number(value >> 32n)]
}

/**
 * Derives the two-word key of one row and draw: everything about the noise that does not depend on the token.
 *
 * For `flash` the words are `rowKey[0]` and `rowKey[1]` of the contract; for `vllm` they are the derived seed and 0.
 *
 * @param key - Seed, position and draw of the row.
 * @param domain - What the noise is for; ignored by `vllm`.
 * @param scheme - Noise scheme.
 * @returns Two u32 words.
 * @throws {TypeError} when `seed` is not a bigint.
 * @throws {RangeError} when a value is out of range.
 * @see design contract, "Noise: one seed, one token"
 */
export function deriveRowKey(
  key: NoiseKey,
  domain: NoiseDomain = 0,
  scheme: NoiseScheme = 'flash',
): [number, number] {
  const action = 'derive noise'
  if (typeof key.seed !== 'bigint') throw invalidType(action, 'seed', 'a bigint', key.seed)
  const seed = splitU64(action, 'seed', key.seed)
  const position = splitU64(action, 'position', key.position ?? 0)
  const drawIndex = key.drawIndex ?? 0
  if (!Number.isInteger(drawIndex) || drawIndex < 0 || drawIndex > 0xffff_ffff) {
    throw invalidArgument(action, 'drawIndex', 'a whole number from 0 to 2^32 - 1', drawIndex)
  }
  if (scheme === 'vllm') {
    // vLLM has one draw a row and puts 0 in the third counter word; further draws take their index there.
    return [philox4x32([position[0], position[1], drawIndex, 0], seed)[0] as number, 0]
  }
  const words = philox4x32([position[0], position[1], drawIndex, domain], seed)
  return [words[0] as number, words[1] as number]
}

/**
 * Noise bits of one token under a row key.
 *
 * @param rowKey - Two words from {@link deriveRowKey}.
 * @param tokenId - Global vocabulary index (or group id), u32.
 * @param scheme - Noise scheme the key was derived for.
 * @returns One u32.
 */
export function noiseBitsFromRowKey(
  rowKey: readonly [number, number],
  tokenId: number,
  scheme: NoiseScheme = 'flash',
): number {
  if (scheme === 'vllm') return philox4x32([tokenId, 0, 0, 0], rowKey)[0] as number
  const pair = ((tokenId >>> 4) << 3) | (tokenId & 7)
  return philox2x32([pair, rowKey[0]], rowKey[1])[(tokenId >>> 3) & 1] as number
}

/**
 * The 32 random bits of one token: the number that every backend reproduces bit for bit.
 *
 * @param options - `seed` u64; `position` u64 (default 0); `drawIndex` u32 (default 0); `tokenId` u32, the global
 *   vocabulary index; `scheme` (default `flash`); `domain` (default 0, token noise).
 * @returns One u32.
 * @throws {TypeError} when `seed` is not a bigint.
 * @throws {RangeError} when a value is out of range.
 * @example
 * ```ts
 * tokenNoiseBits({ seed: 18190964783833137380n, position: 967528151546n, drawIndex: 0, tokenId: 223209 }) // => 1688276342
 * ```
 * @see design contract, "Noise: one seed, one token"
 */
export function tokenNoiseBits(
  options: NoiseKey & {
    tokenId: number
    scheme?: NoiseScheme | undefined
    domain?: NoiseDomain | undefined
  },
): number {
  const { tokenId, scheme = 'flash', domain = 0 } = options
  if (!Number.isInteger(tokenId) || tokenId < 0 || tokenId > 0xffff_ffff) {
    throw invalidArgument('derive noise', 'tokenId', 'a whole number from 0 to 2^32 - 1', tokenId)
  }
  return noiseBitsFromRowKey(deriveRowKey(options, domain, scheme), tokenId, scheme)
}

/**
 * The uniform value that noise bits stand for, strictly inside (0, 1).
 *
 * @param bits - u32.
 * @param scheme - Noise scheme.
 * @returns `(bits + 0.5) * 2^-32` for `flash`; vLLM's 31-bit uniform for `vllm`.
 */
export function uniformFromBits(bits: number, scheme: NoiseScheme = 'flash'): number {
  if (scheme === 'vllm') {
    const x = bits | 0
    return Math.max((x < 0 ? -x - 1 : x) * VLLM_SCALE, VLLM_SCALE)
  }
  return ((bits >>> 0) + 0.5) * 2 ** -32
}

/**
 * Gumbel noise of 32 random bits, in float64: `-log(-log1p(-v))`, accurate in both tails.
 *
 * For `flash` it lies in [-3.14, 22.88]; every fp32 backend agrees with it within 1e-5.
 *
 * @param bits - u32, for example from {@link tokenNoiseBits}.
 * @param scheme - Noise scheme (default `flash`).
 * @returns Standard Gumbel noise, dimensionless.
 * @example
 * ```ts
 * gumbelFromBits(0) // => 22.87385695841999
 * ```
 * @see arXiv 2603.15854, section 3 (Gumbel-max); design contract, "Noise"
 */
export function gumbelFromBits(bits: number, scheme: NoiseScheme = 'flash'): number {
  return -Math.log(-Math.log1p(-uniformFromBits(bits, scheme)))
}
