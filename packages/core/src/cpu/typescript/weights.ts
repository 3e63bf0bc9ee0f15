import { f16ToNumber } from '../../half-floats.ts'
import {
  CHUNK_ELEMENTS,
  DTYPE_BF16,
  DTYPE_BLOCK_SHIFT,
  DTYPE_F16,
  DTYPE_F32,
  DTYPE_NBITS4,
  DTYPE_NBITS8,
  DTYPE_Q4_0,
  DTYPE_Q4_1,
  DTYPE_Q6_K,
  DTYPE_Q8_0,
  NBITS_HEADER_BYTES,
} from '../layout.ts'
import type { MemoryViews } from './views.ts'

const fround = Math.fround

/** f16 bit pattern to value; built on first use (256 KiB). */
let halfTable: Float32Array | null = null

function halfToFloat(): Float32Array {
  halfTable ??= Float32Array.from({ length: 65536 }, (_, bits) => f16ToNumber(bits))
  return halfTable
}

/**
 * Widens one weight row to f32; the values define the format (see `readWeightRows`).
 *
 * @param views - Memory with the weights.
 * @param dtype - DTYPE_* of the layout, other than f32.
 * @param address - Byte address of the row.
 * @param out - [hiddenSize], padded.
 * @param hiddenSize - Elements, padded with zero weights to a multiple of 4.
 */
export function widenRow(
  views: MemoryViews,
  dtype: number,
  address: number,
  out: Float32Array,
  hiddenSize: number,
): void {
  const { u16, u8, i8 } = views
  const half = halfToFloat()
  const halfAt = (at: number): number =>
    half[(u8[at] as number) | ((u8[at + 1] as number) << 8)] as number
  switch (dtype & ((1 << DTYPE_BLOCK_SHIFT) - 1)) {
    case DTYPE_F16: {
      for (let i = 0, at = address >> 1; i < hiddenSize; i++) {
        out[i] = half[u16[at + i] as number] as number
      }
      return
    }
    case DTYPE_BF16: {
      const bits = new Uint32Array(out.buffer, out.byteOffset, hiddenSize)
      for (let i = 0, at = address >> 1; i < hiddenSize; i++)
        bits[i] = (u16[at + i] as number) << 16
      return
    }
    case DTYPE_Q8_0: {
      for (let i = 0, at = address; i < hiddenSize; i += 32, at += 34) {
        const d = halfAt(at)
        for (let j = 0; j < 32; j++) out[i + j] = d * (i8[at + 2 + j] as number)
      }
      return
    }
    case DTYPE_Q4_0: {
      for (let i = 0, at = address; i < hiddenSize; i += 32, at += 18) {
        const d = halfAt(at)
        for (let j = 0; j < 16; j++) {
          const byte = u8[at + 2 + j] as number
          out[i + j] = d * ((byte & 15) - 8)
          out[i + 16 + j] = d * ((byte >> 4) - 8)
        }
      }
      return
    }
    case DTYPE_Q4_1: {
      for (let i = 0, at = address; i < hiddenSize; i += 32, at += 20) {
        const d = halfAt(at)
        const m = halfAt(at + 2)
        for (let j = 0; j < 16; j++) {
          const byte = u8[at + 4 + j] as number
          out[i + j] = d * (byte & 15) + m
          out[i + 16 + j] = d * (byte >> 4) + m
        }
      }
      return
    }
    case DTYPE_Q6_K: {
      for (let i = 0, at = address; i < hiddenSize; i += 256, at += 210) {
        widenQ6KBlock(u8, i8, at, halfAt(at + 208), out, i)
      }
      return
    }
    case DTYPE_NBITS4: {
      widenNBits(views, address, dtype >> DTYPE_BLOCK_SHIFT, out, hiddenSize, widenBlock4)
      return
    }
    case DTYPE_NBITS8: {
      widenNBits(views, address, dtype >> DTYPE_BLOCK_SHIFT, out, hiddenSize, widenBlock8)
      return
    }
  }
}

function widenQ6KBlock(
  u8: Uint8Array,
  i8: Int8Array,
  at: number,
  d: number,
  out: Float32Array,
  start: number,
): void {
  for (let half = 0; half < 2; half++) {
    const low = at + half * 64
    const high = at + 128 + half * 32
    const scales = at + 192 + half * 8
    const base = start + half * 128
    for (let j = 0; j < 32; j++) {
      const a = u8[low + j] as number
      const b = u8[low + 32 + j] as number
      const c = u8[high + j] as number
      const scale = scales + (j >> 4)
      out[base + j] = d * (i8[scale] as number) * (((a & 15) | ((c & 3) << 4)) - 32)
      out[base + 32 + j] = d * (i8[scale + 2] as number) * (((b & 15) | ((c & 12) << 2)) - 32)
      out[base + 64 + j] = d * (i8[scale + 4] as number) * (((a >> 4) | (c & 48)) - 32)
      out[base + 96 + j] = d * (i8[scale + 6] as number) * (((b >> 4) | ((c & 192) >> 2)) - 32)
    }
  }
}

