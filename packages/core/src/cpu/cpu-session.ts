/**
 * A head loaded on the CPU backend: runs the rows of a batch through as many passes as they need.
 *
 * @module
 */
import type { BackendSession, RowBatch } from '../backend.ts'
import type { NoiseScheme } from '../noise.ts'
import type { PassAnswer, RowProcess } from '../rows/passes.ts'
import { throwRowErrors } from '../rows/row-errors.ts'
import { processRow, type RowOutcome } from '../rows/row-process.ts'
import type { SampleResult } from '../types.ts'
import type { Engine } from './engine.ts'
import type { RowStatuses } from './job.ts'
import { emptyAnswers, finishAnswer } from './job-answers.ts'
import type { RowTask } from './job-rows.ts'
import { STATUS_NAN } from './layout.ts'

/** Rows of one pass; larger batches take several passes over the head. */
const MAX_PASS_ROWS = 64

/** A row between passes. */
interface OpenRow {
  row: number
  process: RowProcess<RowOutcome | null>
  task: RowTask
}

/** Session of the CPU backend; owns its engines. */
export class CpuSession implements BackendSession {
  #engines: Engine[]
  readonly #hiddenSize: number
  readonly #tileVocab: number | null
  readonly #noiseScheme: NoiseScheme

  constructor(
    engines: Engine[],
    hiddenSize: number,
    tileVocab: number | null,
    noiseScheme: NoiseScheme,
  ) {
    this.#engines = engines
    this.#hiddenSize = hiddenSize
    this.#tileVocab = tileVocab
    this.#noiseScheme = noiseScheme
  }

  async sample(batch: RowBatch): Promise<SampleResult> {
    const outcomes = new Array<RowOutcome | null>(batch.batchSize)
    let open: OpenRow[] = []
    for (let row = 0; row < batch.batchSize; row++) {
      const params = batch.rows[row] as RowBatch['rows'][number]
      const process = processRow(params, this.#noiseScheme)
      const first = process.next()
      if (first.done === true) outcomes[row] = first.value
      else open.push({ row, process, task: { row, params, request: first.value } })
    }
    let passes = 0
    let secondPassRows = 0
    while (open.length > 0) {
      passes++
      const stillOpen: OpenRow[] = []
      for (let start = 0; start < open.length; start += MAX_PASS_ROWS) {
        const group = open.slice(start, start + MAX_PASS_ROWS)
        const answers = this.#runPass(
          group.map(({ task }) => task),
          batch.hiddenStates,
        )
        group.forEach((entry, i) => {
          const step = entry.process.next(answers[i] as PassAnswer)
          if (step.done === true) outcomes[entry.row] = step.value
          else stillOpen.push({ ...entry, task: { ...entry.task, request: step.value } })
        })
      }
      if (passes === 1) secondPassRows = stillOpen.length
      open = stillOpen
    }
    const workspaceBytes = this.#engines.reduce((sum, engine) => sum + engine.workspaceBytes, 0)
    return collect(outcomes, { secondPassRows, passes, workspaceBytes })
  }

  async dispose(): Promise<void> {
    const engines = this.#engines
    this.#engines = []
    await Promise.all(engines.map((engine) => engine.dispose()))
  }

  #runPass(tasks: readonly RowTask[], hiddenStates: Float32Array): PassAnswer[] {
    const answers = emptyAnswers(tasks)
    const statuses: RowStatuses = new Map()
    const tileVocab = this.#tileVocab
    const noiseScheme = this.#noiseScheme
    for (const engine of this.#engines) {
      engine.run(
        tasks,
        hiddenStates,
        this.#hiddenSize,
        { tileVocab: tileVocab ?? engine.defaultTileVocab(tasks.length), noiseScheme },
        answers,
        statuses,
      )
    }
    throwInvalidLogits(statuses)
    return answers.map(finishAnswer)
  }
}

function throwInvalidLogits(statuses: RowStatuses): void {
  const invalid = [...statuses.keys()].sort((a, b) => a - b)
  const hasNaN = [...statuses.values()].some((status) => (status & STATUS_NAN) !== 0)
  throwRowErrors({ invalid }, { found: hasNaN ? 'NaN' : '+Infinity' })
}

function collect(
  outcomes: readonly (RowOutcome | null)[],
  stats: SampleResult['stats'],
): SampleResult {
  const masked = outcomes.flatMap((outcome, row) => (outcome === null ? [row] : []))
  throwRowErrors({ masked })
  const rows = outcomes as readonly RowOutcome[]
  const rowOffsets = new Int32Array(rows.length + 1)
  rows.forEach((row, i) => {
    rowOffsets[i + 1] = (rowOffsets[i] as number) + row.tokenIds.length
  })
  return {
    tokenIds: Int32Array.from(rows.flatMap((row) => row.tokenIds)),
    logprobs: Float32Array.from(rows.flatMap((row) => row.logprobs)),
    rowOffsets,
    topLogprobs: rows.map(
      ({ top }) =>
        top && {
          tokenIds: Int32Array.from(top.tokenIds),
          logprobs: Float32Array.from(top.logprobs),
        },
    ),
    stats,
  }
}
