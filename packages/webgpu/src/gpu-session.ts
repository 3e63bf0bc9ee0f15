/**
 * A head on a GPU as a session of `@flashsampling/core`: rows into passes, passes into results.
 *
 * @module
 */
import type {
  BackendSession,
  NoiseScheme,
  RowBatch,
  RowParams,
  SampleResult,
} from '@flashsampling/core'
import { checkTokens, emptyResult, fill } from './call-result.ts'
import type { DeviceState } from './device-state.ts'
import type { GpuHead } from './gpu-head.ts'
import type { TileSource } from './kernels.ts'
import { loadRanking } from './load-ranking.ts'
import { PassRunner, type RowSource } from './pass-runner.ts'
import { isRanked, makeTasks, planPasses, type Share } from './plan.ts'
import { type Destination, type PassResult, type ReadPlanes, runSamplePass } from './sample-pass.ts'

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
  readonly #runner: PassRunner
  /** Tail of the queue: calls share the workspace. */
  #tail: Promise<unknown> = Promise.resolve()

  /**
   * @param state - The device.
   * @param head - What is sampled from; the session's from now on.
   * @param source - Where the head's raw logits come from.
   * @param noiseScheme - Noise of every draw.
   */
  constructor(state: DeviceState, head: GpuHead, source: TileSource, noiseScheme: NoiseScheme) {
    this.#state = state
    this.head = head
    this.#runner = new PassRunner(state, head, source, noiseScheme)
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
    this.#runner.destroy()
    this.head.destroy()
  }

  async #draw(
    rows: readonly RowParams[],
    source: RowSource,
    { destination = null, reads }: DrawOptions,
  ): Promise<SampleResult> {
    this.#state.checkAlive()
    // Before anything is drawn, so that a call whose parts do not load changes nothing.
    const ranking = rows.some(isRanked) ? await loadRanking() : null
    const result = emptyResult(rows)
    const { stats } = result
    let drawsBefore = 0
    const hasDestination = destination !== null
    for (const shares of planPasses(rows, this.head.numTiles, hasDestination)) {
      const tasks = makeTasks(shares)
      ranking?.addRawTasks(tasks, shares)
      // A row with filters may stay open, which only its token tells.
      const isFiltered = tasks.some((task) => task.isFiltered)
      const planes: ReadPlanes = reads === 'all' ? 2 : reads === 'tokens' || isFiltered ? 1 : 0
      const drawn = await runSamplePass(this.#runner, tasks, source, {
        planes,
        destination: destination && placeDestination(destination, drawsBefore),
        prepareLists: ranking?.prepareLists ?? null,
      })
      let passes = 1
      if (planes > 0) {
        fillShares(result, rows, shares, drawn)
        if (ranking !== null) {
          passes += await ranking.finishPass(
            this.#runner,
            { rows, source, tasks, shares, drawn },
            result,
            (at, tokenIds) => {
              if (destination !== null) this.#writeTokens(destination, at, tokenIds)
            },
          )
        }
      }
      drawsBefore += tasks.reduce((sum, { numDraws }) => sum + numDraws, 0)
      stats.passes = Math.max(stats.passes, passes)
    }
    stats.workspaceBytes = this.#runner.workspace.byteLength
    checkTokens(result)
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

/** Puts what a pass drew to the rows. */
function fillShares(
  result: SampleResult,
  rows: readonly RowParams[],
  shares: readonly Share[],
  { tokenIds, logprobs }: PassResult,
): void {
  let slot = 0
  for (const { row, firstDraw, params } of shares) {
    const end = slot + params.numSamples
    const at = (result.rowOffsets[row] as number) + firstDraw
    const draws = [tokenIds.subarray(slot, end), logprobs.subarray(slot, end)] as const
    fill(result, rows[row] as RowParams, at, ...draws)
    slot = end
  }
}