/** Widens the quants of one block, out[start] up to out[end]; returns the address behind them. */
type WidenBlock = (
  u8: Uint8Array,
  at: number,
  scale: number,
  zeroPoint: number,
  out: Float32Array,
  start: number,
  end: number,
) => number

function widenNBits(
  { f32, i32, u8 }: MemoryViews,
  at: number,
  blockSize: number,
  out: Float32Array,
  hiddenSize: number,
  widenBlock: WidenBlock,
): void {
  for (let i = 0; i < hiddenSize; i += blockSize) {
    const scale = f32[at >> 2] as number
    const zeroPoint = i32[(at + 4) >> 2] as number
    const end = Math.min(i + blockSize, hiddenSize)
    at = widenBlock(u8, at + NBITS_HEADER_BYTES, scale, zeroPoint, out, i, end)
  }
}

const widenBlock4: WidenBlock = (u8, at, scale, zeroPoint, out, start, end) => {
  for (let i = start; i < end; i += 2, at++) {
    const byte = u8[at] as number
    out[i] = scale * ((byte & 15) - zeroPoint)
    out[i + 1] = scale * ((byte >> 4) - zeroPoint)
  }
  return at
}

const widenBlock8: WidenBlock = (u8, at, scale, zeroPoint, out, start, end) => {
  for (let i = start; i < end; i++, at++) out[i] = scale * ((u8[at] as number) - zeroPoint)
  return at
}

/**
 * Logits of one tile: `out[row * outStride + i] = dot(weight row i, hidden state of the row)`.
 *
 * The order of every sum is fixed and explained in assembly/dot.ts, the twin of this.
 *
 * @param views - Memory.
 * @param dtype - DTYPE_* of the layout.
 * @param address - Byte address of the tile's first weight row.
 * @param rowStride - Bytes between weight rows.
 * @param numRows - Weight rows.
 * @param hiddenStates - Byte address of the packed hidden states.
 * @param hiddenSize - Elements, a multiple of 4.
 * @param batchSize - Rows of the batch.
 * @param wide - Scratch for one widened weight row, [hiddenSize].
 * @param out - f32 index of the first logit.
 * @param outStride - Elements between the logits of two rows of the batch.
 */
export function multiplyTile(
  views: MemoryViews,
  dtype: number,
  address: number,
  rowStride: number,
  numRows: number,
  hiddenStates: number,
  hiddenSize: number,
  batchSize: number,
  wide: Float32Array,
  out: number,
  outStride: number,
): void {
  const { f32 } = views
  for (let i = 0; i < numRows; i++, address += rowStride) {
    const isWide = dtype === DTYPE_F32
    if (!isWide) widenRow(views, dtype, address, wide, hiddenSize)
    const weight = isWide ? f32 : wide
    const first = isWide ? address >> 2 : 0
    for (let row = 0; row < batchSize; row++) {
      f32[out + row * outStride + i] = dotF32(
        weight,
        first,
        hiddenSize,
        f32,
        hiddenStates >> 2,
        row,
        batchSize,
      )
    }
  }
}

function dotF32(
  w: Float32Array,
  wAt: number,
  hiddenSize: number,
  h: Float32Array,
  hAt: number,
  row: number,
  batchSize: number,
): number {
  const step = (row ^ 1) < batchSize ? 8 : 4
  let sum = 0
  for (let chunk = 0; chunk < hiddenSize; chunk += CHUNK_ELEMENTS) {
    const width = Math.min(CHUNK_ELEMENTS, hiddenSize - chunk)
    let at = hAt + chunk * batchSize + (row & ~1) * width + (row & 1) * 4
    let lane0 = 0
    let lane1 = 0
    let lane2 = 0
    let lane3 = 0
    for (let i = wAt + chunk; i < wAt + chunk + width; i += 4, at += step) {
      lane0 = fround(lane0 + fround((w[i] as number) * (h[at] as number)))
      lane1 = fround(lane1 + fround((w[i + 1] as number) * (h[at + 1] as number)))
      lane2 = fround(lane2 + fround((w[i + 2] as number) * (h[at + 2] as number)))
      lane3 = fround(lane3 + fround((w[i + 3] as number) * (h[at + 3] as number)))
    }
    sum = fround(sum + fround(fround(lane0 + lane2) + fround(lane1 + lane3)))
  }
  return sum
}
