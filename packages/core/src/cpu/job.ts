/**
 * Writes a pass into an engine's workspace and reads what the threads found.
 *
 * @module
 */
import type { NoiseScheme } from '../noise.ts'
import { type ExactAnswer, readIntervals, readLists } from './job-answers.ts'
import {
  align,
  extraBytes,
  initState,
  numLists,
  type RowTask,
  rowStateBytes,
  writeRow,
} from './job-rows.ts'
import * as layout from './layout.ts'
import { createViews } from './typescript/views.ts'

/** A vocabulary shard in an engine's memory. */
export interface LoadedShard {
  /** DTYPE_* of the layout. */
  dtype: number
  /** Byte address. */
  weight: number
  rowStride: number
  numRows: number
  vocabStart: number
}

/** Sizes that a job is laid out by. */
export interface JobShape {
  numThreads: number
  tileVocab: number
  /** Padded to a multiple of 4. */
  hiddenSize: number
  noiseScheme: NoiseScheme
}

/** Bytes of scratch that weight rows are staged in: a part of a second-level cache. */
const STAGE_BYTES = 32768

/** A staged weight as f32, and as stored: 16 bits at most. */
const STAGED_WEIGHT_BYTES = 6

/** Weight rows that are staged at a time, a multiple of 4. */
function stageRowsOf(hiddenSize: number): number {
  return Math.max(4, Math.min(64, Math.floor(STAGE_BYTES / (hiddenSize * 4)) & ~3))
}

/** Rows whose answer is an error: STATUS_* bits by row of the batch. */
export type RowStatuses = Map<number, number>

/** A pass in an engine's workspace. */
export class Job {
  /** Byte address of the job record. */
  address = 0
  /** Workspace bytes that the pass needs. */
  readonly workspaceBytes: number
  /** Tiles over all shards. */
  readonly numTiles: number
  readonly #tasks: readonly RowTask[]
  readonly #shards: readonly LoadedShard[]
  readonly #shape: JobShape
  readonly #stateOffsets: number[] = []
  readonly #statesStride: number
  readonly #scratchStride: number
  #states = 0

