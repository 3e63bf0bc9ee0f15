/**
 * LM heads: storage formats, checks, and rows as float32 for oracles and tests.
 *
 * @module
 */
import { describeValue, invalidArgument, invalidType } from './errors.ts'
import { bf16ToNumber, f16ToNumber } from './half-floats.ts'
import { checkQuantization, isNBitsFormat, nbitsLayout, readNBitsRow } from './nbits.ts'
import type {
  BackendBuffer,
  DType,
  GgufFormat,
  LmHead,
  LmHeadShard,
  QuantizedFormat,
} from './types.ts'

/** Geometry of a storage format. */
export interface StorageFormat {
  /** Weights of one block, of which a row is a whole number; 1 for dense formats. */
  blockWeights: number
  /** Bytes of one block; for `nbits` formats those of its quants, which scales and zero points lie beside. */
  blockBytes: number
}

/** Geometry of every storage format a head may have. */
export const STORAGE_FORMATS: Readonly<Record<DType | QuantizedFormat, StorageFormat>> = {
  f32: { blockWeights: 1, blockBytes: 4 },
  f16: { blockWeights: 1, blockBytes: 2 },
  bf16: { blockWeights: 1, blockBytes: 2 },
  q8_0: { blockWeights: 32, blockBytes: 34 },
  q4_0: { blockWeights: 32, blockBytes: 18 },
  q4_1: { blockWeights: 32, blockBytes: 20 },
  q6_k: { blockWeights: 256, blockBytes: 210 },
  nbits4: { blockWeights: 16, blockBytes: 8 },
  nbits8: { blockWeights: 16, blockBytes: 16 },
}

/** A shard in its normal form. */
export interface CheckedShard extends LmHeadShard {
  /** Global token id of the first row. */
  vocabStart: number
}

const ACTION = 'load the LM head'

/**
 * Bytes of one row of a head's `data`.
 *
 * @param dtype - Storage format.
 * @param hiddenSize - Elements of a row; a multiple of the format's block.
 * @param blockSize - Weights that share a scale, for `nbits` formats: rows are padded to whole blocks.
 * @returns Bytes.
 */
export function rowByteLength(
  dtype: DType | QuantizedFormat,
  hiddenSize: number,
  blockSize?: number,
): number {
  if (isNBitsFormat(dtype) && blockSize !== undefined) {
    return nbitsLayout(dtype, hiddenSize, blockSize).rowBytes
  }
  const { blockWeights, blockBytes } = STORAGE_FORMATS[dtype]
  return (hiddenSize / blockWeights) * blockBytes
}

/** Tells whether a head's data is memory owned by a backend. */
export function isBackendBuffer(data: unknown): data is BackendBuffer {
  return typeof data === 'object' && data !== null && !ArrayBuffer.isView(data) && 'backend' in data
}

/**
 * Checks an LM head and puts it into its normal form: shards in ascending order of `vocabStart`.
 *
 * @param lmHead - One matrix or a list of shards.
 * @returns The shards with every field filled in, the head's `hiddenSize` and `vocabSize` (one past its last token id).
 * @throws {TypeError} when a field has a wrong type.
 * @throws {RangeError} when a size is out of range or shards overlap.
 */
export function normalizeLmHead(lmHead: LmHead): {
  shards: CheckedShard[]
  hiddenSize: number
  vocabSize: number
} {
  if (typeof lmHead !== 'object' || lmHead === null) {
    throw invalidType(ACTION, 'lmHead', 'an object', lmHead)
  }
  const isSharded = 'shards' in lmHead
  const list = isSharded ? lmHead.shards : [lmHead]
  if (!Array.isArray(list) || list.length === 0) {
    throw invalidArgument(ACTION, 'lmHead.shards', 'an array of at least one shard', list)
  }
  const shards = list.map((shard: LmHeadShard, i: number) =>
    checkShard(shard, isSharded ? `lmHead.shards[${i}]` : 'lmHead'),
  )
  shards.sort((a, b) => a.vocabStart - b.vocabStart)
  const hiddenSize = (shards[0] as LmHeadShard).hiddenSize
  let end = 0
  for (const shard of shards) {
    if (shard.hiddenSize !== hiddenSize) {
      throw invalidArgument(
        ACTION,
        'lmHead.shards[].hiddenSize',
        `${hiddenSize} in every shard`,
        shard.hiddenSize,
      )
    }
    if (shard.vocabStart < end) {
      throw invalidArgument(
        ACTION,
        'lmHead.shards[].vocabStart',
        `at least ${end}, the end of the shard before it`,
        shard.vocabStart,
      )
    }
    end = shard.vocabStart + shard.vocabSize
  }
  return { shards, hiddenSize, vocabSize: end }
}

