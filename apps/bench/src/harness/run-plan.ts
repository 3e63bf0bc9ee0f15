/**
 * Runs a plan: loads each head once, times its groups, collects records.
 *
 * @module
 */
import { bytesToRead, makeHead, makeHiddenStates } from '../cases/inputs.ts'
import { halfMask, variantParams } from '../cases/shapes.ts'
import type {
  BenchHead,
  Contender,
  ContenderFamily,
  LoadedContenders,
} from '../contenders/contender.ts'
import { measureAllocation } from './allocation.ts'
import type { PlannedContender, PlannedGroup, PlannedHead } from './plan.ts'
import type { ReadCeiling, ReadMethod } from './read-ceiling.ts'
import { type BenchRecord, READ_CONTENDER } from './record.ts'
import type { Summary } from './stats.ts'
import { type TimedEntry, type TimerOptions, timeInterleaved } from './timer.ts'

/** Times and counts of a run. */
export type RunTimes = Pick<TimerOptions, 'warmUpMs' | 'minTimeMs' | 'minSamples' | 'maxSamples'>

/** Options of {@link runPlan}. */
export interface RunPlanOptions {
  /** What to time. */
  plan: readonly PlannedHead[]
  /** Where contenders come from. */
  families: readonly ContenderFamily[]
  /** Times and counts. */
  times: RunTimes
  /** Reads memory beside the contenders and empties the cache. */
  ceiling: ReadCeiling
  /** Fastest way to read, by number of threads. */
  readMethods: ReadonlyMap<number, ReadMethod>
  /** Told before every head is loaded and every group is timed. */
  onStep(description: string): void
  /** Told after every group. */
  onGroupDone(): void
}

/** Sets of hidden states that calls of one group take turns with. */
const NUM_INPUTS = 8
const ALLOCATION_DRAWS = 15
/** Draws that take longer are not repeated to watch their memory. */
const ALLOCATION_MAX_MS = 500

/**
 * Times everything in a plan.
 *
 * @param options - Plan, families, times and the read ceiling.
 * @returns Records in the order of the plan.
 */
export async function runPlan(options: RunPlanOptions): Promise<BenchRecord[]> {
  const records: BenchRecord[] = []
  for (const planned of options.plan) {
    const { shape, dtype } = planned
    options.onStep(`${shape.name} ${dtype}: loading`)
    const loaded = await loadHead(planned, options.families)
    try {
      for (const group of planned.groups) {
        options.onStep(`${shape.name} ${dtype} B=${group.batchSize} ${group.variant}`)
        records.push(...(await runGroup(planned, group, loaded, options)))
        options.onGroupDone()
      }
    } finally {
      for (const { dispose } of loaded) await dispose()
    }
  }
  return records
}

async function loadHead(
  { shape, dtype, groups }: PlannedHead,
  families: readonly ContenderFamily[],
): Promise<LoadedContenders[]> {
  const head = makeHead(shape, dtype) as BenchHead
  const wanted = new Map<string, PlannedContender>()
  for (const { contenders } of groups) {
    for (const entry of contenders) wanted.set(`${entry.name} ${entry.threads}`, entry)
  }
  const loaded: LoadedContenders[] = []
  for (const family of families) {
    const own = [...wanted.values()].filter(({ name }) => family.names.includes(name))
    if (own.length > 0) loaded.push(await family.load(head, own))
  }
  return loaded
}

async function runGroup(
  { shape, dtype }: PlannedHead,
  group: PlannedGroup,
  loaded: readonly LoadedContenders[],
  options: RunPlanOptions,
): Promise<BenchRecord[]> {
  const { batchSize, variant } = group
  const contenders = group.contenders.map(({ name, threads }) =>
    findContender(loaded, name, threads),
  )
  const draw = createDraw(group, shape)
  const bytes = bytesToRead(shape, dtype, batchSize)
  const readThreads = [...new Set(contenders.map(({ threads }) => threads))]
  const reads: TimedEntry[] = readThreads.map((threads) => ({
    run: () => {
      const method = options.readMethods.get(threads) ?? 'wasm-forward'
      options.ceiling.read(method, threads, bytes)
    },
  }))
  const summaries = await timeInterleaved(
    [...contenders.map((contender) => ({ run: () => draw(contender) })), ...reads],
    { ...options.times, settle: () => options.ceiling.evict() },
  )
  const cell = {
    case: shape.name,
    vocabSize: shape.vocabSize,
    hiddenSize: shape.hiddenSize,
    batchSize,
    worldSize: 1,
    dtype,
    variant,
  }
  const records: BenchRecord[] = []
  for (const [i, contender] of contenders.entries()) {
    const summary = summaries[i] as Summary
    const allocatedBytes =
      summary.median < ALLOCATION_MAX_MS * 1000
        ? await allocatedBy(contender, () => draw(contender))
        : undefined
    const { name, threads } = contender
    const timing = timingOf(summary)
    records.push({
      op: 'sample',
      ...cell,
      contender: name,
      threads,
      ...timing,
      bytes,
      allocatedBytes,
    })
  }
  readThreads.forEach((threads, i) => {
    const timing = timingOf(summaries[contenders.length + i] as Summary)
    const readBytes = options.ceiling.roundBytes(bytes)
    records.push({
      op: 'read',
      ...cell,
      contender: READ_CONTENDER,
      threads,
      ...timing,
      bytes: readBytes,
    })
  })
  return records
}

/** Every call takes other hidden states and other noise than the one before. */
function createDraw(
  { batchSize, variant }: PlannedGroup,
  shape: PlannedHead['shape'],
): (contender: Contender) => Promise<ArrayLike<number>> {
  const inputs = Array.from({ length: NUM_INPUTS }, (_, i) =>
    makeHiddenStates(batchSize, shape.hiddenSize, i),
  )
  const mask = halfMask(shape.vocabSize)
  let position = 0
  return (contender) => {
    const hiddenStates = inputs[position % NUM_INPUTS] as Float32Array
    const params = variantParams(variant, position++, mask)
    return contender.draw({ hiddenStates, batchSize, variant, params })
  }
}

async function allocatedBy(
  contender: Contender,
  draw: () => Promise<unknown>,
): Promise<number | undefined> {
  if (contender.workspaceBytes === undefined) return undefined
  const { transientBytes, retainedBytes } = await measureAllocation(draw, ALLOCATION_DRAWS)
  return transientBytes + Math.round(retainedBytes / ALLOCATION_DRAWS) + contender.workspaceBytes()
}

function findContender(
  loaded: readonly LoadedContenders[],
  name: string,
  threads: number,
): Contender {
  for (const { contenders } of loaded) {
    const found = contenders.find((entry) => entry.name === name && entry.threads === threads)
    if (found !== undefined) return found
  }
  throw new RangeError(`Cannot time ${name} on ${threads} threads as it was not loaded`)
}

function timingOf({
  median,
  p10,
  p90,
  count,
}: Summary): Pick<BenchRecord, 'medianUs' | 'p10Us' | 'p90Us' | 'samples'> {
  const round = (us: number): number => Math.round(us * 10) / 10
  return { medianUs: round(median), p10Us: round(p10), p90Us: round(p90), samples: count }
}
