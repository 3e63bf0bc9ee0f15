/**
 * What depends on how weights are stored: the conversion of a caller's rows, and the shader that reads them. That of
 * quantised heads is loaded where it is wanted.
 *
 * @module
 */
import { type CheckedShard, STORAGE_FORMATS } from '@flashsampling/core'
import { ModuleLoadError } from './errors.ts'
import { CHUNKS_BF16, CHUNKS_F16, CHUNKS_F32 } from './shaders.generated.ts'
import type { StorageLayout } from './storage.ts'

/** Rows in GPU layout. */
export interface ConvertedRows {
  weight: Uint8Array
  scales: Uint8Array | null
  offsets: Uint8Array | null
}

/** How weights of one storage come to the GPU and are read there. */
export interface WeightFormat {
  /** The file that gives `widen()` to the product, behind its includes. */
  chunkSources: readonly string[]
  /**
   * Converts rows of a shard whose data is in memory.
   *
   * @param shard - Checked by core.
   * @param layout - Its layout on the GPU.
   * @param bytes - The caller's bytes of the rows.
   * @param firstRow - First row, counted from the start of the shard.
   * @param numRows - Rows.
   * @returns The bytes of the rows; views of the caller's memory where nothing has to change.
   */
  convertRows(
    shard: CheckedShard,
    layout: StorageLayout,
    bytes: Uint8Array,
    firstRow: number,
    numRows: number,
  ): ConvertedRows
}

/**
 * What reads weights of a layout.
 *
 * @param layout - Layout of the weights.
 * @returns Their format.
 * @throws {ModuleLoadError} when the file for quantised heads does not load; a later call may.
 */
export async function loadWeightFormat({ chunk }: StorageLayout): Promise<WeightFormat> {
  if (chunk === 'int8' || chunk === 'int4') {
    const { int4Format, int8Format } = await import('./quantised/index.ts').catch(
      (cause: unknown) => {
        throw new ModuleLoadError('quantised heads', { cause })
      },
    )
    return chunk === 'int8' ? int8Format : int4Format
  }
  const chunkSources = { f32: CHUNKS_F32, f16: CHUNKS_F16, bf16: CHUNKS_BF16 }[chunk]
  return { chunkSources, convertRows: denseRows }
}

/** Pads rows to whole chunks. */
function denseRows(
  { dtype, hiddenSize }: CheckedShard,
  layout: StorageLayout,
  bytes: Uint8Array,
  _firstRow: number,
  numRows: number,
): ConvertedRows {
  const sourceRowBytes = hiddenSize * STORAGE_FORMATS[dtype].blockBytes
  let weight = bytes
  if (sourceRowBytes !== layout.rowBytes) {
    weight = new Uint8Array(numRows * layout.rowBytes)
    for (let row = 0; row < numRows; row++) {
      const at = row * sourceRowBytes
      weight.set(bytes.subarray(at, at + sourceRowBytes), row * layout.rowBytes)
    }
  }
  return { weight, scales: null, offsets: null }
}
