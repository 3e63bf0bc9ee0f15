/**
 * Rows in a caller's GPU buffer: hidden states or logits that stay where the model left them.
 *
 * @module
 */
import { invalidArgument, invalidType } from '@flashsampling/core'
import type { BufferRange } from './buffer-range.ts'
import { BUFFER_USAGE } from './gpu-constants.ts'

/** Rows of hidden states or logits in a buffer of the sampler's device. */
export interface GpuRows {
  /** The buffer; needs `GPUBufferUsage.STORAGE`, or `COPY_SRC` where its rows have to be copied. */
  buffer: GPUBuffer
  /** Storage of the elements. */
  dtype: 'f32' | 'f16'
  /**
   * First byte of each row, one entry a row. Hidden states are read in place where their offsets are multiples of 16
   * and `hiddenSize` is a multiple of 8, logits where the offsets are multiples of their elements; else they are copied.
   */
  offsets: readonly number[]
}

/** Rows as kernels read them. */
export interface PlacedRows {
  format: 'f32' | 'f16'
  /** What the kernels bind; `null` where the rows are copied first. */
  range: BufferRange | null
  /** First element of each row in what is bound; in units of the binding's elements. */
  starts: readonly number[]
  /** Copies to make first, into a buffer of `copiedBytes`. */
  copies: readonly { from: number; to: number; byteLength: number }[]
  copiedBytes: number
  source: GPUBuffer
}

/** How rows must lie to be read in place. */
export interface RowShape {
  /** What the rows are, for messages, for example `hiddenStates`. */
  name: string
  /** Elements of a row. */
  width: number
  /** Elements of a row after a copy: padded to what the kernels read. */
  paddedWidth: number
  /** Offsets are multiples of it, bytes. */
  alignment: number
  /** Bytes of the elements of the kernel's binding: units of `starts`. */
  unit: number
}

const ACTION = 'sample tokens'

/**
 * Finds how kernels read a caller's rows.
 *
 * @param rows - The caller's rows.
 * @param shape - What the kernels need.
 * @param limits - Limits of the device.
 * @returns Where the rows are, or which copies bring them there.
 * @throws {TypeError} when the buffer is no GPU buffer, or lacks the usage that is needed.
 * @throws {RangeError} when a row lies outside the buffer.
 */
export function placeRows(rows: GpuRows, shape: RowShape, limits: GPUSupportedLimits): PlacedRows {
  const { name, width, paddedWidth, alignment, unit } = shape
  checkRows(rows, name)
  const { buffer, dtype, offsets } = rows
  const elementBytes = dtype === 'f32' ? 4 : 2
  const rowBytes = width * elementBytes
  let low = Infinity
  let high = 0
  for (const offset of offsets) {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + rowBytes > buffer.size) {
      const rule = `whole numbers from 0 to ${buffer.size - rowBytes}, so that each row lies in the buffer`
      throw invalidArgument(ACTION, `${name}.offsets`, rule, offset)
    }
    low = Math.min(low, offset)
    high = Math.max(high, offset + rowBytes)
  }
  const from = low - (low % limits.minStorageBufferOffsetAlignment)
  // A whole number of the shader's elements, at most 16 bytes each, and of words.
  const size = Math.min(
    Math.floor((buffer.size - from) / 4) * 4,
    Math.ceil((high - from) / 16) * 16,
  )
  const isInPlace =
    (buffer.usage & BUFFER_USAGE.STORAGE) !== 0 &&
    width === paddedWidth &&
    offsets.every((offset) => offset % alignment === 0) &&
    size >= high - from &&
    size <= limits.maxStorageBufferBindingSize
  const common = { format: dtype, source: buffer }
  if (isInPlace) {
    const starts = offsets.map((offset) => (offset - from) / unit)
    return { ...common, range: { buffer, offset: from, size }, starts, copies: [], copiedBytes: 0 }
  }
  const isCopyable = rowBytes % 4 === 0 && offsets.every((offset) => offset % 4 === 0)
  if ((buffer.usage & BUFFER_USAGE.COPY_SRC) === 0 || !isCopyable) {
    throw new TypeError(
      `Cannot ${ACTION} as "${name}.buffer" must have GPUBufferUsage.STORAGE with offsets that are multiples of ` +
        `${alignment} bytes, or GPUBufferUsage.COPY_SRC with whole words: current usage is ${buffer.usage}, ` +
        `current offsets are ${offsets.slice(0, 4).join(', ')}`,
    )
  }
  const stride = Math.ceil((paddedWidth * elementBytes) / 16) * 16
  return {
    ...common,
    range: null,
    starts: offsets.map((_, row) => (row * stride) / unit),
    copies: offsets.map((offset, row) => ({
      from: offset,
      to: row * stride,
      byteLength: rowBytes,
    })),
    copiedBytes: offsets.length * stride,
  }
}

function checkRows(rows: GpuRows, name: string): void {
  if (typeof rows !== 'object' || rows === null) {
    throw invalidType(ACTION, name, 'an object with "buffer", "dtype" and "offsets"', rows)
  }
  checkBuffer(rows.buffer, `${name}.buffer`)
  if (rows.dtype !== 'f32' && rows.dtype !== 'f16') {
    throw invalidArgument(ACTION, `${name}.dtype`, '"f32" or "f16"', rows.dtype)
  }
  if (!Array.isArray(rows.offsets) || rows.offsets.length === 0) {
    throw invalidType(ACTION, `${name}.offsets`, 'an array of at least one offset', rows.offsets)
  }
}

/**
 * Demands a GPU buffer.
 *
 * @param buffer - Anything.
 * @param name - Its name in messages.
 * @param action - What cannot be done without one, for messages.
 * @throws {TypeError} when it is none.
 */
export function checkBuffer(buffer: GPUBuffer, name: string, action: string = ACTION): void {
  const isBuffer =
    typeof buffer === 'object' &&
    buffer !== null &&
    typeof buffer.size === 'number' &&
    typeof buffer.usage === 'number' &&
    typeof buffer.mapAsync === 'function'
  if (!isBuffer) throw invalidType(action, name, 'a GPUBuffer', buffer)
}
