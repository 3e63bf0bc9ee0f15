/**
 * Heads of 4-bit and 8-bit weights whose scales and zero points lie beside the quants: the layout of ONNX
 * `MatMulNBits`, and with a constant zero point of 7 that of MLC `q4f16_1`.
 *
 * @module
 */
import { describeValue, invalidArgument, invalidType } from './errors.ts'
import { f16ToNumber } from './half-floats.ts'
import type {
  DType,
  LmHeadShard,
  NBitsFormat,
  QuantizationBlocks,
  QuantizedFormat,
} from './types.ts'

const BLOCK_SIZES: readonly number[] = [16, 32, 64, 128, 256]

/** Tells whether a storage format keeps scales and zero points beside its quants. */
export function isNBitsFormat(dtype: DType | QuantizedFormat): dtype is NBitsFormat {
  return dtype === 'nbits4' || dtype === 'nbits8'
}

/** Sizes of an `nbits4` or `nbits8` head. */
export interface NBitsLayout {
  /** Bits of a quant, 4 or 8. */
  bits: 4 | 8
  /** Weights that share a scale. */
  blockSize: number
  /** Blocks of a row: scales of a row. */
  numBlocks: number
  /** Bytes of a row of quants; a last block that is cut short still takes its whole room. */
  rowBytes: number
  /** Bytes of a row of packed zero points. */
  zeroPointRowBytes: number
}

/**
 * Works out the sizes of a head.
 *
 * @param dtype - Storage format.
 * @param hiddenSize - Weights of a row.
 * @param blockSize - Weights that share a scale.
 * @returns Bits, blocks and bytes.
 */
export function nbitsLayout(
  dtype: NBitsFormat,
  hiddenSize: number,
  blockSize: number,
): NBitsLayout {
  const bits = dtype === 'nbits4' ? 4 : 8
  const numBlocks = Math.ceil(hiddenSize / blockSize)
  return {
    bits,
    blockSize,
    numBlocks,
    rowBytes: (numBlocks * blockSize * bits) / 8,
    zeroPointRowBytes: Math.ceil((numBlocks * bits) / 8),
  }
}

/**
 * Checks the blocks of a head; those of other formats must be absent.
 *
 * @param action - What cannot be done, for error messages.
 * @param name - Name of the head, for error messages.
 * @param shard - Head with checked sizes.
 * @returns The checked blocks; `undefined` for other formats.
 * @throws {TypeError} when an array has a wrong type.
 * @throws {RangeError} when a size or a zero point is out of range.
 */
export function checkQuantization(
  action: string,
  name: string,
  shard: LmHeadShard,
): QuantizationBlocks | undefined {
  const { dtype, vocabSize, hiddenSize, quantization } = shard
  if (!isNBitsFormat(dtype)) {
    if (quantization === undefined) return undefined
    throw invalidArgument(action, `${name}.quantization`, `absent for ${dtype}`, quantization)
  }
  if (typeof quantization !== 'object' || quantization === null) {
    throw invalidType(action, `${name}.quantization`, `an object for ${dtype}`, quantization)
  }
  const { blockSize, scales, zeroPoints } = quantization
  if (!BLOCK_SIZES.includes(blockSize)) {
    const field = `${name}.quantization.blockSize`
    throw invalidArgument(action, field, `one of ${BLOCK_SIZES.join(', ')}`, blockSize)
  }
  const layout = nbitsLayout(dtype, hiddenSize, blockSize)
  if (!(scales instanceof Float32Array || scales instanceof Uint16Array)) {
    const field = `${name}.quantization.scales`
    throw invalidType(action, field, 'a Float32Array, or a Uint16Array of f16', scales)
  }
  checkLength(action, `${name}.quantization.scales`, scales, vocabSize, layout.numBlocks)
  if (zeroPoints instanceof Uint8Array) {
    const field = `${name}.quantization.zeroPoints`
    checkLength(action, field, zeroPoints, vocabSize, layout.zeroPointRowBytes)
  } else if (zeroPoints !== undefined) {
    const field = `${name}.quantization.zeroPoints`
    const highest = 2 ** layout.bits - 1
    if (typeof zeroPoints !== 'number') {
      throw invalidType(action, field, 'a number or a Uint8Array', zeroPoints)
    }
    if (!Number.isInteger(zeroPoints) || zeroPoints < 0 || zeroPoints > highest) {
      throw invalidArgument(action, field, `a whole number from 0 to ${highest}`, zeroPoints)
    }
  }
  return { blockSize, scales, zeroPoints }
}