function checkShard(shard: LmHeadShard, name: string): CheckedShard {
  if (typeof shard !== 'object' || shard === null)
    throw invalidType(ACTION, name, 'an object', shard)
  const { dtype, vocabSize, hiddenSize, data, vocabStart = 0 } = shard
  const format = Object.hasOwn(STORAGE_FORMATS, dtype) ? STORAGE_FORMATS[dtype] : undefined
  if (format === undefined) {
    throw invalidArgument(
      ACTION,
      `${name}.dtype`,
      `one of ${Object.keys(STORAGE_FORMATS).join(', ')}`,
      dtype,
    )
  }
  for (const [key, value, low] of [
    ['vocabSize', vocabSize, 1],
    ['hiddenSize', hiddenSize, 1],
    ['vocabStart', vocabStart, 0],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < low) {
      throw invalidArgument(ACTION, `${name}.${key}`, `a whole number >= ${low}`, value)
    }
  }
  if (vocabStart + vocabSize > MAX_VOCAB_SIZE) {
    throw invalidArgument(
      ACTION,
      `${name}.vocabSize`,
      `such that token ids stay below ${MAX_VOCAB_SIZE}`,
      vocabSize,
    )
  }
  if (hiddenSize % format.blockWeights !== 0) {
    throw invalidArgument(
      ACTION,
      `${name}.hiddenSize`,
      `a multiple of ${format.blockWeights} for ${dtype}`,
      hiddenSize,
    )
  }
  const quantization = checkQuantization(ACTION, name, shard)
  const blocks = quantization && { quantization }
  const byteLength = vocabSize * rowByteLength(dtype, hiddenSize, quantization?.blockSize)
  if (isBackendBuffer(data)) {
    if (data.byteLength < byteLength) {
      throw invalidArgument(
        ACTION,
        `${name}.data.byteLength`,
        `at least ${byteLength}`,
        data.byteLength,
      )
    }
    return { dtype, vocabSize, hiddenSize, data, vocabStart, ...blocks }
  }
  checkArrayType(dtype, data, name)
  if (data.byteLength !== byteLength) {
    const elements = byteLength / data.BYTES_PER_ELEMENT
    throw new RangeError(
      `Cannot ${ACTION} as "${name}.data" must have ${elements} elements ` +
        `([vocabSize = ${vocabSize}, hiddenSize = ${hiddenSize}] of ${dtype}): current value is ${describeValue(data)}`,
    )
  }
  return { dtype, vocabSize, hiddenSize, data, vocabStart, ...blocks }
}

/** Largest vocabulary: bounds the exact sums of the embedded backend. */
export const MAX_VOCAB_SIZE: number = 2 ** 22

function checkArrayType(dtype: DType | QuantizedFormat, data: unknown, name: string): void {
  const expected =
    dtype === 'f32' ? Float32Array : dtype in { f16: 1, bf16: 1 } ? Uint16Array : Uint8Array
  if (!(data instanceof expected)) {
    throw invalidType(ACTION, `${name}.data`, `a ${expected.name} for ${dtype}`, data)
  }
}

