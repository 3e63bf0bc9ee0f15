/**
 * How each storage format of a head lies in GPU memory.
 *
 * On the GPU a row is a whole number of chunks of eight elements. Quants, scales and offsets lie in buffers of their
 * own, so that every load is aligned; the blocks of GGUF files, whose scales stand between the quants, are taken apart.
 *
 * @module
 */
import type { CheckedShard } from '@flashsampling/core'

/** Bits of a stored weight: which shader reads it. */
export type ChunkFormat = 'f32' | 'f16' | 'bf16' | 'int8' | 'int4'

/** What is subtracted from a quant: one constant, packed zero points, or an offset in units of the weight. */
export type OffsetFormat = 'constant' | 'packed' | 'float'

/** Layout of one piece of a head in GPU memory. */
export interface StorageLayout {
  chunk: ChunkFormat
  /** Chunks of eight elements that a row is multiplied over. */
  numChunks: number
  /** Bytes of a row in the weight buffer. */
  rowBytes: number
  /** Elements that share a scale; 8 for dense formats. */
  blockSize: number
  /** Blocks of a row; 0 for dense formats. */
  numBlocks: number
  scaleBytes: 0 | 2 | 4
  offset: OffsetFormat
  /** What is subtracted under `constant`. */
  zeroPoint: number
  /** Bytes of a row in the buffer of zero points or offsets. */
  offsetRowBytes: number
}

/** Bytes of a chunk of eight elements. */
export const CHUNK_BYTES: Record<ChunkFormat, number> = {
  f32: 32,
  f16: 16,
  bf16: 16,
  int8: 8,
  int4: 4,
}

/**
 * Chunks that a thread loads at once: two of quants, as a block of them is 16 or more, and they share the load of its scale.
 *
 * @param layout - Layout of the weights.
 * @returns Chunks; rows of quants are whole loads.
 */
export function chunksPerLoad({ numBlocks }: StorageLayout): number {
  return numBlocks > 0 ? 2 : 1
}

/**
 * Layout of a shard on the GPU.
 *
 * @param shard - Checked by core.
 * @param wideScales - Whether scales and offsets of 16 bits take 32 there.
 * @returns The layout of all of its rows.
 */
export function storageLayout(shard: CheckedShard, wideScales = false): StorageLayout {
  const layout = narrowLayout(shard)
  if (!wideScales || layout.scaleBytes !== 2) return layout
  const factor = layout.offset === 'float' ? 2 : 1
  return { ...layout, scaleBytes: 4, offsetRowBytes: layout.offsetRowBytes * factor }
}

function narrowLayout(shard: CheckedShard): StorageLayout {
  const { dtype, hiddenSize, quantization } = shard
  const numChunks = Math.ceil(hiddenSize / 8)
  const dense = (chunk: ChunkFormat): StorageLayout => ({
    ...{ chunk, numChunks, rowBytes: numChunks * CHUNK_BYTES[chunk], blockSize: 8, numBlocks: 0 },
    ...{ scaleBytes: 0, offset: 'constant', zeroPoint: 0, offsetRowBytes: 0 },
  })
  const blocks = (
    chunk: 'int8' | 'int4',
    blockSize: number,
    scaleBytes: 2 | 4,
    zeroPoint: number,
  ): StorageLayout => {
    const numBlocks = Math.ceil(hiddenSize / blockSize)
    const rowBytes = ((numBlocks * blockSize) / 8) * CHUNK_BYTES[chunk]
    const layout = { chunk, numChunks, rowBytes, blockSize, numBlocks, scaleBytes, zeroPoint }
    return { ...layout, offset: 'constant', offsetRowBytes: 0 }
  }
  switch (dtype) {
    case 'f32':
    case 'f16':
    case 'bf16':
      return dense(dtype)
    case 'q8_0':
      return blocks('int8', 32, 2, 128)
    case 'q4_0':
      return blocks('int4', 32, 2, 8)
    case 'q4_1': {
      const layout = blocks('int4', 32, 2, 0)
      return { ...layout, offset: 'float', offsetRowBytes: layout.numBlocks * 2 }
    }
    case 'q6_k':
      // Sixteen quants share d * scale, which fp32 holds exactly and fp16 does not.
      return blocks('int8', 16, 4, 32)
    case 'nbits4':
    case 'nbits8': {
      const { blockSize = 16, scales, zeroPoints } = quantization ?? {}
      const bits = dtype === 'nbits4' ? 4 : 8
      const zeroPoint = typeof zeroPoints === 'number' ? zeroPoints : 2 ** (bits - 1)
      const scaleBytes = scales instanceof Float32Array ? 4 : 2
      const layout = blocks(bits === 4 ? 'int4' : 'int8', blockSize, scaleBytes, zeroPoint)
      if (!(zeroPoints instanceof Uint8Array)) return layout
      return {
        ...layout,
        offset: 'packed',
        offsetRowBytes: Math.ceil((layout.numBlocks * bits) / 8),
      }
    }
  }
}