  /**
   * @param tasks - Rows of the pass, at least one.
   * @param shards - Shards of the engine, at least one.
   * @param shape - Sizes.
   */
  constructor(tasks: readonly RowTask[], shards: readonly LoadedShard[], shape: JobShape) {
    this.#tasks = tasks
    this.#shards = shards
    this.#shape = shape
    this.numTiles = shards.reduce(
      (sum, shard) => sum + Math.ceil(shard.numRows / shape.tileVocab),
      0,
    )
    let stateBytes = 0
    for (const { params, request } of tasks) {
      this.#stateOffsets.push(stateBytes)
      stateBytes += rowStateBytes(request, numLists(params))
    }
    this.#statesStride = align(stateBytes)
    const tileStride = (shape.tileVocab + 45) & ~15
    this.#scratchStride = align(
      (tasks.length + 1) * tileStride * 4 +
        stageRowsOf(shape.hiddenSize) * shape.hiddenSize * STAGED_WEIGHT_BYTES,
    )
    this.workspaceBytes = this.#layOut(0).end
  }

  /**
   * Writes the pass.
   *
   * @param buffer - Memory of the engine.
   * @param workspace - Byte address, a multiple of 64, with `workspaceBytes` behind it.
   * @param hiddenStates - `[batchSize, rowLength]` of the caller's batch.
   * @param rowLength - Elements of a row there.
   */
  write(
    buffer: ArrayBufferLike,
    workspace: number,
    hiddenStates: Float32Array,
    rowLength: number,
  ): void {
    const views = createViews(buffer)
    const { u32 } = views
    const at = this.#layOut(workspace)
    const { hiddenSize, tileVocab, noiseScheme, numThreads } = this.#shape
    this.address = at.job
    this.#states = at.states
    const job = at.job >> 2
    u32.fill(0, job, (at.job + layout.JOB_BYTES) >> 2)
    u32[job + layout.JOB_BATCH_SIZE / 4] = this.#tasks.length
    u32[job + layout.JOB_HIDDEN_SIZE / 4] = hiddenSize
    u32[job + layout.JOB_HIDDEN_STATES / 4] = at.hiddenStates
    u32[job + layout.JOB_ROWS / 4] = at.rows
    u32[job + layout.JOB_NUM_SHARDS / 4] = this.#shards.length
    u32[job + layout.JOB_SHARDS / 4] = at.shards
    u32[job + layout.JOB_NUM_TILES / 4] = this.numTiles
    u32[job + layout.JOB_TILE_VOCAB / 4] = tileVocab
    u32[job + layout.JOB_STATES / 4] = at.states
    u32[job + layout.JOB_STATES_STRIDE / 4] = this.#statesStride
    u32[job + layout.JOB_SCRATCH / 4] = at.scratch
    u32[job + layout.JOB_SCRATCH_STRIDE / 4] = this.#scratchStride
    u32[job + layout.JOB_NOISE_SCHEME / 4] = noiseScheme === 'flash' ? 0 : 1
    u32[job + layout.JOB_STAGE_ROWS / 4] = stageRowsOf(hiddenSize)
    this.#writeShards(u32, at.shards >> 2)
    packHiddenStates(
      views.f32,
      at.hiddenStates >> 2,
      this.#tasks,
      hiddenStates,
      rowLength,
      hiddenSize,
    )
    let extras = at.extras
    const places = new Map<object, number>()
    this.#tasks.forEach((task, i) => {
      const stateOffset = this.#stateOffsets[i] as number
      extras = writeRow(
        views,
        at.rows + i * layout.ROW_BYTES,
        task,
        stateOffset,
        noiseScheme,
        extras,
        places,
      )
      initState(views, at.states + stateOffset, task)
    })
    for (let thread = 1; thread < numThreads; thread++) {
      views.u8.copyWithin(
        at.states + thread * this.#statesStride,
        at.states,
        at.states + this.#statesStride,
      )
    }
  }

  /**
   * Folds what every thread found into answers.
   *
   * @param buffer - Memory of the engine.
   * @param answers - One per task; filled further, so that several engines can contribute.
   * @param statuses - Receives the rows that have no valid draw.
   */
  read(buffer: ArrayBufferLike, answers: readonly ExactAnswer[], statuses: RowStatuses): void {
    const views = createViews(buffer)
    this.#tasks.forEach((task, i) => {
      const answer = answers[i] as ExactAnswer
      for (let thread = 0; thread < this.#shape.numThreads; thread++) {
        const state = this.#states + thread * this.#statesStride + (this.#stateOffsets[i] as number)
        const status = views.u32[(state + layout.STATE_STATUS) >> 2] as number
        if (status !== 0) statuses.set(task.row, (statuses.get(task.row) ?? 0) | status)
        if (answer.kind === 'rank') readIntervals(views, state, answer)
        else readLists(views, state, answer, task.params.logprobsMode === 'raw')
      }
    })
  }

  #writeShards(u32: Uint32Array, at: number): void {
    let firstTile = 0
    this.#shards.forEach((shard, i) => {
      const record = at + (i * layout.SHARD_BYTES) / 4
      u32[record + layout.SHARD_DTYPE / 4] = shard.dtype
      u32[record + layout.SHARD_WEIGHT / 4] = shard.weight
      u32[record + layout.SHARD_ROW_STRIDE / 4] = shard.rowStride
      u32[record + layout.SHARD_NUM_ROWS / 4] = shard.numRows
      u32[record + layout.SHARD_VOCAB_START / 4] = shard.vocabStart
      u32[record + layout.SHARD_FIRST_TILE / 4] = firstTile
      firstTile += Math.ceil(shard.numRows / this.#shape.tileVocab)
    })
  }

  /** Addresses of the parts, in order; `extras` are keys, edits, masks and pivots of the rows. */
  #layOut(
    start: number,
  ): Record<
    'job' | 'shards' | 'rows' | 'hiddenStates' | 'states' | 'scratch' | 'extras' | 'end',
    number
  > {
    const { numThreads, hiddenSize } = this.#shape
    const job = start
    const shards = align(job + layout.JOB_BYTES)
    const rows = align(shards + this.#shards.length * layout.SHARD_BYTES)
    const hiddenStates = align(rows + this.#tasks.length * layout.ROW_BYTES)
    const states = align(hiddenStates + this.#tasks.length * hiddenSize * 4)
    const scratch = states + numThreads * this.#statesStride
    const extras = scratch + numThreads * this.#scratchStride
    const seen = new Set<unknown>()
    const end = this.#tasks.reduce((sum, task) => sum + extraBytes(task, seen), extras)
    return { job, shards, rows, hiddenStates, states, scratch, extras, end }
  }
}

/**
 * Packs the rows of a pass so that one pointer walks them: chunk by chunk; in a chunk pairs of rows, of these four
 * elements in turn; an odd last row stands alone. Padding is zero.
 */
function packHiddenStates(
  f32: Float32Array,
  at: number,
  tasks: readonly RowTask[],
  hiddenStates: Float32Array,
  rowLength: number,
  hiddenSize: number,
): void {
  for (let chunk = 0; chunk < hiddenSize; chunk += layout.CHUNK_ELEMENTS) {
    const end = Math.min(chunk + layout.CHUNK_ELEMENTS, hiddenSize)
    for (let first = 0; first < tasks.length; first += 2) {
      const pair = tasks.slice(first, first + 2)
      for (let i = chunk; i < end; i += 4) {
        for (const { row } of pair) {
          for (let lane = i; lane < i + 4; lane++) {
            f32[at++] = lane < rowLength ? (hiddenStates[row * rowLength + lane] as number) : 0
          }
        }
      }
    }
  }
}
