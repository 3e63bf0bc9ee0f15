/**
 * What rows by rank need after a pass that drew: their reports, and decisions that the pass left open.
 *
 * @module
 */
import type { RowParams, SampleResult, TopLogprobs } from '@flashsampling/core'
import type { Task } from '../call-layout.ts'
import { fill, TOKEN_STATUS } from '../call-result.ts'
import { LIST_CAPACITY } from '../kernels.ts'
import type { PassRunner, RowSource } from '../pass-runner.ts'
import type { Share } from '../plan.ts'
import type { PassResult } from '../sample-pass.ts'
import { decideOpenShares } from './second-pass.ts'

/** A pass that drew, and what it was for. */
export interface DrawnPass {
  /** Parameters of every row of the call. */
  rows: readonly RowParams[]
  source: RowSource
  tasks: readonly Task[]
  shares: readonly Share[]
  drawn: PassResult
}

/**
 * Puts reports into the result and decides what is open, by further passes. No other pass may come between.
 *
 * @param runner - The head of the pass.
 * @param pass - The pass.
 * @param result - Receives reports and decisions.
 * @param onDecided - Called with draws that were decided late, and the place of the first in the result.
 * @returns Further passes.
 */
export async function finishPass(
  runner: PassRunner,
  pass: DrawnPass,
  result: SampleResult,
  onDecided: (at: number, tokenIds: number[]) => void,
): Promise<number> {
  const { rows, source, tasks } = pass
  const open = takeReports(pass, result)
  if (open.length === 0) return 0
  const { passes, outcomes } = await decideOpenShares(runner, source, tasks, open)
  outcomes.forEach(({ tokenIds, logprobs, top }, i) => {
    const { row, firstDraw } = open[i] as Share
    const at = (result.rowOffsets[row] as number) + firstDraw
    fill(result, rows[row] as RowParams, at, tokenIds, logprobs)
    if (top !== null) result.topLogprobs[row] = toTopLogprobs(top)
    onDecided(at, tokenIds)
  })
  result.stats.secondPassRows += open.length
  return passes
}

/** Puts reports into the result; gives the shares that are open. */
function takeReports({ tasks, shares, drawn }: DrawnPass, result: SampleResult): Share[] {
  const reportOf = new Map<number, number>()
  tasks.forEach((task, index) => {
    if (task.isListed) reportOf.set(index, reportOf.size)
  })
  const open: Share[] = []
  let slot = 0
  for (const share of shares) {
    const { row, params } = share
    const end = slot + params.numSamples
    const tokenIds = drawn.tokenIds.subarray(slot, end)
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

function toTopLogprobs(top: { tokenIds: number[]; logprobs: number[] }): TopLogprobs {
  return { tokenIds: Int32Array.from(top.tokenIds), logprobs: Float32Array.from(top.logprobs) }
}
