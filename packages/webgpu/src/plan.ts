/**
 * Rows into passes: which draws a pass makes, and the tasks that make them.
 *
 * @module
 */
import type { RowParams } from '@flashsampling/core'
import type { Task } from './call-layout.ts'
import { LIST_CAPACITY } from './kernels.ts'

/** Rows of one pass. */
const MAX_PASS_ROWS = 64
/** Most memory for the winners of all tiles, bytes: bounds the draws of one pass. */
const MAX_CANDIDATE_BYTES = 16 * 2 ** 20

/** Draws of one row that one pass makes. */
export interface Share {
  row: number
  /** The row's parameters for these draws alone. */
  params: RowParams
  /** First of the draws, counted from the row's first. */
  firstDraw: number
  /** Index of the share's task, and of the one that has the mass of its raw logits; -1 without one. */
  task: number
  rawTask: number
}

/** Whether a filter decides what may be drawn. */
export function isFiltered({ temperature, topK, topP, minP }: RowParams): boolean {
  return temperature > 0 && (topK > 0 || topP < 1 || minP > 0)
}

/** Whether a row needs `ranking/`: for a filter, its most likely tokens, or log-probabilities of raw logits. */
export function isRanked(row: RowParams): boolean {
  return isFiltered(row) || row.logprobs > 0 || row.logprobsMode === 'raw'
}

/**
 * Cuts a batch into passes.
 *
 * @param rows - Parameters of every row.
 * @param numTiles - Tiles of the head.
 * @param isEveryDrawMade - Whether a greedy row makes all of its draws, which are alike without noise; else it makes one.
 * @returns The shares of each pass; a row with many draws may have several.
 */
export function planPasses(
  rows: readonly RowParams[],
  numTiles: number,
  isEveryDrawMade: boolean,
): Share[][] {
  const maxDraws = Math.max(1, Math.floor(MAX_CANDIDATE_BYTES / (numTiles * 16)))
  const passes: Share[][] = []
  let pass: Share[] = []
  let room = maxDraws
  rows.forEach((row, index) => {
    const total = row.temperature === 0 && !isEveryDrawMade ? 1 : row.numSamples
    for (let firstDraw = 0; firstDraw < total; ) {
      if (room === 0 || pass.length >= MAX_PASS_ROWS) {
        passes.push(pass)
        pass = []
        room = maxDraws
      }
      const numSamples = Math.min(total - firstDraw, room)
      const params = { ...row, drawIndex: row.drawIndex + firstDraw, numSamples }
      pass.push({ row: index, params, firstDraw, task: -1, rawTask: -1 })
      firstDraw += numSamples
      room -= numSamples
    }
  })
  passes.push(pass)
  return passes
}

/**
 * The tasks of a pass, in the order of its shares; notes in each share which is its own.
 *
 * @param shares - Shares of the pass.
 * @returns The tasks; those of raw logits come behind them, see `ranking/raw-tasks.ts`.
 */
export function makeTasks(shares: readonly Share[]): Task[] {
  return shares.map((share, index): Task => {
    share.task = index
    const { row, params } = share
    const filtered = isFiltered(params)
    const numReported = params.logprobsMode === 'raw' ? 0 : Math.min(params.logprobs, LIST_CAPACITY)
    return {
      ...{ row, params, isRaw: false, numDraws: params.numSamples, massTask: index },
      ...{ isFiltered: filtered, isListed: filtered || numReported > 0, numReported },
      ...{ boundary: null, pivots: [] },
    }
  })
}
