/**
 * Deterministic pseudo-random inputs for tests, the same in every engine.
 *
 * @module
 */
import { philox4x32 } from '../philox.ts'

/** A stream of pseudo-random values that depends on its seed alone. */
export interface Generator {
  /** @returns The next u32. */
  u32(): number
  /** @returns The next value in (0, 1). */
  uniform(): number
  /**
   * @param low - Smallest value, a whole number.
   * @param high - Largest value, a whole number >= low.
   * @returns The next whole number from `low` to `high`, uniform to within 2^-32.
   */
  integer(low: number, high: number): number
  /** @returns The next value of a distribution close to the standard normal, between -6 and 6. */
  normal(): number
  /** @returns The next u64. */
  u64(): bigint
}

/**
 * Creates a generator of test inputs: words of Philox4x32-10 under a counter.
 *
 * `normal()` is the sum of twelve uniforms less 6 (Irwin-Hall), so that no engine's `Math` functions enter.
 *
 * @param seed - u64; equal seeds give equal streams.
 * @param stream - u32; streams of one seed are independent.
 * @returns The generator.
 */
export function createGenerator(seed: bigint, stream = 0): Generator {
  const key = [Number(seed & 0xffff_ffffn), Number((seed >> 32n) & 0xffff_ffffn)]
  let words: Uint32Array = new Uint32Array(0)
  let next = 0
  let block = 0
  const u32 = (): number => {
    if (next === words.length) {
      words = philox4x32([block++, 0, stream, 0x7e57], key)
      next = 0
    }
    return words[next++] as number
  }
  const uniform = (): number => (u32() + 0.5) * 2 ** -32
  return {
    u32,
    uniform,
    integer: (low, high) => low + Math.floor(u32() * 2 ** -32 * (high - low + 1)),
    normal: () => {
      let sum = -6
      for (let i = 0; i < 12; i++) sum += uniform()
      return sum
    },
    u64: () => (BigInt(u32()) << 32n) | BigInt(u32()),
  }
}
