// The WebAssembly kernels: fused sampling over tiles of the vocabulary. Entry points only; see src/cpu/layout.ts for
// the memory and src/cpu/typescript/ for the readable twin of every function.
import {
  CONTROL_NEXT_TILE,
  DTYPE_F32,
  DTYPE_Q8_0,
  JOB_BATCH_SIZE,
  JOB_HIDDEN_SIZE,
  JOB_HIDDEN_STATES,
  JOB_NOISE_SCHEME,
  JOB_NUM_SHARDS,
  JOB_NUM_TILES,
  JOB_ROWS,
  JOB_SCRATCH,
  JOB_SCRATCH_STRIDE,
  JOB_SHARDS,
  JOB_STAGE_ROWS,
  JOB_STATES,
  JOB_STATES_STRIDE,
  JOB_TILE_VOCAB,
  ROW_BYTES,
  ROW_STATE_OFFSET,
  SHARD_BYTES,
  SHARD_DTYPE,
  SHARD_FIRST_TILE,
  SHARD_NUM_ROWS,
  SHARD_ROW_STRIDE,
  SHARD_VOCAB_START,
  SHARD_WEIGHT,
} from '../src/cpu/layout'
import { dotBlock, dotStream } from './dot'
import { dotWidened } from './dot-widened'
import { foldTile } from './epilogue'
import { gumbel4 } from './math'
import { widenRow } from './widen'

// @ts-ignore: decorator
@inline
function field(job: usize, offset: i32): u32 {
  return load<u32>(job + offset)
}

/** Takes tiles until none is left and folds them into the thread's row states. */
export function scan(job: usize, thread: u32): void {
  const batchSize = field(job, JOB_BATCH_SIZE)
  const hiddenSize = field(job, JOB_HIDDEN_SIZE)
  const hiddenStates: usize = field(job, JOB_HIDDEN_STATES)
  const rows: usize = field(job, JOB_ROWS)
  const tileVocab = field(job, JOB_TILE_VOCAB)
  const scheme = field(job, JOB_NOISE_SCHEME)
  const numTiles = field(job, JOB_NUM_TILES)
  const states: usize = field(job, JOB_STATES) + thread * field(job, JOB_STATES_STRIDE)
  const scratch: usize = field(job, JOB_SCRATCH) + thread * field(job, JOB_SCRATCH_STRIDE)
  const stride = <usize>((tileVocab + 45) & ~15) << 2
  const raw = scratch + batchSize * stride
  const stage = raw + stride
  const stageRows = field(job, JOB_STAGE_ROWS)
  let shard: usize = field(job, JOB_SHARDS)
  const lastShard = shard + (field(job, JOB_NUM_SHARDS) - 1) * SHARD_BYTES
  while (true) {
    const tileIdx = atomic.add<u32>(CONTROL_NEXT_TILE, 1)
    if (tileIdx >= numTiles) return
    while (shard < lastShard && tileIdx >= load<u32>(shard + SHARD_BYTES + SHARD_FIRST_TILE)) {
      shard += SHARD_BYTES
    }
    const rowStride: usize = load<u32>(shard + SHARD_ROW_STRIDE)
    const firstRow = (tileIdx - load<u32>(shard + SHARD_FIRST_TILE)) * tileVocab
    const numRows = min(tileVocab, load<u32>(shard + SHARD_NUM_ROWS) - firstRow)
    const start = load<u32>(shard + SHARD_VOCAB_START) + firstRow
    const firstTokenId = start & ~15
    const lead = start - firstTokenId
    const length = (lead + numRows + 15) & ~15
    multiplyTile(
      load<u32>(shard + SHARD_DTYPE),
      load<u32>(shard + SHARD_WEIGHT) + firstRow * rowStride,
      rowStride,
      numRows,
      hiddenStates,
      hiddenSize,
      batchSize,
      stage,
      stageRows,
      scratch + (<usize>lead << 2),
      stride,
    )
    for (let row: u32 = 0; row < batchSize; row++) {
      const at = scratch + row * stride
      pad(at, at + (<usize>lead << 2))
      pad(at + (<usize>(lead + numRows) << 2), at + (<usize>length << 2))
      const record = rows + row * ROW_BYTES
      const state = states + load<u32>(record + ROW_STATE_OFFSET)
      // The tile's staged weights are done with, so their room serves as scratch.
      foldTile(record, state, scheme, at, raw, stage, firstTokenId, length, start, start + numRows)
    }
  }
}

// @ts-ignore: decorator
@inline
function pad(at: usize, end: usize): void {
  for (; at < end; at += 4) store<f32>(at, f32.NEGATIVE_INFINITY)
}

function multiplyTile(
  dtype: u32,
  weight: usize,
  rowStride: usize,
  numRows: u32,
  hiddenStates: usize,
  hiddenSize: u32,
  batchSize: u32,
  stage: usize,
  stageRows: u32,
  out: usize,
  outStride: usize,
): void {
  const bytes = <usize>hiddenSize << 2
  if (dtype == DTYPE_F32 && batchSize == 1) {
    dotStream(weight, rowStride, numRows, hiddenStates, bytes, out)
    return
  }
  if (batchSize == 1 && dtype <= <u32>DTYPE_Q8_0) {
    dotWidened(dtype, weight, rowStride, numRows, hiddenStates, bytes, out)
    return
  }
  // A bulk copy reads memory at full rate, which loops that also compute do not (docs/findings/memory-latency.md).
  const raw = stage + stageRows * bytes
  for (let first: u32 = 0; first < numRows; first += stageRows) {
    const count = min(stageRows, numRows - first)
    const source = weight + first * rowStride
    if (dtype == DTYPE_F32) {
      memory.copy(stage, source, count * bytes)
    } else {
      memory.copy(raw, source, count * rowStride)
      for (let i: u32 = 0; i < count; i++) {
        widenRow(dtype, raw + i * rowStride, stage + i * bytes, hiddenSize)
      }
    }
    dotBlock(stage, bytes, count, hiddenStates, batchSize, out + (<usize>first << 2), outStride)
  }
}

/** Fills f32 noise of the bits [firstBits, firstBits + count), count a multiple of 4. */
export function fillNoise(out: usize, firstBits: u32, count: u32, scheme: u32): void {
  let bits = i32x4.add(i32x4.splat(firstBits), i32x4(0, 1, 2, 3))
  for (let i: u32 = 0; i < count; i += 4) {
    v128.store(out + (<usize>i << 2), gumbel4(bits, scheme))
    bits = i32x4.add(bits, i32x4.splat(4))
  }
}
