/**
 * Heads and hidden states with the statistics of a trained model: logits of zero mean and a fixed spread.
 *
 * @module
 */
import type { LmHeadShard } from '@flashsampling/core'
import { rowByteLength } from '@flashsampling/core'
import type { BenchDType, Shape } from './shapes.ts'

/** Standard deviation of the logits, nats; large enough that a few tokens carry much of the mass. */
export const LOGIT_SPREAD = 3

const Q8_BLOCK_WEIGHTS = 32
const Q8_BLOCK_BYTES = 34

/** Weights of a head in one storage format. */
export type HeadData = Float32Array | Uint16Array | Uint8Array

/**
 * Makes a head of pseudo-random weights, the same ones for the same shape and format.
 *
 * @param shape - Vocabulary and width.
 * @param dtype - Storage format.
 * @returns The head; `data` is `[vocabSize, hiddenSize]`, row-major.
 */
export function makeHead(shape: Shape, dtype: BenchDType): LmHeadShard & { data: HeadData } {
  const { vocabSize, hiddenSize } = shape
  // A uniform on [-a, a] has variance a^2 / 3, and the logit sums hiddenSize products with unit-variance states.
  const amplitude = LOGIT_SPREAD * Math.sqrt(3 / hiddenSize)
  const data = makeWeights(vocabSize * hiddenSize, dtype, amplitude)
  return { dtype, vocabSize, hiddenSize, data }
}

/**
 * Makes hidden states of zero mean and unit variance.
 *
 * @param batchSize - Rows.
 * @param hiddenSize - Width, elements.
 * @param seed - Any integer; other seeds give other states.
 * @returns `[batchSize, hiddenSize]`, row-major.
 */
export function makeHiddenStates(
  batchSize: number,
  hiddenSize: number,
  seed: number,
): Float32Array {
  const next = randomWords(seed)
  const scale = Math.sqrt(3) / 2 ** 31
  return Float32Array.from({ length: batchSize * hiddenSize }, () => next() * scale)
}

/**
 * Bytes that a draw has to read: the whole head once, and the hidden states.
 *
 * @param shape - Vocabulary and width.
 * @param dtype - Storage format of the head.
 * @param batchSize - Rows.
 * @returns Bytes.
 */
export function bytesToRead(shape: Shape, dtype: BenchDType, batchSize: number): number {
  return shape.vocabSize * rowByteLength(dtype, shape.hiddenSize) + batchSize * shape.hiddenSize * 4
}

function makeWeights(count: number, dtype: BenchDType, amplitude: number): HeadData {
  const next = randomWords(1)
  const scale = amplitude / 2 ** 31
  if (dtype === 'f32') {
    const data = new Float32Array(count)
    for (let i = 0; i < count; i++) data[i] = next() * scale
    return data
  }
  if (dtype === 'q8_0') return makeQ8Blocks(count, amplitude, next)
  const data = new Uint16Array(count)
  const value = new Float32Array(1)
  const bits = new Uint32Array(value.buffer)
  const narrow = dtype === 'bf16' ? bf16FromF32Bits : f16FromF32Bits
  for (let i = 0; i < count; i++) {
    value[0] = next() * scale
    data[i] = narrow(bits[0] as number)
  }
  return data
}

function makeQ8Blocks(count: number, amplitude: number, next: () => number): Uint8Array {
  const data = new Uint8Array((count / Q8_BLOCK_WEIGHTS) * Q8_BLOCK_BYTES)
  const value = Float32Array.of(amplitude / 127)
  const scale = f16FromF32Bits(new Uint32Array(value.buffer)[0] as number)
  for (let block = 0; block < data.length; block += Q8_BLOCK_BYTES) {
    // The lowest bits of the scale vary by block, as they do in a model.
    const word = next()
    data[block] = (scale & 0xc0) | (word >>> 26)
    data[block + 1] = scale >>> 8
    for (let i = 0; i < Q8_BLOCK_WEIGHTS; i++) {
      const q = next() >> 24
      data[block + 2 + i] = q === -128 ? -127 : q
    }
  }
  return data
}

/** Truncates; the last bit does not matter for made-up weights. */
function bf16FromF32Bits(bits: number): number {
  return bits >>> 16
}

/** Truncates, and flushes what is below the normal range of f16 to zero. */
function f16FromF32Bits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const magnitude = ((bits & 0x7fff_ffff) >>> 13) - ((127 - 15) << 10)
  return magnitude < 0x400 ? sign : sign | magnitude
}

/** Signed 32-bit words, uniform; a xorshift generator, fast enough for heads of 1e8 weights. */
function randomWords(seed: number): () => number {
  let state = Math.imul(seed + 1, 0x9e37_79b1) | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state
  }
}
