/**
 * Which heads, batch sizes and contenders a WebGPU run times.
 *
 * @module
 */
import type { Shape } from '../cases/shapes.ts'
import { UsageError } from '../ui/user-error.ts'
import { WEBGPU_CONTENDERS, type WebGpuContenderName, type WebGpuDType } from './contender.ts'
import { WEBGPU_SHAPES } from './heads.ts'
import type { HeadJob } from './messages.ts'
import type { RoundTimes } from './rounds.ts'

/** Storage formats on the command line. */
export const WEBGPU_DTYPES: readonly WebGpuDType[] = ['q8_0', 'f32', 'f16', 'nbits4']

const MAX_BATCH_SIZE = 64

/** Options of the command line that choose what is timed. */
export interface PlanFlags {
  case?: string
  dtype?: string
  batch?: string
  contenders?: string
  minTime?: number
  quick?: true
}

/** A head with its batches; shapes by name. */
interface PlannedHead extends Pick<HeadJob, 'dtype' | 'batchSizes'> {
  case: string
}

const HARDWARE_PLAN: readonly PlannedHead[] = [
  { case: 'small', dtype: 'f16', batchSizes: [1, 8, 64] },
  { case: 'small', dtype: 'nbits4', batchSizes: [1, 8, 64] },
  { case: 'smollm2', dtype: 'q8_0', batchSizes: [1, 8, 64] },
  { case: 'smollm2', dtype: 'f32', batchSizes: [1, 8, 64] },
]
const SOFTWARE_PLAN: readonly PlannedHead[] = [
  { case: 'smollm2', dtype: 'q8_0', batchSizes: [1, 8] },
  { case: 'smollm2', dtype: 'f32', batchSizes: [1, 8] },
]
const HARDWARE_TIMES: RoundTimes = {
  warmUpMs: 300,
  totalMs: 4000,
  minSamples: 11,
  maxSamples: 60,
  slowMs: 5000,
}
const SOFTWARE_TIMES: RoundTimes = {
  warmUpMs: 1000,
  totalMs: 30_000,
  minSamples: 7,
  maxSamples: 20,
  slowMs: 8000,
}
const QUICK_TIMES: RoundTimes = {
  warmUpMs: 50,
  totalMs: 500,
  minSamples: 3,
  maxSamples: 7,
  slowMs: 1000,
}

/**
 * Lists what a run times.
 *
 * @param flags - Options of the command line.
 * @param isSoftware - Whether the adapter is a processor: it gets the small plan.
 * @returns One job a head.
 * @throws {UsageError} when a name does not exist or a number is out of range.
 */
export function makeWebGpuPlan(flags: PlanFlags, isSoftware: boolean): HeadJob[] {
  const cases = readNames(
    '--case',
    flags.case,
    WEBGPU_SHAPES.map(({ name }) => name),
  )
  const dtypes = readNames('--dtype', flags.dtype, WEBGPU_DTYPES)
  const batchSizes = splitList(flags.batch)?.map((text) => {
    const size = Number(text)
    if (!Number.isInteger(size) || size < 1 || size > MAX_BATCH_SIZE) {
      const rule = `whole numbers from 1 to ${MAX_BATCH_SIZE}`
      throw new UsageError(
        `Cannot run the benchmark as "--batch" must list ${rule}: current value is "${text}"`,
      )
    }
    return size
  })
  const contenders: readonly WebGpuContenderName[] =
    readNames('--contenders', flags.contenders, WEBGPU_CONTENDERS) ?? WEBGPU_CONTENDERS
  const times = readTimes(flags, isSoftware)
  const plan = isSoftware ? SOFTWARE_PLAN : HARDWARE_PLAN
  const heads: readonly PlannedHead[] =
    cases === undefined && dtypes === undefined
      ? plan
      : (cases ?? ['smollm2']).flatMap((name) =>
          (dtypes ?? ['q8_0']).map((dtype) => ({ case: name, dtype, batchSizes: [1, 8] })),
        )
  return heads.map(({ case: name, dtype, batchSizes: planned }) => ({
    shape: WEBGPU_SHAPES.find((shape) => shape.name === name) as Shape,
    ...{ dtype, batchSizes: batchSizes ?? planned, contenders, times },
  }))
}

function readTimes({ quick, minTime }: PlanFlags, isSoftware: boolean): RoundTimes {
  const times = quick ? QUICK_TIMES : isSoftware ? SOFTWARE_TIMES : HARDWARE_TIMES
  if (minTime === undefined) return times
  if (!(minTime > 0 && minTime <= 600_000)) {
    throw new UsageError(
      `Cannot run the benchmark as "--min-time" must be above 0 and at most 600000 ms: current value is ${minTime}`,
    )
  }
  return { ...times, totalMs: minTime }
}

function readNames<T extends string>(
  option: string,
  text: string | undefined,
  known: readonly T[],
): T[] | undefined {
  return splitList(text)?.map((name) => {
    const found = known.find((candidate) => candidate === name)
    if (found === undefined) {
      throw new UsageError(
        `Cannot run the benchmark as "${option}" must list names among ${known.join(', ')}: current value is "${name}"`,
      )
    }
    return found
  })
}

function splitList(text: string | undefined): string[] | undefined {
  return text?.split(',').map((item) => item.trim())
}
