/**
 * Heads of the WebGPU benchmark, and their storage on the device for plain products.
 *
 * @module
 */
import { f16ToNumber, rowByteLength } from '@flashsampling/core'
import { LOGIT_SPREAD, makeHead } from '../cases/inputs.ts'
import { SHAPES, type Shape } from '../cases/shapes.ts'
import type { WebGpuDType, WebGpuHead } from './contender.ts'

/** Shapes by name; `small` is the main shape of the CUDA benchmark too. */
export const WEBGPU_SHAPES: readonly Shape[] = [
  ...SHAPES.filter(({ name }) => name === 'smollm2' || name === 'qwen3'),
  { name: 'small', vocabSize: 151_936, hiddenSize: 4096, title: 'Qwen3-8B' },
]

/** Weights that share a scale in the quantised formats. */
export const BLOCK_WEIGHTS = 32

/**
 * Makes a head of pseudo-random weights, the same ones for the same shape and format.
 *
 * @param shape - Vocabulary and width.
 * @param dtype - Storage format.
 * @returns The head.
 */
export function makeWebGpuHead(shape: Shape, dtype: WebGpuDType): WebGpuHead {
  if (dtype !== 'nbits4') return makeHead(shape, dtype) as WebGpuHead
  const { vocabSize, hiddenSize } = shape
  const numWeights = vocabSize * hiddenSize
  const data = new Uint8Array(numWeights / 2)
  const words = new Uint32Array(data.buffer)
  let state = 0x2545_f491
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[i] = state
  }
  // Quants of -8 to 7 have a variance of 21.25, and the logit sums hiddenSize products with unit-variance states.
  const scale = LOGIT_SPREAD / Math.sqrt(21.25 * hiddenSize)
  const scales = Float32Array.from(
    { length: numWeights / BLOCK_WEIGHTS },
    (_, i) => scale * (1 + (i % 7) / 64),
  )
  return {
    ...{ dtype, vocabSize, hiddenSize, data },
    quantization: { blockSize: BLOCK_WEIGHTS, scales },
  }
}

/**
 * Bytes that a draw has to read: the whole head once, with its scales, and the hidden states.
 *
 * @param head - The head.
 * @param batchSize - Rows.
 * @returns Bytes.
 */
export function bytesOfDraw(head: WebGpuHead, batchSize: number): number {
  const { vocabSize, hiddenSize, quantization } = head
  const rowBytes = rowByteLength(head.dtype, hiddenSize, quantization?.blockSize)
  const scaleBytes = quantization?.scales.byteLength ?? 0
  return vocabSize * rowBytes + scaleBytes + batchSize * hiddenSize * 4
}

/** GGUF blocks as quants and scales apart. */
export interface SplitBlocks {
  /** Signed quants, in order. */
  quants: Int8Array
  /** One a block. */
  scales: Float32Array
}

/**
 * Takes the blocks of a `q8_0` head apart.
 *
 * @param head - The head.
 * @returns Its quants and scales.
 */
export function splitQ8Blocks({ vocabSize, hiddenSize, data }: WebGpuHead): SplitBlocks {
  const blocks = data as Uint8Array
  const numBlocks = (vocabSize * hiddenSize) / BLOCK_WEIGHTS
  const quants = new Int8Array(numBlocks * BLOCK_WEIGHTS)
  const scales = new Float32Array(numBlocks)
  const bytes = new Int8Array(blocks.buffer, blocks.byteOffset, blocks.byteLength)
  for (let block = 0; block < numBlocks; block++) {
    const at = block * (BLOCK_WEIGHTS + 2)
    scales[block] = f16ToNumber((blocks[at] as number) | ((blocks[at + 1] as number) << 8))
    quants.set(bytes.subarray(at + 2, at + 2 + BLOCK_WEIGHTS), block * BLOCK_WEIGHTS)
  }
  return { quants, scales }
}
