/**
 * A head on a GPU as a session of `@flashsampling/core`: rows into passes, passes into results.
 *
 * @module
 */
import {
  type BackendSession,
  type RowBatch,
  RowError,
  type RowParams,
  type SampleResult,
} from '@flashsampling/core'
import type { Task } from './call-layout.ts'
import type { Engine } from './engine.ts'
import type { GpuHead } from './gpu-head.ts'

/** Rows of one pass. */
const MAX_PASS_ROWS = 64
/** Most memory for the winners of all tiles, bytes: bounds the draws of one pass. */
const MAX_CANDIDATE_BYTES = 16 * 2 ** 20

/** Token ids that stand for a row without a result. */
export const TOKEN_STATUS = { invalid: -1, masked: -2, open: -3 } as const

/** Draws of one row that one pass makes. */
interface Share {
  row: number
  firstDraw: number
  numDraws: number
}

/** Session of the WebGPU backend; owns its head. */
export class WebGpuSession implements BackendSession {
  readonly #engine: Engine
  readonly #head: GpuHead

  constructor(engine: Engine, head: GpuHead) {
    this.#engine = engine
    this.#head = head
  }

  async sample(batch: RowBatch): Promise<SampleResult> {
    const { batchSize, hiddenStates, rows } = batch
    const rowOffsets = new Int32Array(batchSize + 1)
    rows.forEach((row, i) => {
      rowOffsets[i + 1] = (rowOffsets[i] as number) + row.numSamples
    })
    const tokenIds = new Int32Array(rowOffsets[batchSize] as number)
    const logprobs = new Float32Array(tokenIds.length)
    let passes = 0
    for (const shares of planPasses(rows, this.#head.numTiles)) {
      passes++
      const tasks = makeTasks(shares, rows)
      const drawn = await this.#engine.sample(
        tasks,
        { data: hiddenStates, batchSize },
        { readsLogprobs: true, readsTokens: true, destination: null },
      )
      let slot = 0
      for (const { row, firstDraw, numDraws } of shares) {
        const params = rows[row] as RowParams
        const at = (rowOffsets[row] as number) + firstDraw
        // A greedy row draws once: without noise every draw is the same.
        const copies = params.temperature === 0 ? params.numSamples : numDraws
        for (let draw = 0; draw < copies; draw++) {
          const from = slot + Math.min(draw, numDraws - 1)
          tokenIds[at + draw] = drawn.tokenIds[from] as number
          logprobs[at + draw] = drawn.logprobs[from] as number
        }
        slot += numDraws
      }
    }
    throwRowErrors(tokenIds, rowOffsets)
    return {
      tokenIds,
      logprobs,
      rowOffsets,
      topLogprobs: new Array<null>(batchSize).fill(null),
      stats: { secondPassRows: 0, passes, workspaceBytes: this.#engine.workspace.byteLength },
    }
  }

  async dispose(): Promise<void> {
    this.#engine.destroy()
    this.#head.destroy()
  }
}

function planPasses(rows: readonly RowParams[], numTiles: number): Share[][] {
  const maxDraws = Math.max(1, Math.floor(MAX_CANDIDATE_BYTES / (numTiles * 16)))
  const passes: Share[][] = []
  let pass: Share[] = []
  let room = maxDraws
  let tasks = 0
  rows.forEach((params, row) => {
    const total = params.temperature === 0 ? 1 : params.numSamples
    for (let firstDraw = 0; firstDraw < total; ) {
      if (room === 0 || tasks >= MAX_PASS_ROWS) {
        passes.push(pass)
        pass = []
        room = maxDraws
        tasks = 0
      }
      const numDraws = Math.min(total - firstDraw, room)
      pass.push({ row, firstDraw, numDraws })
      firstDraw += numDraws
      room -= numDraws
      tasks++
    }
  })
  passes.push(pass)
  return passes
}

function makeTasks(shares: readonly Share[], rows: readonly RowParams[]): Task[] {
  const tasks = shares.map(({ row, firstDraw, numDraws }, index): Task => {
    const params = rows[row] as RowParams
    return {
      ...{ row, params, isRaw: false, firstDraw, numDraws, massTask: index },
      ...{ isListed: false, boundary: null, pivots: [] },
    }
  })
  for (const task of [...tasks]) {
    if (task.params.logprobsMode !== 'raw') continue
    // The mass of the raw logits comes from a task that draws nothing.
    const massTask = tasks.push({ ...task, isRaw: true, numDraws: 0, massTask: tasks.length }) - 1
    task.massTask = massTask
  }
  return tasks
}

function throwRowErrors(tokenIds: Int32Array, rowOffsets: Int32Array): void {
  const rowsWith = (status: number): number[] => {
    const found: number[] = []
    for (let row = 0; row + 1 < rowOffsets.length; row++) {
      if (tokenIds[rowOffsets[row] as number] === status) found.push(row)
    }
    return found
  }
  const invalid = rowsWith(TOKEN_STATUS.invalid)
  if (invalid.length > 0) {
    throw new RowError(
      'INVALID_LOGITS',
      `Cannot sample tokens as logits of row ${invalid.join(', ')} are NaN or +Infinity: ` +
        'check the hidden states and the weights',
      invalid,
    )
  }
  const masked = rowsWith(TOKEN_STATUS.masked)
  if (masked.length > 0) {
    throw new RowError(
      'ALL_TOKENS_MASKED',
      `Cannot sample tokens as every token of row ${masked.join(', ')} is masked: allow at least one token`,
      masked,
    )
  }
}
