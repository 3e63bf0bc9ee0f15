/**
 * Rows of quantised heads in GPU layout.
 *
 * @module
 */
import { type CheckedShard, f16ToNumber, STORAGE_FORMATS } from '@flashsampling/core'
import { CHUNK_BYTES, type StorageLayout } from '../storage.ts'
import type { ConvertedRows } from '../weight-format.ts'

/**
 * Takes the quants, scales and offsets of rows apart.
 *
 * @param shard - Checked by core.
 * @param layout - Its layout on the GPU.
 * @param bytes - The caller's bytes of the rows.
 * @param firstRow - First row, counted from the start of the shard.
 * @param numRows - Rows.
 * @returns The bytes of the rows; views of the caller's memory where nothing has to change.
 */
export function quantisedRows(
  shard: CheckedShard,
  layout: StorageLayout,
  bytes: Uint8Array,
  firstRow: number,
  numRows: number,
): ConvertedRows {
  const rows = shard.dtype.startsWith('nbits')
    ? nbitsRows(shard, layout, bytes, firstRow, numRows)
    : ggufRows(shard, layout, bytes, numRows)
  const isNarrow = (rows.scales as Uint8Array).byteLength === numRows * layout.numBlocks * 2
  if (!isNarrow || layout.scaleBytes === 2) return rows
  return {
    weight: rows.weight,
    scales: widenHalves(rows.scales),
    offsets: layout.offset === 'float' ? widenHalves(rows.offsets) : rows.offsets,
  }
}

function nbitsRows(
  { quantization }: CheckedShard,
  layout: StorageLayout,
  weight: Uint8Array,
  firstRow: number,
  numRows: number,
): ConvertedRows {
  const { scales, zeroPoints } = quantization as NonNullable<CheckedShard['quantization']>
  const rowScales = scales.subarray(
    firstRow * layout.numBlocks,
    (firstRow + numRows) * layout.numBlocks,
  )
  const { offsetRowBytes } = layout
  return {
    weight,
    scales: new Uint8Array(rowScales.buffer, rowScales.byteOffset, rowScales.byteLength),
    offsets:
      zeroPoints instanceof Uint8Array
        ? zeroPoints.subarray(firstRow * offsetRowBytes, (firstRow + numRows) * offsetRowBytes)
        : null,
  }
}

function ggufRows(
  { dtype }: CheckedShard,
  layout: StorageLayout,
  bytes: Uint8Array,
  numRows: number,
): ConvertedRows {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const weight = new Uint8Array(numRows * layout.rowBytes)
  const numBlocks = numRows * layout.numBlocks
  const scales = new Uint8Array(numBlocks * (dtype === 'q6_k' ? 4 : 2))
  const offsets = layout.offset === 'float' ? new Uint8Array(numBlocks * 2) : null
  const { blockBytes, blockWeights } = STORAGE_FORMATS[dtype]
  const outBytes = (blockWeights / 8) * CHUNK_BYTES[layout.chunk]
  const scaleView = new DataView(scales.buffer)
  for (let block = 0; block * blockBytes < bytes.byteLength; block++) {
    const at = block * blockBytes
    const out = weight.subarray(block * outBytes, (block + 1) * outBytes)
    if (dtype === 'q6_k') {
      takeQ6k(bytes, view, at, out, scaleView, block * 16)
      continue
    }
    scales.set(bytes.subarray(at, at + 2), block * 2)
    if (dtype === 'q8_0') {
      // Signed bytes as unsigned ones about 128.
      for (let i = 0; i < 32; i++) out[i] = (bytes[at + 2 + i] as number) ^ 0x80
      continue
    }
    if (offsets !== null) offsets.set(bytes.subarray(at + 2, at + 4), block * 2)
    takeNibbles(bytes.subarray(at + blockBytes - 16, at + blockBytes), out)
  }
  return { weight, scales, offsets }
}

function widenHalves(bytes: Uint8Array | null): Uint8Array | null {
  if (bytes === null) return null
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2)
  return new Uint8Array(Float32Array.from(halves, f16ToNumber).buffer)
}

/** GGUF keeps element i in the low nibble of byte i and element i + 16 in its high one; on the GPU they are in order. */
function takeNibbles(quants: Uint8Array, out: Uint8Array): void {
  for (let i = 0; i < 8; i++) {
    const even = quants[2 * i] as number
    const odd = quants[2 * i + 1] as number
    out[i] = (even & 15) | ((odd & 15) << 4)
    out[i + 8] = (even >> 4) | (odd & 0xf0)
  }
}

function takeQ6k(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  out: Uint8Array,
  scales: DataView,
  firstScale: number,
): void {
  const d = f16ToNumber(view.getUint16(at + 208, true))
  for (let i = 0; i < 16; i++) {
    scales.setFloat32((firstScale + i) * 4, d * view.getInt8(at + 192 + i), true)
  }
  for (let half = 0; half < 2; half++) {
    for (let i = 0; i < 32; i++) {
      const a = bytes[at + half * 64 + i] as number
      const b = bytes[at + half * 64 + 32 + i] as number
      const c = bytes[at + 128 + half * 32 + i] as number
      const first = half * 128 + i
      out[first] = (a & 15) | ((c & 3) << 4)
      out[first + 32] = (b & 15) | (((c >> 2) & 3) << 4)
      out[first + 64] = (a >> 4) | (((c >> 4) & 3) << 4)
      out[first + 96] = (b >> 4) | ((c >> 6) << 4)
    }
  }
}