/**
 * Reads rows of a head as float32: the exact stored value for dense, q8_0 and q4_0 weights; for the other formats the
 * value rounded to f32 after each multiplication and addition, which defines them on every backend.
 *
 * @param shard - One piece of a head with data in memory.
 * @param firstRow - First row to read, counted from the start of the piece.
 * @param numRows - Rows to read.
 * @returns `[numRows, hiddenSize]`.
 * @throws {TypeError} when the data is owned by a backend.
 */
export function readWeightRows(
  shard: LmHeadShard,
  firstRow: number,
  numRows: number,
): Float32Array {
  const { dtype, hiddenSize, data } = shard
  if (isBackendBuffer(data)) {
    throw new TypeError(
      'Cannot read weight rows as "data" is owned by a backend: keep a typed array of your own',
    )
  }
  const rows = new Float32Array(numRows * hiddenSize)
  if (isNBitsFormat(dtype)) {
    for (let i = 0; i < numRows; i++) readNBitsRow(shard, firstRow + i, rows, i * hiddenSize)
    return rows
  }
  const rowBytes = rowByteLength(dtype, hiddenSize)
  const bytes = new Uint8Array(
    data.buffer,
    data.byteOffset + firstRow * rowBytes,
    numRows * rowBytes,
  )
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const { blockWeights, blockBytes } = STORAGE_FORMATS[dtype]
  const readBlock = BLOCK_READERS[dtype]
  for (let block = 0; block * blockBytes < bytes.byteLength; block++) {
    readBlock(view, block * blockBytes, rows, block * blockWeights)
  }
  return rows
}

type BlockReader = (view: DataView, at: number, out: Float32Array, start: number) => void

const BLOCK_READERS: Record<DType | GgufFormat, BlockReader> = {
  f32: (view, at, out, start) => {
    out[start] = view.getFloat32(at, true)
  },
  f16: (view, at, out, start) => {
    out[start] = f16ToNumber(view.getUint16(at, true))
  },
  bf16: (view, at, out, start) => {
    out[start] = bf16ToNumber(view.getUint16(at, true))
  },
  q8_0: (view, at, out, start) => {
    const d = f16ToNumber(view.getUint16(at, true))
    for (let i = 0; i < 32; i++) out[start + i] = d * view.getInt8(at + 2 + i)
  },
  q4_0: (view, at, out, start) => {
    const d = f16ToNumber(view.getUint16(at, true))
    for (let i = 0; i < 16; i++) {
      const byte = view.getUint8(at + 2 + i)
      out[start + i] = d * ((byte & 15) - 8)
      out[start + 16 + i] = d * ((byte >> 4) - 8)
    }
  },
  q4_1: (view, at, out, start) => {
    const d = f16ToNumber(view.getUint16(at, true))
    const m = f16ToNumber(view.getUint16(at + 2, true))
    // d * q is exact in f32 (11 + 4 bits), so one rounding remains: that of the sum.
    for (let i = 0; i < 16; i++) {
      const byte = view.getUint8(at + 4 + i)
      out[start + i] = d * (byte & 15) + m
      out[start + 16 + i] = d * (byte >> 4) + m
    }
  },
  q6_k: (view, at, out, start) => {
    const d = f16ToNumber(view.getUint16(at + 208, true))
    for (let half = 0; half < 2; half++) {
      const low = at + half * 64
      const high = at + 128 + half * 32
      for (let i = 0; i < 32; i++) {
        const a = view.getUint8(low + i)
        const b = view.getUint8(low + 32 + i)
        const c = view.getUint8(high + i)
        const quants = [
          (a & 15) | ((c & 3) << 4),
          (b & 15) | (((c >> 2) & 3) << 4),
          (a >> 4) | (((c >> 4) & 3) << 4),
          (b >> 4) | ((c >> 6) << 4),
        ]
        for (let quarter = 0; quarter < 4; quarter++) {
          const scale = view.getInt8(at + 192 + half * 8 + quarter * 2 + (i >> 4))
          // d * scale is exact in f32 (11 + 8 bits); the product with q is rounded once.
          out[start + half * 128 + quarter * 32 + i] =
            d * scale * ((quants[quarter] as number) - 32)
        }
      }
    }
  },
}
