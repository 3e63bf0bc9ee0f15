/**
 * A head on a GPU as a session of `@flashsampling/core`: rows into passes, passes into results.
 *
 * @module
 */
import {
  type BackendSession,
  type NoiseScheme,
  type RowBatch,
  type RowParams,
  type SampleResult,
  type TopLogprobs,
  throwRowErrors,
} from '@flashsampling/core'
import type { Task } from './call-layout.ts'
import type { DeviceState } from './device-state.ts'
import {
  type Destination,
  Engine,
  type PassResult,
  type ReadPlanes,
  type RowSource,
} from './engine.ts'
import type { GpuHead } from './gpu-head.ts'
import { LIST_CAPACITY } from './kernels.ts'
import { makeTasks, planPasses, type Share } from './plan.ts'
import { decideOpenShares } from './second-pass.ts'

/** Token ids that stand for a row without a result. */
export const TOKEN_STATUS = { invalid: -1, masked: -2, open: -3 } as const

/** Memory of the caller that token ids are written to. */
export interface CheckedDestination {
  buffer: GPUBuffer
  /** 1 for i32, 2 for i64. */
  words: 1 | 2
  /** First byte. */
  offset: number
}

/** What a call wants beside the tokens in its result. */
export interface DrawOptions {
  /** Where token ids go beside; none reads everything back. */
  destination?: CheckedDestination | null
  /** `none` reads rows with filters only, whose certificate may fail; `tokens` 4 bytes a draw. */
  reads: 'none' | 'tokens' | 'all'
}

/** A head on a GPU that draws one call after the other. */
export class GpuSession implements BackendSession {
  readonly head: GpuHead
  readonly #state: DeviceState
  readonly #engine: Engine
  readonly #noiseScheme: NoiseScheme
  /** Tail of the queue: calls share the workspace. */
  #tail: Promise<unknown> = Promise.resolve()

  constructor(state: DeviceState, head: GpuHead, noiseScheme: NoiseScheme) {
    this.#state = state
    this.head = head
    this.#engine = new Engine(state, head, noiseScheme)
    this.#noiseScheme = noiseScheme
  }

  sample({ batchSize, hiddenStates, rows }: RowBatch): Promise<SampleResult> {
    return this.draw(rows, { data: hiddenStates, batchSize }, { reads: 'all' })
  }

  /**
   * Draws a batch.
   *
   * @param rows - Parameters of every row.
   * @param source - Hidden states or logits.
   * @param options - What is read back, and where token ids go.
   * @returns The result; arrays hold what was read back.
   * @throws {RowError} when a row whose tokens are read has no valid draw.
   */
  draw(rows: readonly RowParams[], source: RowSource, options: DrawOptions): Promise<SampleResult> {
    const call = this.#tail.then(() => this.#draw(rows, source, options))
    this.#tail = call.catch(() => undefined)
    return call
  }

  async dispose(): Promise<void> {
    await this.#tail
    this.#engine.destroy()
    this.head.destroy()
  }

  async #draw(
    rows: readonly RowParams[],
    source: RowSource,
    { destination = null, reads }: DrawOptions,
  ): Promise<SampleResult> {
    this.#state.checkAlive()
    const result = emptyResult(rows)
    const { stats } = result
    let drawsBefore = 0
    const hasDestination = destination !== null
    for (const shares of planPasses(rows, this.head.numTiles, hasDestination)) {
      const tasks = makeTasks(shares)
      // A row with filters may stay open, which only its token tells.
      const isFiltered = tasks.some((task) => task.isFiltered)
      const planes: ReadPlanes = reads === 'all' ? 2 : reads === 'tokens' || isFiltered ? 1 : 0
      const drawn = await this.#engine.sample(tasks, source, {
        planes,
        destination: destination && placeDestination(destination, drawsBefore),
      })
      let passes = 1
      if (planes > 0) {
        const open = collect(result, rows, tasks, shares, drawn)
        if (open.length > 0) {
          const decided = await decideOpenShares(
            this.#engine,
            source,
            this.#noiseScheme,
            tasks,
            open,
          )
          passes += decided.passes
          decided.outcomes.forEach((outcome, i) => {
            const share = open[i] as Share
            const { row, firstDraw } = share
            const at = (result.rowOffsets[row] as number) + firstDraw
            fill(result, rows[row] as RowParams, at, outcome.tokenIds, outcome.logprobs)
            if (outcome.top !== null) result.topLogprobs[row] = toTopLogprobs(outcome.top)
            if (destination !== null) this.#writeTokens(destination, at, outcome.tokenIds)
          })
        }
        stats.secondPassRows += open.length
      }
      drawsBefore += tasks.reduce((sum, { numDraws }) => sum + numDraws, 0)
      stats.passes = Math.max(stats.passes, passes)
    }
    stats.workspaceBytes = this.#engine.workspace.byteLength
    checkTokens(result.tokenIds, result.rowOffsets)
    return result
  }

  #writeTokens(
    { buffer, words, offset }: CheckedDestination,
    at: number,
    tokenIds: number[],
  ): void {
    const bytes = new Uint32Array(tokenIds.length * words)
    tokenIds.forEach((tokenId, i) => {
      bytes[i * words] = tokenId
    })
    this.#state.device.queue.writeBuffer(buffer, offset + at * words * 4, bytes)
  }
}

