/**
 * Passes that draw nothing: counts of tokens and mass in rank order, and the tokens up to a place.
 *
 * @module
 */
import type { RankSum } from '@flashsampling/core'
import type { Task } from '../call-layout.ts'
import type { Kernel } from '../kernel.ts'
import { ENTRY_WORDS, type TileVariant } from '../kernels.ts'
import { type PassRunner, type RowSource, whole } from '../pass-runner.ts'
import { INTERVAL_WORDS, MAX_PIVOTS, tileGatherKernel, tileRankKernel } from './kernels.ts'
import { type GpuListEntry, readEntries } from './ranked-lists.ts'

/**
 * Counts tokens and mass up to places in rank order, by one pass over the head.
 *
 * @param runner - The head.
 * @param tasks - Rows with pivots; the logit of `boundary` is their unit of mass.
 * @param rows - Hidden states or logits.
 * @returns Sums, per task one for each pivot.
 */
export async function runRankPass(
  runner: PassRunner,
  tasks: readonly Task[],
  rows: RowSource,
): Promise<RankSum[][]> {
  const taskBytes = MAX_PIVOTS * INTERVAL_WORDS * 4
  const bytes = await runPass(runner, tasks, rows, tasks.length * taskBytes, tileRankKernel)
  const words = new Uint32Array(bytes)
  return tasks.map(({ pivots }, task) => {
    let count = 0
    let mass = 0
    return pivots.map((_, pivot) => {
      const at = (task * taskBytes) / 4 + pivot * INTERVAL_WORDS
      const [number, ...limbs] = words.subarray(at, at + INTERVAL_WORDS) as unknown as number[]
      count += number as number
      mass += limbs.reduce((sum, limb, i) => sum + limb * 2 ** (-9 - 10 * i), 0)
      return { count, mass }
    })
  })
}

/**
 * Finds all tokens that do not rank behind a place, by one pass over the head.
 *
 * @param runner - The head.
 * @param tasks - Rows with the place as `boundary`.
 * @param rows - Hidden states or logits.
 * @param capacity - Most tokens that a row may have there.
 * @returns Per task the tokens, in no order.
 */
export async function runGatherPass(
  runner: PassRunner,
  tasks: readonly Task[],
  rows: RowSource,
  capacity: number,
): Promise<GpuListEntry[][]> {
  const byteLength = tasks.length * (1 + capacity * ENTRY_WORDS) * 4
  const bytes = await runPass(runner, tasks, rows, byteLength, (variant) =>
    tileGatherKernel(variant, capacity),
  )
  const values = new Float32Array(bytes)
  const words = new Uint32Array(bytes)
  return tasks.map((_, task) => {
    const at = tasks.length + task * capacity * ENTRY_WORDS
    return readEntries(values, words, at, words[task] as number)
  })
}

/** A pass whose result is one buffer of sums. */
async function runPass(
  runner: PassRunner,
  tasks: readonly Task[],
  rows: RowSource,
  byteLength: number,
  kernel: (variant: TileVariant) => Kernel,
): Promise<ArrayBuffer> {
  const call = runner.encode(tasks, rows)
  const tiles = await runner.compileTiles(tasks, rows, false, kernel)
  return runner.run(byteLength, byteLength, (encoder, staging) => {
    const counts = runner.workspace.get('counts', byteLength)
    const callRange = runner.writeCall(call)
    encoder.clearBuffer(counts, 0, byteLength)
    const hidden = runner.placeRows(encoder, rows)
    const pass = encoder.beginComputePass({ label: 'flashsampling second pass' })
    runner.dispatchTiles(pass, tiles, callRange, hidden, [whole(counts)])
    pass.end()
    encoder.copyBufferToBuffer(counts, 0, staging as GPUBuffer, 0, byteLength)
  })
}
