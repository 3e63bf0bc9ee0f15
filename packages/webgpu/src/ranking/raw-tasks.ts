/**
 * Tasks for log-probabilities of raw logits.
 *
 * @module
 */
import type { Task } from '../call-layout.ts'
import { LIST_CAPACITY } from '../kernels.ts'
import type { Share } from '../plan.ts'

/**
 * Adds a task for each share that wants them; notes in the share which it is.
 *
 * @param tasks - Tasks of the shares, in their order; grows.
 * @param shares - Shares of the pass.
 */
export function addRawTasks(tasks: Task[], shares: readonly Share[]): void {
  for (const share of shares) {
    if (share.params.logprobsMode !== 'raw') continue
    // The mass and the ranking of the raw logits come from a task that draws nothing.
    const numReported = Math.min(share.params.logprobs, LIST_CAPACITY)
    share.rawTask = tasks.length
    const task = tasks[share.task] as Task
    task.massTask = share.rawTask
    tasks.push({
      ...{ ...task, isRaw: true, numDraws: 0, massTask: share.rawTask, isFiltered: false },
      ...{ isListed: numReported > 0, numReported },
    })
  }
}
