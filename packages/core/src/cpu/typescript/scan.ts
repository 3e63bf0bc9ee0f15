/**
 * The kernels in plain TypeScript: the fallback where there is no WebAssembly SIMD, and the readable twin of
 * `assembly/`. Same memory layout, same operations in the same order, same bits.
 */
import * as layout from '../layout.ts'
import { foldTile, type TileRow } from './epilogue.ts'
import { createViews, type MemoryViews } from './views.ts'
import { multiplyTile } from './weights.ts'

/**
 * Makes the scan function over one memory.
 *
 * @param memory - Holder of the buffer; the buffer may be replaced by a larger one between calls.
 * @returns `scan(job, thread)`: takes tiles until none is left and folds them into the thread's row states.
 */
export function createTypeScriptKernels(memory: {
  readonly buffer: ArrayBufferLike
}): (job: number, thread: number) => void {
  let views = createViews(memory.buffer)
  let wide = new Float32Array(0)
  return (job, thread) => {
    if (views.u8.buffer !== memory.buffer) views = createViews(memory.buffer)
    const hiddenSize = views.u32[(job + layout.JOB_HIDDEN_SIZE) >> 2] as number
    if (wide.length < hiddenSize) wide = new Float32Array(hiddenSize)
    scan(views, job, thread, wide)
  }
}

function scan(views: MemoryViews, job: number, thread: number, wide: Float32Array): void {
  const { f32, i32, u32 } = views
  const field = (offset: number): number => u32[(job + offset) >> 2] as number
  const batchSize = field(layout.JOB_BATCH_SIZE)
  const hiddenSize = field(layout.JOB_HIDDEN_SIZE)
  const rows = field(layout.JOB_ROWS)
  const tileVocab = field(layout.JOB_TILE_VOCAB)
  const scheme = field(layout.JOB_NOISE_SCHEME)
  const states = field(layout.JOB_STATES) + thread * field(layout.JOB_STATES_STRIDE)
  const scratch = (field(layout.JOB_SCRATCH) + thread * field(layout.JOB_SCRATCH_STRIDE)) >> 2
  const numTiles = field(layout.JOB_NUM_TILES)
  // Room for one tile plus what alignment to groups of 16 adds on both sides.
  const stride = (tileVocab + 45) & ~15
  let shard = field(layout.JOB_SHARDS)
  const lastShard = shard + (field(layout.JOB_NUM_SHARDS) - 1) * layout.SHARD_BYTES
  const counter = layout.CONTROL_NEXT_TILE >> 2
  for (;;) {
    const tileIdx = i32[counter] as number
    if (tileIdx >= numTiles) return
    i32[counter] = tileIdx + 1
    while (
      shard < lastShard &&
      tileIdx >= (u32[(shard + layout.SHARD_BYTES + layout.SHARD_FIRST_TILE) >> 2] as number)
    ) {
      shard += layout.SHARD_BYTES
    }
    const firstTile = u32[(shard + layout.SHARD_FIRST_TILE) >> 2] as number
    const numShardRows = u32[(shard + layout.SHARD_NUM_ROWS) >> 2] as number
    const rowStride = u32[(shard + layout.SHARD_ROW_STRIDE) >> 2] as number
    const firstRow = (tileIdx - firstTile) * tileVocab
    const numRows = Math.min(tileVocab, numShardRows - firstRow)
    const start = (u32[(shard + layout.SHARD_VOCAB_START) >> 2] as number) + firstRow
    const firstTokenId = start & ~15
    const lead = start - firstTokenId
    const length = (lead + numRows + 15) & ~15
    multiplyTile(
      views,
      u32[(shard + layout.SHARD_DTYPE) >> 2] as number,
      (u32[(shard + layout.SHARD_WEIGHT) >> 2] as number) + firstRow * rowStride,
      rowStride,
      numRows,
      field(layout.JOB_HIDDEN_STATES),
      hiddenSize,
      batchSize,
      wide,
      scratch + lead,
      stride,
    )
    const tile: TileRow = {
      at: 0,
      rawAt: scratch + batchSize * stride,
      firstTokenId,
      length,
      start,
      end: start + numRows,
    }
    for (let row = 0; row < batchSize; row++) {
      tile.at = scratch + row * stride
      f32.fill(-Infinity, tile.at, tile.at + lead)
      f32.fill(-Infinity, tile.at + lead + numRows, tile.at + length)
      const record = rows + row * layout.ROW_BYTES
      const state = states + (u32[(record + layout.ROW_STATE_OFFSET) >> 2] as number)
      foldTile(views, record, state, scheme, tile)
    }
  }
}