/** The destination of a pass that is not the first: behind the draws before it. */
function placeDestination(
  { buffer, words, offset }: CheckedDestination,
  drawsBefore: number,
): Destination {
  return {
    range: { buffer, offset: 0, size: buffer.size },
    words,
    at: offset / 4 + drawsBefore * words,
  }
}

function emptyResult(rows: readonly RowParams[]): SampleResult {
  const rowOffsets = new Int32Array(rows.length + 1)
  rows.forEach((row, i) => {
    rowOffsets[i + 1] = (rowOffsets[i] as number) + row.numSamples
  })
  const numDraws = rowOffsets[rows.length] as number
  return {
    tokenIds: new Int32Array(numDraws),
    logprobs: new Float32Array(numDraws),
    rowOffsets,
    topLogprobs: new Array<null>(rows.length).fill(null),
    stats: { secondPassRows: 0, passes: 0, workspaceBytes: 0 },
  }
}

/** Writes what a pass decided into the result; gives the shares that it left open. */
function collect(
  result: SampleResult,
  rows: readonly RowParams[],
  tasks: readonly Task[],
  shares: readonly Share[],
  drawn: PassResult,
): Share[] {
  const reportOf = new Map<number, number>()
  tasks.forEach((task, index) => {
    if (task.isListed) reportOf.set(index, reportOf.size)
  })
  const open: Share[] = []
  let slot = 0
  for (const share of shares) {
    const { row, firstDraw, params } = share
    const end = slot + params.numSamples
    const tokenIds = drawn.tokenIds.subarray(slot, end)
    const at = (result.rowOffsets[row] as number) + firstDraw
    fill(result, rows[row] as RowParams, at, tokenIds, drawn.logprobs.subarray(slot, end))
    slot = end
    const hasFailed =
      tokenIds.includes(TOKEN_STATUS.invalid) || tokenIds.includes(TOKEN_STATUS.masked)
    if (hasFailed) continue
    const listTask = params.logprobsMode === 'raw' ? share.rawTask : share.task
    const report =
      params.logprobs === 0 ? undefined : drawn.reports[reportOf.get(listTask) as number]
    const isReportOpen = report === null || params.logprobs > LIST_CAPACITY
    if (tokenIds.includes(TOKEN_STATUS.open) || isReportOpen) open.push(share)
    else if (report != null) result.topLogprobs[row] = toTopLogprobs(report)
  }
  return open
}

/** Writes draws of a row; a greedy row repeats its one draw. */
function fill(
  result: SampleResult,
  params: RowParams,
  at: number,
  tokenIds: ArrayLike<number>,
  logprobs: ArrayLike<number>,
): void {
  const copies = params.temperature === 0 ? params.numSamples : tokenIds.length
  for (let draw = 0; draw < copies; draw++) {
    const from = Math.min(draw, tokenIds.length - 1)
    result.tokenIds[at + draw] = tokenIds[from] as number
    result.logprobs[at + draw] = logprobs[from] as number
  }
}

function toTopLogprobs(top: { tokenIds: number[]; logprobs: number[] }): TopLogprobs {
  return { tokenIds: Int32Array.from(top.tokenIds), logprobs: Float32Array.from(top.logprobs) }
}

function checkTokens(tokenIds: Int32Array, rowOffsets: Int32Array): void {
  const rowsWith = (status: number): number[] => {
    const found: number[] = []
    for (let row = 0; row + 1 < rowOffsets.length; row++) {
      if (tokenIds[rowOffsets[row] as number] === status) found.push(row)
    }
    return found
  }
  throwRowErrors({
    invalid: rowsWith(TOKEN_STATUS.invalid),
    masked: rowsWith(TOKEN_STATUS.masked),
  })
}