function checkLength(
  action: string,
  name: string,
  array: Float32Array | Uint16Array | Uint8Array,
  rows: number,
  columns: number,
): void {
  if (array.length === rows * columns) return
  throw new RangeError(
    `Cannot ${action} as "${name}" must have ${rows * columns} elements ` +
      `(${columns} for each of ${rows} tokens): current value is ${describeValue(array)}`,
  )
}

/** One block of a row: its scale, its zero point, and where its quants start. */
export interface NBitsBlock {
  /** Multiplies `quant - zeroPoint`. */
  scale: number
  /** Quant that stands for 0. */
  zeroPoint: number
  /** First byte of the block in `data`. */
  byteOffset: number
}

/**
 * Reads the blocks of a row.
 *
 * @param shard - Checked head of an `nbits` format.
 * @param row - Row of the head.
 * @param visit - Called for each block, in order of its columns.
 */
export function forEachNBitsBlock(
  shard: LmHeadShard,
  row: number,
  visit: (block: NBitsBlock, index: number) => void,
): void {
  const { scales, zeroPoints, blockSize } = shard.quantization as QuantizationBlocks
  const layout = nbitsLayout(shard.dtype as NBitsFormat, shard.hiddenSize, blockSize)
  const { bits, numBlocks, rowBytes, zeroPointRowBytes } = layout
  for (let i = 0; i < numBlocks; i++) {
    const stored = scales[row * numBlocks + i] as number
    visit(
      {
        scale: scales instanceof Uint16Array ? f16ToNumber(stored) : stored,
        zeroPoint: zeroPointAt(zeroPoints ?? 2 ** (bits - 1), bits, row * zeroPointRowBytes, i),
        byteOffset: row * rowBytes + (i * blockSize * bits) / 8,
      },
      i,
    )
  }
}

function zeroPointAt(
  zeroPoints: number | Uint8Array,
  bits: 4 | 8,
  rowOffset: number,
  index: number,
): number {
  if (typeof zeroPoints === 'number') return zeroPoints
  if (bits === 8) return zeroPoints[rowOffset + index] as number
  return ((zeroPoints[rowOffset + (index >> 1)] as number) >> (4 * (index & 1))) & 15
}

/**
 * Reads one row as f32: `scale * (quant - zeroPoint)`, rounded once.
 *
 * @param shard - Checked head of an `nbits` format with data in memory.
 * @param row - Row of the head.
 * @param out - Receives `hiddenSize` values from `start` on.
 * @param start - First element to write.
 */
export function readNBitsRow(
  shard: LmHeadShard,
  row: number,
  out: Float32Array,
  start: number,
): void {
  const data = shard.data as Uint8Array
  const { blockSize } = shard.quantization as QuantizationBlocks
  const isNibble = shard.dtype === 'nbits4'
  forEachNBitsBlock(shard, row, ({ scale, zeroPoint, byteOffset }, block) => {
    const first = block * blockSize
    const width = Math.min(blockSize, shard.hiddenSize - first)
    for (let i = 0; i < width; i++) {
      const quant = isNibble
        ? ((data[byteOffset + (i >> 1)] as number) >> (4 * (i & 1))) & 15
        : (data[byteOffset + i] as number)
      out[start + first + i] = scale * (quant - zeroPoint)
    }
  })
}
