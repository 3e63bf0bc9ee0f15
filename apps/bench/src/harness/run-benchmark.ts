/**
 * The `run` command: plan, measurement, files, summary.
 *
 * @module
 */
import { writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import type { ContenderFamily, ContenderName } from '../contenders/contender.ts'
import { flashsamplingFamily } from '../contenders/flashsampling.ts'
import { installContenders } from '../contenders/install.ts'
import { onnxruntimeFamily } from '../contenders/onnxruntime.ts'
import { makeFolder } from '../ui/make-folder.ts'
import { Progress } from '../ui/progress.ts'
import { UsageError, UserError } from '../ui/user-error.ts'
import { deviceSlug, readEnvironment, readLoadAverage } from './environment.ts'
import { reportToMarkdown, summaryToMarkdown } from './markdown.ts'
import { makePlan, type PlannedHead } from './plan.ts'
import {
  openReadCeiling,
  type ReadCeiling,
  type ReadMethod,
  type ReadRate,
} from './read-ceiling.ts'
import { type BenchReport, formatReport } from './record.ts'
import { writeHtmlReport } from './render-report.ts'
import type { RunFlags } from './run-flags.ts'
import { type RunTimes, runPlan } from './run-plan.ts'
import { readSelection, readThreads } from './selection.ts'
import { summarizeReport } from './summary.ts'

const FULL_TIMES: RunTimes = { warmUpMs: 200, minTimeMs: 600, minSamples: 11, maxSamples: 40 }
const QUICK_TIMES: RunTimes = { warmUpMs: 50, minTimeMs: 100, minSamples: 5, maxSamples: 12 }
const FAMILIES: readonly ContenderFamily[] = [flashsamplingFamily, onnxruntimeFamily]

/**
 * Runs the benchmark and writes what was asked for.
 *
 * @param flags - Options of the command line.
 * @returns Whether every promised line passed; always `true` without `--check`.
 * @throws {UserError} when an option cannot be served here.
 */
export async function runBenchmark(flags: RunFlags): Promise<boolean> {
  const threads = readThreads(flags.threads, availableParallelism())
  const selection = readSelection(flags, FAMILIES)
  const times = readTimes(flags)
  // A run takes long: a folder that cannot be made is found before it.
  if (flags.out !== undefined) await makeFolder(flags.out)
  if (flags.report !== undefined) await makeFolder(dirname(flags.report))
  if (flags.installContenders) await installWithProgress()
  const families = availableFamilies(selection.contenders)
  const quick = flags.quick === true
  const plan = makePlan({ selection, quick, threads, families })
  if (plan.length === 0) {
    throw new UsageError(
      'Cannot run the benchmark as no contender serves the selection: onnxruntime-node has f32 and q8_0 heads, ' +
        'flashsampling-typescript one thread and at most 8 rows',
    )
  }
  const report = await measure({ plan, families, threads, times, quick })

  if (flags.out !== undefined) await writeJson(report, flags.out)
  if (flags.report !== undefined) await writeHtmlReport(report, flags.report)
  const lines = summarizeReport(report)
  if (flags.format === 'json') process.stdout.write(formatReport(report))
  else process.stdout.write(`${reportToMarkdown(report)}\n${summaryToMarkdown(lines)}`)
  return !flags.check || lines.every(({ status, isPromised }) => !isPromised || status === 'pass')
}

interface MeasureOptions {
  plan: readonly PlannedHead[]
  families: readonly ContenderFamily[]
  threads: readonly number[]
  times: RunTimes
  quick: boolean
}

async function measure(options: MeasureOptions): Promise<BenchReport> {
  const { plan, families, threads, times, quick } = options
  const environment = readEnvironment()
  const takenAt = new Date().toISOString()
  const before = readLoadAverage()
  const ceiling = openReadCeiling({ maxThreads: Math.max(...threads) })
  try {
    const ratesBefore = measureRates(ceiling, threads, times)
    const numGroups = plan.reduce((sum, { groups }) => sum + groups.length, 0)
    let step = 'starting'
    let done = 0
    const progress = new Progress({
      label: 'Timing',
      total: numGroups,
      format: (amount) => (amount === numGroups ? `${amount}` : `${amount} (${step})`),
      delayMs: 0,
    })
    const records = await runPlan({
      plan,
      families,
      times,
      ceiling,
      readMethods: fastestMethods(ratesBefore),
      onStep: (description) => {
        step = description
        progress.update(done)
      },
      onGroupDone: () => progress.update(++done),
    })
    progress.done()
    const readRates = fastestRates([...ratesBefore, ...measureRates(ceiling, threads, times)])
    return {
      schema: 1,
      device: environment.device,
      driver: environment.driver,
      versions: Object.assign({}, environment.versions, ...families.map((f) => f.versions())),
      commit: environment.commit,
      takenAt,
      readCeilingGBs: Math.max(...readRates.map((rate) => rate.gigabytesPerSecond)),
      readRates,
      processors: availableParallelism(),
      loadAverage: { before, after: readLoadAverage() },
      quick,
      records,
    }
  } finally {
    await ceiling.close()
  }
}

function measureRates(
  ceiling: ReadCeiling,
  threads: readonly number[],
  times: RunTimes,
): ReadRate[] {
  return threads.flatMap((count) => ceiling.measure(count, times.minTimeMs))
}

function fastestMethods(rates: readonly ReadRate[]): Map<number, ReadMethod> {
  const ascending = [...rates].sort((a, b) => a.gigabytesPerSecond - b.gigabytesPerSecond)
  return new Map(ascending.map(({ threads, method }) => [threads, method]))
}

/** Keeps the faster of the measurements at the start and the end of the run, by method and number of threads. */
function fastestRates(rates: readonly ReadRate[]): ReadRate[] {
  const best = new Map<string, ReadRate>()
  for (const rate of rates) {
    const key = `${rate.threads} ${rate.method}`
    const known = best.get(key)
    if (known === undefined || rate.gigabytesPerSecond > known.gigabytesPerSecond)
      best.set(key, rate)
  }
  return [...best.values()].map((rate) => ({
    ...rate,
    gigabytesPerSecond: Math.round(rate.gigabytesPerSecond * 100) / 100,
  }))
}

function readTimes(flags: RunFlags): RunTimes {
  const times = flags.quick ? QUICK_TIMES : FULL_TIMES
  if (flags.minTime === undefined) return times
  if (!(flags.minTime > 0 && flags.minTime <= 60_000)) {
    throw new UsageError(
      `Cannot run the benchmark as "--min-time" must be above 0 and at most 60000 ms: current value is ${flags.minTime}`,
    )
  }
  return { ...times, minTimeMs: flags.minTime }
}

/** Leaves out what cannot run here, unless it was asked for by name. */
function availableFamilies(wanted: readonly ContenderName[] | undefined): ContenderFamily[] {
  return FAMILIES.filter((family) => {
    const reason = family.unavailableReason()
    if (reason === null) return true
    if (wanted?.some((name) => family.names.includes(name))) {
      throw new UserError(`Cannot run the benchmark as ${reason}`)
    }
    process.stderr.write(`left out: ${reason}\n`)
    return false
  })
}

async function installWithProgress(): Promise<void> {
  process.stderr.write('Installing onnxruntime-node into apps/bench/contenders\n')
  await installContenders()
}

async function writeJson(report: BenchReport, folder: string): Promise<void> {
  const target = join(folder, deviceSlug(report.device))
  await makeFolder(target)
  const file = join(target, `${report.takenAt.slice(0, 10)}-${report.commit}.json`)
  await writeFile(file, formatReport(report))
  process.stderr.write(`wrote ${file}\n`)
}
