/**
 * Rows of `nbits4` and `nbits8` heads as the kernels read them: before the quants of each block its scale (f32) and its
 * zero point (i32), so that a row is one stretch of memory; a last block that is cut short takes no more than it needs.
 *
 * @module
 */
import { forEachNBitsBlock, nbitsLayout } from '../nbits.ts'
import type { LmHeadShard, NBitsFormat, QuantizationBlocks } from '../types.ts'
import { DTYPE_BLOCK_SHIFT, DTYPE_NBITS4, DTYPE_NBITS8, NBITS_HEADER_BYTES } from './layout.ts'

/** DTYPE_* of the layout with the block size in its upper bits. */
export function nbitsCode(shard: LmHeadShard): number {
  const { blockSize } = shard.quantization as QuantizationBlocks
  const code = shard.dtype === 'nbits4' ? DTYPE_NBITS4 : DTYPE_NBITS8
  return code | (blockSize << DTYPE_BLOCK_SHIFT)
}

/** Bytes of a row in the kernels' memory; a multiple of 8, as `hiddenSize` is one of 16. */
export function loadedNBitsRowBytes(
  shard: Pick<LmHeadShard, 'dtype' | 'hiddenSize' | 'quantization'>,
): number {
  const { blockSize } = shard.quantization as QuantizationBlocks
  const { bits, numBlocks } = nbitsLayout(shard.dtype as NBitsFormat, shard.hiddenSize, blockSize)
  return numBlocks * NBITS_HEADER_BYTES + (shard.hiddenSize * bits) / 8
}

/**
 * Writes rows of a head into the kernels' memory.
 *
 * @param shard - Head with data in memory.
 * @param firstRow - First row to write.
 * @param numRows - Rows.
 * @param buffer - Memory of the engine.
 * @param address - Byte address of the first row there, a multiple of 8.
 */
export function packNBitsRows(
  shard: LmHeadShard,
  firstRow: number,
  numRows: number,
  buffer: ArrayBufferLike,
  address: number,
): void {
  const data = shard.data as Uint8Array
  const { blockSize } = shard.quantization as QuantizationBlocks
  const { bits } = nbitsLayout(shard.dtype as NBitsFormat, shard.hiddenSize, blockSize)
  const bytes = new Uint8Array(buffer)
  const view = new DataView(buffer)
  for (let row = firstRow; row < firstRow + numRows; row++) {
    forEachNBitsBlock(shard, row, ({ scale, zeroPoint, byteOffset }, block) => {
      const width = Math.min(blockSize, shard.hiddenSize - block * blockSize)
      const blockBytes = (width * bits) / 8
      view.setFloat32(address, scale, true)
      view.setInt32(address + 4, zeroPoint, true)
      bytes.set(data.subarray(byteOffset, byteOffset + blockBytes), address + NBITS_HEADER_BYTES)
      address += NBITS_HEADER_BYTES + blockBytes
    })
  }
}
