/**
 * Random weights of `nbits4` and `nbits8` heads.
 *
 * @module
 */
import { nbitsLayout } from '../nbits.ts'
import type { NBitsFormat, QuantizationBlocks } from '../types.ts'
import type { Generator } from './generator.ts'
import { numberToF16 } from './storage.ts'

/** Which of the layouts that an `nbits` format allows a test's head has. */
export interface NBitsOptions {
  /** Weights that share a scale: 16, 32, 64, 128 or 256. @defaultValue 32 */
  blockSize?: number | undefined
  /** Storage of the scales. @defaultValue 'f16' */
  scales?: 'f16' | 'f32' | undefined
  /** One number for all blocks, `packed` for one in each block, or none for the format's own. @defaultValue none */
  zeroPoints?: number | 'packed' | undefined
}

/** What {@link nbitsWeights} needs to know of a head. */
export interface NBitsShape {
  dtype: NBitsFormat
  vocabSize: number
  hiddenSize: number
  /** Standard deviation of a weight; `null` for whole numbers from -2 to 2. */
  deviation: number | null
}

/**
 * Weights of a head: whole numbers, or uniform inside a block of random scale.
 *
 * @param generator - Source of the values.
 * @param shape - Storage and sizes.
 * @param options - Layout.
 * @returns Quants, scales and zero points.
 */
export function nbitsWeights(
  generator: Generator,
  shape: NBitsShape,
  options: NBitsOptions = {},
): { data: Uint8Array; quantization: QuantizationBlocks } {
  const { dtype, vocabSize, hiddenSize, deviation } = shape
  const { blockSize = 32 } = options
  const layout = nbitsLayout(dtype, hiddenSize, blockSize)
  const { bits, numBlocks, rowBytes, zeroPointRowBytes } = layout
  const data = new Uint8Array(vocabSize * rowBytes)
  const isPacked = options.zeroPoints === 'packed'
  const packed = new Uint8Array(isPacked ? vocabSize * zeroPointRowBytes : 0)
  const numScales = vocabSize * numBlocks
  const scales = options.scales === 'f32' ? new Float32Array(numScales) : new Uint16Array(numScales)
  const middle = 2 ** (bits - 1)
  // Quants of real values reach 7 (or 127) to both sides of the zero point, cut off where the format ends.
  const reach = middle - 1
  const spread = deviation === null ? 2 : reach
  for (let row = 0; row < vocabSize; row++) {
    for (let block = 0; block < numBlocks; block++) {
      const zeroPoint = isPacked
        ? generator.integer(middle - 2, middle + 2)
        : ((options.zeroPoints as number | undefined) ?? middle)
      const unit = deviation === null ? 1 : (deviation * Math.sqrt(3)) / reach
      const scale = deviation === null ? 1 : unit * (0.5 + generator.uniform())
      scales[row * numBlocks + block] = scales instanceof Uint16Array ? numberToF16(scale) : scale
      if (isPacked) writeBits(packed, bits, row * zeroPointRowBytes, block, zeroPoint)
      const first = block * blockSize
      for (let i = 0; i < blockSize; i++) {
        // What lies beyond the row must not matter, so it is not zero.
        const isPadding = first + i >= hiddenSize
        const offset = isPadding ? reach : generator.integer(-spread, spread)
        const quant = Math.max(0, Math.min(2 ** bits - 1, zeroPoint + offset))
        writeBits(data, bits, row * rowBytes, first + i, quant)
      }
    }
  }
  const zeroPoints = isPacked ? packed : (options.zeroPoints as number | undefined)
  return { data, quantization: { blockSize, scales, zeroPoints } }
}

function writeBits(
  bytes: Uint8Array,
  bits: 4 | 8,
  start: number,
  index: number,
  value: number,
): void {
  if (bits === 8) bytes[start + index] = value
  else {
    const at = start + (index >> 1)
    bytes[at] = (bytes[at] as number) | (value << (4 * (index & 1)))
  }
}
