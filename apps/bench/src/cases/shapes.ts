/**
 * Named shapes of LM heads, and the variants of a draw that are timed on them.
 *
 * @module
 */
import type { DType, QuantizedFormat, SamplingParams } from '@flashsampling/core'

/** Storage formats that the benchmark makes heads in. */
export type BenchDType = DType | Extract<QuantizedFormat, 'q8_0'>

/** What is asked of a draw besides the token. */
export type Variant = 'plain' | 'topk-topp' | 'masked' | 'logprobs'

/** An LM head of a known model, or a step of the sweep over vocabulary sizes. */
export interface Shape {
  /** Name on the command line and in records. */
  name: string
  /** Tokens. */
  vocabSize: number
  /** Width of a hidden state, elements. */
  hiddenSize: number
  /** What has this shape. */
  title: string
}

/** Every shape, by name. `vocab-*` differ in the vocabulary alone and end with `qwen3`. */
export const SHAPES: readonly Shape[] = [
  { name: 'smollm2', vocabSize: 49_152, hiddenSize: 576, title: 'SmolLM2-135M' },
  { name: 'qwen3', vocabSize: 151_936, hiddenSize: 1024, title: 'Qwen3-0.6B' },
  { name: 'vocab-16k', vocabSize: 16_384, hiddenSize: 1024, title: 'V = 16,384, D = 1,024' },
  { name: 'vocab-32k', vocabSize: 32_768, hiddenSize: 1024, title: 'V = 32,768, D = 1,024' },
  { name: 'vocab-64k', vocabSize: 65_536, hiddenSize: 1024, title: 'V = 65,536, D = 1,024' },
  { name: 'vocab-96k', vocabSize: 98_304, hiddenSize: 1024, title: 'V = 98,304, D = 1,024' },
]

/** Every storage format, in the order of tables. */
export const DTYPES: readonly BenchDType[] = ['q8_0', 'f32', 'bf16', 'f16']
/** Every variant, in the order of tables. */
export const VARIANTS: readonly Variant[] = ['plain', 'topk-topp', 'masked', 'logprobs']
/** Batch sizes of the curves. */
export const BATCH_SIZES: readonly number[] = [1, 2, 4, 8, 16, 32, 64]

const TEMPERATURE = 0.8

/**
 * Gives the parameters of one call.
 *
 * @param variant - What is asked of the draw.
 * @param position - Step of the request: a new one for every call, so that no two calls share noise.
 * @param allowedMask - Bitmask over the vocabulary for `masked`, see {@link halfMask}.
 * @returns Parameters that serve every row of the batch.
 */
export function variantParams(
  variant: Variant,
  position: number,
  allowedMask: Int32Array,
): SamplingParams {
  const params: SamplingParams = { seed: 2026n, position, temperature: TEMPERATURE }
  if (variant === 'topk-topp') return { ...params, topK: 50, topP: 0.95 }
  if (variant === 'masked') return { ...params, allowedTokens: allowedMask }
  if (variant === 'logprobs') return { ...params, logprobs: 5 }
  return params
}

/**
 * Makes a mask that allows about half of the vocabulary, in no regular pattern.
 *
 * @param vocabSize - Tokens.
 * @returns Bitmask words, bit 1 = allowed.
 */
export function halfMask(vocabSize: number): Int32Array {
  const words = new Int32Array(Math.ceil(vocabSize / 32))
  let state = 0x9e37_79b9
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    words[i] = state ^ (state >>> 15)
  }
  return words
}
