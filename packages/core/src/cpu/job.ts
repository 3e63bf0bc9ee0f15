/**
 * Writes a pass into an engine's workspace and reads what the threads found.
 *
 * @module
 */
import { deriveRowKey, type NoiseScheme } from '../noise.ts'
import type { RowParams } from '../params.ts'
import * as layout from './layout.ts'
import { ExactMass } from './exact-mass.ts'
import type {
  ListEntry,
  PassRequest,
  RankAnswer,
  RankRequest,
  SampleAnswer,
  SampleRequest,
} from './passes.ts'
import { createViews, type MemoryViews } from './typescript/views.ts'

/** One row's part of a pass. */
export interface RowTask {
  /** Row of the caller's batch. */
  row: number
  params: RowParams
  request: PassRequest
}

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
      (tasks.length + 1) * tileStride * 4 + stageRowsOf(shape.hiddenSize) * shape.hiddenSize * STAGED_WEIGHT_BYTES,
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
    packHiddenStates(views.f32, at.hiddenStates >> 2, this.#tasks, hiddenStates, rowLength, hiddenSize)
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
  read(
    buffer: ArrayBufferLike,
    answers: readonly (SampleAnswer | RankAnswer)[],
    statuses: RowStatuses,
  ): void {
    const views = createViews(buffer)
    this.#tasks.forEach((task, i) => {
      const answer = answers[i] as SampleAnswer | RankAnswer
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

function align(bytes: number): number {
  return Math.ceil(bytes / 64) * 64
}

/** Score lists of a row: a greedy row has one, whatever its number of draws. */
function numLists(params: RowParams): number {
  return params.temperature === 0 ? 1 : params.numSamples
}

function listBytes(capacity: number): number {
  return layout.LIST_ENTRIES + capacity * layout.ENTRY_BYTES
}

function rowStateBytes(request: PassRequest, draws: number): number {
  if (request.kind === 'rank') {
    return align(layout.STATE_LISTS + (request.pivots.length + 1) * layout.INTERVAL_BYTES)
  }
  const scores = request.scoreCapacity === 0 ? 0 : draws * listBytes(request.scoreCapacity)
  return align(
    layout.STATE_LISTS +
      listBytes(request.topCapacity) +
      listBytes(request.rawTopCapacity) +
      scores,
  )
}

/** Bytes of keys, pivots, edits and mask; rows that share a parameter object share its edits and mask. */
function extraBytes({ params, request }: RowTask, seen: Set<unknown>): number {
  let bytes = align(numLists(params) * 8)
  if (request.kind === 'rank') bytes += align(request.pivots.length * 8)
  for (const part of [params.edits, params.allowedMask]) {
    if (part === null || seen.has(part)) continue
    seen.add(part)
    bytes += align(part.length * (part === params.edits ? layout.EDIT_BYTES : 4))
  }
  return bytes
}

function writeRow(
  views: MemoryViews,
  record: number,
  { params, request }: RowTask,
  stateOffset: number,
  scheme: NoiseScheme,
  extras: number,
  places: Map<object, number>,
): number {
  const { f32, u32 } = views
  const at = record >> 2
  const isGreedy = params.temperature === 0
  let flags = isGreedy ? layout.FLAG_GREEDY : 0
  u32.fill(0, at, at + layout.ROW_BYTES / 4)
  // Below 2^-60 the division could overflow; logits that differ are as far apart as noise can tell long before.
  f32[at + layout.ROW_TEMPERATURE / 4] = isGreedy ? 1 : Math.max(params.temperature, 2 ** -60)
  f32[at + layout.ROW_REPETITION_PENALTY / 4] = params.repetitionPenalty
  u32[at + layout.ROW_STATE_OFFSET / 4] = stateOffset
  if (request.kind === 'rank') {
    flags |= layout.FLAG_RANK
    u32[at + layout.ROW_PIVOTS / 4] = extras
    u32[at + layout.ROW_NUM_PIVOTS / 4] = request.pivots.length
    request.pivots.forEach((pivot, i) => {
      f32[(extras >> 2) + i * 2] = pivot.logit
      u32[(extras >> 2) + i * 2 + 1] = pivot.tokenId
    })
    extras += align(request.pivots.length * 8)
  } else {
    if (params.logprobsMode === 'raw') flags |= layout.FLAG_RAW
    if (request.boundary !== null) {
      flags |= layout.FLAG_RESTRICT
      f32[at + layout.ROW_BOUNDARY_LOGIT / 4] = request.boundary.logit
      u32[at + layout.ROW_BOUNDARY_TOKEN_ID / 4] = request.boundary.tokenId
    }
    if (request.scoreCapacity > 0) {
      const draws = numLists(params)
      u32[at + layout.ROW_NUM_DRAWS / 4] = draws
      u32[at + layout.ROW_DRAW_KEYS / 4] = extras
      for (let draw = 0; draw < draws && !isGreedy; draw++) {
        const key = deriveRowKey({ ...params, drawIndex: params.drawIndex + draw }, 0, scheme)
        u32.set(key, (extras >> 2) + draw * 2)
      }
    }
  }
  extras += align(numLists(params) * 8)
  u32[at + layout.ROW_FLAGS / 4] = flags
  const share = (part: object, bytes: number, fill: (word: number) => void): number => {
    const known = places.get(part)
    if (known !== undefined) return known
    const place = extras
    fill(place >> 2)
    places.set(part, place)
    extras += align(bytes)
    return place
  }
  if (params.edits.length > 0) {
    u32[at + layout.ROW_NUM_EDITS / 4] = params.edits.length
    u32[at + layout.ROW_EDITS / 4] = share(
      params.edits,
      params.edits.length * layout.EDIT_BYTES,
      (word) => {
        for (const edit of params.edits) {
          u32[word++] = edit.tokenId
          f32[word++] = edit.bias
          u32[word++] = edit.repeated ? 1 : 0
          f32[word++] = edit.penalty
        }
      },
    )
  }
  const mask = params.allowedMask
  if (mask !== null) {
    u32[at + layout.ROW_MASK / 4] = share(mask, mask.byteLength, (word) =>
      views.i32.set(mask, word),
    )
  }
  return extras
}

/** Zeroes a state and writes the capacities of its lists. */
function initState(views: MemoryViews, state: number, { params, request }: RowTask): void {
  const { f32, i32, u32 } = views
  const bytes = rowStateBytes(request, numLists(params))
  u32.fill(0, state >> 2, (state + bytes) >> 2)
  f32[(state + layout.STATE_MAX) >> 2] = -Infinity
  i32[(state + layout.STATE_MASS + layout.MASS_TOP) >> 2] = layout.MASS_EMPTY_TOP
  i32[(state + layout.STATE_RAW_MASS + layout.MASS_TOP) >> 2] = layout.MASS_EMPTY_TOP
  if (request.kind === 'rank') {
    for (let i = 0; i <= request.pivots.length; i++) {
      const interval = state + layout.STATE_LISTS + i * layout.INTERVAL_BYTES
      i32[(interval + layout.INTERVAL_MASS + layout.MASS_TOP) >> 2] = layout.MASS_EMPTY_TOP
    }
    return
  }
  let list = state + layout.STATE_LISTS
  for (const capacity of listCapacities(params, request)) {
    u32[(list + layout.LIST_CAPACITY) >> 2] = capacity
    list += listBytes(capacity)
  }
}

/** Capacities of a row's lists in the order of memory. */
function listCapacities(params: RowParams, request: SampleRequest): number[] {
  const capacities = [request.topCapacity]
  if (params.logprobsMode === 'raw') capacities.push(request.rawTopCapacity)
  if (request.scoreCapacity > 0) {
    for (let draw = 0; draw < numLists(params); draw++) capacities.push(request.scoreCapacity)
  }
  return capacities
}

/**
 * Makes the empty answer to a task's request.
 *
 * @param task - One row's part of a pass.
 * @returns An answer for {@link Job.read} to fill.
 */
export function emptyAnswer(task: RowTask): SampleAnswer | RankAnswer {
  if (task.request.kind === 'rank') return emptyRankAnswer(task.request)
  const draws = task.request.scoreCapacity === 0 ? 0 : numLists(task.params)
  return {
    kind: 'sample',
    max: -Infinity,
    mass: new ExactMass(),
    rawMass: new ExactMass(),
    top: [],
    rawTop: [],
    scores: Array.from({ length: draws }, () => []),
  }
}

function emptyRankAnswer(request: RankRequest): RankAnswer {
  return {
    kind: 'rank',
    intervals: Array.from({ length: request.pivots.length + 1 }, () => ({
      count: 0,
      mass: new ExactMass(),
    })),
  }
}

function readMass(views: MemoryViews, address: number, into: ExactMass): void {
  const bins = (address + layout.MASS_BINS) >> 3
  const top = views.i32[(address + layout.MASS_TOP) >> 2] as number
  into.merge(top, views.i64.subarray(bins, bins + layout.MASS_NUM_BINS))
}

function readIntervals(views: MemoryViews, state: number, answer: RankAnswer): void {
  answer.intervals.forEach((interval, i) => {
    const address = state + layout.STATE_LISTS + i * layout.INTERVAL_BYTES
    interval.count += views.f64[(address + layout.INTERVAL_COUNT) >> 3] as number
    readMass(views, address + layout.INTERVAL_MASS, interval.mass)
  })
}

function readLists(views: MemoryViews, state: number, answer: SampleAnswer, isRaw: boolean): void {
  answer.max = Math.max(answer.max, views.f32[(state + layout.STATE_MAX) >> 2] as number)
  readMass(views, state + layout.STATE_MASS, answer.mass)
  readMass(views, state + layout.STATE_RAW_MASS, answer.rawMass)
  let list = state + layout.STATE_LISTS
  for (const entries of isRaw
    ? [answer.top, answer.rawTop, ...answer.scores]
    : [answer.top, ...answer.scores]) {
    list = readList(views, list, entries)
  }
}

/** Merges a list in memory into entries, best first; returns the address behind the list. */
function readList(views: MemoryViews, list: number, entries: ListEntry[]): number {
  const { f32, u32 } = views
  const count = u32[(list + layout.LIST_COUNT) >> 2] as number
  const capacity = u32[(list + layout.LIST_CAPACITY) >> 2] as number
  for (let i = 0; i < count; i++) {
    const word = (list + layout.LIST_ENTRIES + i * layout.ENTRY_BYTES) >> 2
    entries.push({
      key: f32[word] as number,
      tokenId: u32[word + 1] as number,
      logit: f32[word + 2] as number,
      rawLogit: f32[word + 3] as number,
    })
  }
  entries.sort((a, b) => b.key - a.key || a.tokenId - b.tokenId)
  entries.length = Math.min(entries.length, capacity)
  return list + listBytes(capacity)
}
