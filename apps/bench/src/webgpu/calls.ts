/**
 * Inputs of calls, and what their tokens are checked with.
 *
 * @module
 */
import { makeHiddenStates } from '../cases/inputs.ts'
import { productInFloat64 } from './check.ts'
import type { WebGpuCall, WebGpuHead, WebGpuRows } from './contender.ts'
import { USAGE, upload } from './gpu.ts'
import { seededRandom } from './rounds.ts'

/** Sets of hidden states that calls take turns with. */
const NUM_SETS = 8
/** Sets whose tokens are checked. */
export const CHECKED_SETS = 2
/** Temperature of every call. */
export const TEMPERATURE = 0.8

/**
 * Multiplies the rows that are checked: the first and the last of every batch. A row of a set is the same in each batch
 * that has it.
 *
 * @param head - The head.
 * @param batchSizes - Batches.
 * @returns Float64 logits by set and row, for example `1 63`.
 */
export function makeReferences(
  head: WebGpuHead,
  batchSizes: readonly number[],
): Map<string, Float64Array> {
  const { hiddenSize } = head
  const rows = [...new Set([0, ...batchSizes.map((batchSize) => batchSize - 1)])]
  const keys: string[] = []
  const states: Float32Array[] = []
  for (let set = 0; set < CHECKED_SETS; set++) {
    const data = makeHiddenStates(Math.max(...batchSizes), hiddenSize, set)
    for (const row of rows) {
      keys.push(`${set} ${row}`)
      states.push(data.subarray(row * hiddenSize, (row + 1) * hiddenSize))
    }
  }
  const logits = productInFloat64(head, states)
  return new Map(keys.map((key, i) => [key, logits[i] as Float64Array]))
}

/**
 * Makes sets of hidden states, in memory and on the device.
 *
 * @param device - The device.
 * @param batchSize - Rows of a set.
 * @param hiddenSize - Width, elements.
 * @returns The sets.
 */
export async function makeSets(
  device: GPUDevice,
  batchSize: number,
  hiddenSize: number,
): Promise<WebGpuRows[]> {
  const sets: WebGpuRows[] = []
  for (let i = 0; i < NUM_SETS; i++) {
    const data = makeHiddenStates(batchSize, hiddenSize, i)
    const buffer = await upload(device, data, USAGE.STORAGE | USAGE.COPY_SRC)
    sets.push({ batchSize, data, buffer })
  }
  return sets
}

/**
 * Makes calls, each with other hidden states and other noise than the one before.
 *
 * @param sets - Hidden states to take turns with.
 * @param batchSize - Their rows.
 * @returns Gives the next call.
 */
export function makeCalls(sets: readonly WebGpuRows[], batchSize: number): { next(): WebGpuCall } {
  const random = seededRandom(3)
  let position = 0
  return {
    next: () => {
      const rows = sets[position % NUM_SETS] as WebGpuRows
      const params = { seed: 2026n, position: position++, temperature: TEMPERATURE }
      return { rows, params, uniforms: Float32Array.from({ length: batchSize }, random) }
    },
  }
}
