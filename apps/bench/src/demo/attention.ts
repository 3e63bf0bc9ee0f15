/**
 * Rotary positions and grouped-query attention over a key-value cache.
 *
 * @module
 */
import type { LlamaConfig } from './llama-config.ts'

/** Keys and values of one sequence. */
export interface KvCache {
  /** Most tokens it can hold. */
  readonly capacity: number
  /** Tokens it holds. */
  length: number
  /** Per block: `[capacity, numKvHeads, headSize]` f32. */
  readonly keys: readonly Float32Array[]
  /** Per block: `[capacity, numKvHeads, headSize]` f32. */
  readonly values: readonly Float32Array[]
}

/**
 * Allocates an empty cache.
 *
 * @param config - Sizes of the model.
 * @param capacity - Most tokens it can hold.
 * @returns The cache.
 */
export function createKvCache(config: LlamaConfig, capacity: number): KvCache {
  const blocks = (): Float32Array[] =>
    Array.from(
      { length: config.numBlocks },
      () => new Float32Array(capacity * config.numKvHeads * config.headSize),
    )
  return { capacity, length: 0, keys: blocks(), values: blocks() }
}

/**
 * Computes the rotation frequencies.
 *
 * @param config - Sizes of the model.
 * @param factors - `[ropeSize / 2]` divisors of the frequencies (`rope_freqs.weight` of Llama 3.1 and later), or `null`.
 * @returns `[ropeSize / 2]` radians a position.
 */
export function ropeFrequencies(config: LlamaConfig, factors: Float32Array | null): Float64Array {
  return Float64Array.from({ length: config.ropeSize / 2 }, (_, pair) => {
    const frequency = config.ropeBase ** ((-2 * pair) / config.ropeSize)
    return frequency / (factors?.[pair] ?? 1)
  })
}

/**
 * Rotates neighbouring pairs `(2i, 2i + 1)` of every head, in place.
 *
 * The converter to GGUF permutes the query and key weights of Llama models so that neighbours form the pairs.
 *
 * @param vectors - f32, overwritten.
 * @param start - First element of the first head.
 * @param numHeads - Heads, one after the other.
 * @param headSize - Elements of a head.
 * @param frequencies - `[ropeSize / 2]` radians a position.
 * @param position - Place of the token in its sequence.
 */
export function rotate(
  vectors: Float32Array,
  start: number,
  numHeads: number,
  headSize: number,
  frequencies: Float64Array,
  position: number,
): void {
  for (let pair = 0; pair < frequencies.length; pair++) {
    const angle = position * (frequencies[pair] as number)
    const cos = Math.cos(angle)
    const sin = Math.sin(angle)
    for (let head = 0; head < numHeads; head++) {
      const at = start + head * headSize + 2 * pair
      const x = vectors[at] as number
      const y = vectors[at + 1] as number
      vectors[at] = x * cos - y * sin
      vectors[at + 1] = x * sin + y * cos
    }
  }
}

/**
 * Attends from one token to itself and everything before it.
 *
 * @param config - Sizes of the model.
 * @param queries - f32; the token's heads begin at `start`, rotated.
 * @param start - First element of the token's queries, and of its outputs.
 * @param keys - The block's keys, `[capacity, numKvHeads, headSize]`, filled up to `position`.
 * @param values - The block's values, same layout.
 * @param position - Place of the token in its sequence.
 * @param outputs - f32, same layout as `queries`, overwritten at the token's place.
 */
export function attend(
  config: LlamaConfig,
  queries: Float32Array,
  start: number,
  keys: Float32Array,
  values: Float32Array,
  position: number,
  outputs: Float32Array,
): void {
  const { headSize, numHeads, numKvHeads } = config
  const stride = numKvHeads * headSize
  const queriesPerKey = numHeads / numKvHeads
  const scale = 1 / Math.sqrt(headSize)
  const weights = new Float64Array(position + 1)
  const mix = new Float64Array(headSize)
  for (let head = 0; head < numHeads; head++) {
    const queryAt = start + head * headSize
    const kvHeadAt = Math.floor(head / queriesPerKey) * headSize
    let max = -Infinity
    for (let past = 0; past <= position; past++) {
      const keyAt = past * stride + kvHeadAt
      let dot = 0
      for (let i = 0; i < headSize; i++) {
        dot += (queries[queryAt + i] as number) * (keys[keyAt + i] as number)
      }
      weights[past] = dot * scale
      if (dot * scale > max) max = dot * scale
    }
    let total = 0
    for (let past = 0; past <= position; past++) {
      const weight = Math.exp((weights[past] as number) - max)
      weights[past] = weight
      total += weight
    }
    mix.fill(0)
    for (let past = 0; past <= position; past++) {
      const weight = weights[past] as number
      const valueAt = past * stride + kvHeadAt
      for (let i = 0; i < headSize; i++) {
        mix[i] = (mix[i] as number) + weight * (values[valueAt + i] as number)
      }
    }
    for (let i = 0; i < headSize; i++) outputs[queryAt + i] = (mix[i] as number) / total
  }
}
