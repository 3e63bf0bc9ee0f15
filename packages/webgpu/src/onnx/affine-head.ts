/**
 * Heads of whole numbers that ONNX's own operations dequantise, in the layout of `MatMulNBits`.
 *
 * @module
 */
import { readScales } from './element-views.ts'
import { InvalidOnnxModelError } from './errors.ts'
import type { OnnxTensor } from './graph.ts'
import type { AffineHead } from './head-product.ts'
import type { OnnxLmHead } from './onnx-lm-head.ts'
import { type ExternalDataLoader, readTensorBytes } from './tensor-data.ts'

/** Elements of a square that is turned around at a time: its lines stay in a first-level cache. */
const SQUARE = 32

/** int8 and int4 of `TensorProto.DataType`. */
const SIGNED = [3, 22]

/**
 * Reads a head of whole numbers: the same weights as `nbits4` or `nbits8`, of which each block has a scale and a zero
 * point of its own.
 *
 * @param head - Where its tensors are.
 * @param vocabSize - Tokens.
 * @param hiddenSize - Elements of a row.
 * @param load - Reads files beside the model.
 * @returns The head.
 * @throws {InvalidOnnxModelError} when weights, scales or zero points are missing or too few.
 */
export async function readAffine(
  head: AffineHead,
  vocabSize: number,
  hiddenSize: number,
  load: ExternalDataLoader | undefined,
): Promise<OnnxLmHead> {
  const { bits, blockSize, quants, isRowMajor, grouping } = head
  const numBlocks = Math.ceil(hiddenSize / blockSize)
  const numGroups = { tensor: 1, row: vocabSize, block: vocabSize * numBlocks }[grouping]
  const stored = readScales(head.scales, await readTensorBytes(head.scales, load))
  const zeros = await readZeros(head, numGroups, load)
  checkLength(head.scales, stored.length, numGroups)
  const quantBytes = await readTensorBytes(quants, load)
  // Signed quants and zero points move up together, which leaves their difference.
  const lift = SIGNED.includes(quants.dataType) ? 2 ** (bits - 1) : 0
  const groupOf = (token: number, block: number): number => {
    if (grouping === 'tensor') return 0
    if (grouping === 'row') return token
    return isRowMajor ? token * numBlocks + block : block * vocabSize + token
  }
  const scales =
    stored instanceof Float32Array
      ? new Float32Array(vocabSize * numBlocks)
      : new Uint16Array(vocabSize * numBlocks)
  const zeroRowBytes = Math.ceil((numBlocks * bits) / 8)
  const zeroPoints = new Uint8Array(vocabSize * zeroRowBytes)
  const mask = 2 ** bits - 1
  for (let token = 0; token < vocabSize; token++) {
    for (let block = 0; block < numBlocks; block++) {
      const group = groupOf(token, block)
      scales[token * numBlocks + block] = stored[group] as number
      put(
        zeroPoints,
        token * zeroRowBytes,
        block,
        bits,
        (takeElement(zeros, group, bits) + lift) & mask,
      )
    }
  }
  const data = new Uint8Array((vocabSize * numBlocks * blockSize * bits) / 8)
  const rowBytes = data.length / vocabSize
  for (let token = 0; token < vocabSize; token += SQUARE) {
    const tokenEnd = Math.min(token + SQUARE, vocabSize)
    for (let column = 0; column < hiddenSize; column += SQUARE) {
      const columnEnd = Math.min(column + SQUARE, hiddenSize)
      for (let t = token; t < tokenEnd; t++) {
        for (let c = column; c < columnEnd; c++) {
          const at = isRowMajor ? t * hiddenSize + c : c * vocabSize + t
          put(data, t * rowBytes, c, bits, (takeElement(quantBytes, at, bits) + lift) & mask)
        }
      }
    }
  }
  return {
    ...{ dtype: bits === 4 ? 'nbits4' : 'nbits8', vocabSize, hiddenSize, data },
    quantization: { blockSize, scales, zeroPoints },
  }
}

/** Zero points of all groups, in the type of the quants; zeros where the model has none. */
async function readZeros(
  { zeroPoints, quants, bits }: AffineHead,
  numGroups: number,
  load: ExternalDataLoader | undefined,
): Promise<Uint8Array> {
  if (zeroPoints === null) return new Uint8Array(Math.ceil((numGroups * bits) / 8))
  if (zeroPoints.dataType !== quants.dataType) {
    throw new InvalidOnnxModelError(
      `Cannot read tensor "${zeroPoints.name}" as zero points must have the type of "${quants.name}"`,
    )
  }
  const numZeros = zeroPoints.dims.reduce((product, dim) => product * dim, 1)
  const bytes = await readTensorBytes(zeroPoints, load)
  if (numZeros !== 1) {
    checkLength(zeroPoints, numZeros, numGroups)
    return bytes
  }
  const one = takeElement(bytes, 0, bits)
  return new Uint8Array(Math.ceil((numGroups * bits) / 8)).fill(bits === 4 ? one * 17 : one)
}

function checkLength(tensor: OnnxTensor, found: number, wanted: number): void {
  if (found === wanted) return
  throw new InvalidOnnxModelError(
    `Cannot read tensor "${tensor.name}" as the weights need ${wanted} scales and zero points: ` +
      `current shape is [${tensor.dims.join(', ')}]`,
  )
}

/** An element of 4 or 8 bits, the lower half of a byte first. */
function takeElement(bytes: Uint8Array, index: number, bits: 4 | 8): number {
  if (bits === 8) return bytes[index] as number
  return ((bytes[index >> 1] as number) >> ((index & 1) * 4)) & 15
}

/** Puts an element of 4 or 8 bits where there are zeros. */
function put(bytes: Uint8Array, start: number, index: number, bits: 4 | 8, value: number): void {
  if (bits === 8) bytes[start + index] = value
  else {
    const at = start + (index >> 1)
    bytes[at] = (bytes[at] as number) | (value << ((index & 1) * 4))
  }
}
