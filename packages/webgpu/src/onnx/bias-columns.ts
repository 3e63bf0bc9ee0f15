/**
 * Biases as columns of the weight: hidden states that end in ones multiply them.
 *
 * @module
 */
import { f16ToNumber } from '@flashsampling/core'
import type { OnnxLmHead } from './onnx-lm-head.ts'

/**
 * Appends a bias to a head.
 *
 * @param head - The head; of `nbits` formats the width is a multiple of `blockSize`.
 * @param bias - `[vocabSize]`, f32, or f16 as bit patterns; f32 where the head is.
 * @param columns - Columns to append: the bias, and zeros behind it; the block size of `nbits` formats.
 * @returns A head of `hiddenSize + columns`, its weights bitwise those of `head`.
 */
export function appendBias(
  head: OnnxLmHead,
  bias: Float32Array | Uint16Array,
  columns: number,
): OnnxLmHead {
  const { vocabSize, hiddenSize, data } = head
  const wide = { ...head, hiddenSize: hiddenSize + columns }
  if (head.quantization !== undefined) return appendBlock(wide, head.quantization, bias)
  const values = data instanceof Float32Array ? widen(bias) : bias
  const rows = new (data.constructor as typeof Float32Array)(vocabSize * wide.hiddenSize)
  for (let token = 0; token < vocabSize; token++) {
    const row = data.subarray(token * hiddenSize, (token + 1) * hiddenSize)
    rows.set(row, token * wide.hiddenSize)
    rows[token * wide.hiddenSize + hiddenSize] = values[token] as number
  }
  return { ...wide, data: rows }
}

/** One more block a row, whose scale is the bias and whose quants are one step above its zero point, then at it. */
function appendBlock(
  head: OnnxLmHead,
  quantization: NonNullable<OnnxLmHead['quantization']>,
  bias: Float32Array | Uint16Array,
): OnnxLmHead {
  const { vocabSize, hiddenSize, dtype } = head
  const { blockSize, zeroPoints } = quantization
  const bits = dtype === 'nbits4' ? 4 : 8
  const numBlocks = hiddenSize / blockSize
  const areHalves = quantization.scales instanceof Uint16Array && bias instanceof Uint16Array
  const [old, added] = areHalves
    ? [quantization.scales, bias]
    : [widen(quantization.scales), widen(bias)]
  const scales = appendEach(old, vocabSize, 1)
  added.forEach((value, token) => {
    scales[(token + 1) * numBlocks - 1] = value
  })
  // Packed zero points get a zero; else the format's own stands for zero.
  const isPacked = zeroPoints instanceof Uint8Array
  const zero = isPacked ? 0 : (zeroPoints ?? 2 ** (bits - 1))
  const blockBytes = (blockSize * bits) / 8
  const data = appendEach(head.data as Uint8Array, vocabSize, blockBytes)
  const rowBytes = data.length / vocabSize
  const filler = bits === 4 ? zero * 17 : zero
  for (let end = rowBytes; end <= data.length; end += rowBytes) {
    data.fill(filler, end - blockBytes, end)
    data[end - blockBytes] = filler + 1
  }
  const zeroRowBytes = Math.ceil((numBlocks * bits) / 8)
  const oldZeroRowBytes = Math.ceil(((numBlocks - 1) * bits) / 8)
  const zeros = isPacked
    ? appendEach(zeroPoints, vocabSize, zeroRowBytes - oldZeroRowBytes)
    : zeroPoints
  if (isPacked && bits === 4 && zeroRowBytes === oldZeroRowBytes) {
    // The upper half of a row's last byte, which nothing used, becomes the new block's.
    const packed = zeros as Uint8Array
    for (let at = zeroRowBytes - 1; at < packed.length; at += zeroRowBytes) {
      packed[at] = (packed[at] as number) & 15
    }
  }
  return { ...head, data, quantization: { blockSize, scales, zeroPoints: zeros } }
}

/** Rows with some zeros behind each. */
function appendEach<T extends Float32Array | Uint16Array | Uint8Array>(
  source: T,
  numRows: number,
  count: number,
): T {
  const width = source.length / numRows
  const target = new (source.constructor as new (length: number) => T)(
    source.length + numRows * count,
  )
  for (let row = 0; row < numRows; row++) {
    target.set(source.subarray(row * width, (row + 1) * width), row * (width + count))
  }
  return target
}

function widen(values: Float32Array | Uint16Array): Float32Array {
  return values instanceof Float32Array ? values : Float32Array.from(values, f16ToNumber)
}
