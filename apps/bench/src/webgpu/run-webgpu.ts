/**
 * The `webgpu` command: plan, jobs, file, tables.
 *
 * @module
 */
import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { deviceSlug, readEnvironment, readLoadAverage } from '../harness/environment.ts'
import { formatReport } from '../harness/record.ts'
import { makeFolder } from '../ui/make-folder.ts'
import { Progress } from '../ui/progress.ts'
import { messageOf, UserError } from '../ui/user-error.ts'
import { createChromiumHost } from './chromium-host.ts'
import type { AdapterFacts, HeadJob, Message, WebGpuReadRate, WebGpuRecord } from './messages.ts'
import { createNodeHost, type JobHost } from './node-host.ts'
import { makeWebGpuPlan, type PlanFlags } from './plan.ts'
import { type WebGpuReport, webGpuReportToMarkdown } from './report.ts'

/** Options of the command line. */
export interface WebGpuFlags extends PlanFlags {
  in: 'node' | 'chromium'
  software?: true
  out?: string
  commit?: string
  format: 'md' | 'json'
}

/**
 * Runs the benchmark and writes what was asked for.
 *
 * @param flags - Options of the command line.
 * @throws {UserError} when an option cannot be served here, or no head could be timed.
 */
export async function runWebGpuBenchmark(flags: WebGpuFlags): Promise<void> {
  // Wrong options are found before anything starts.
  makeWebGpuPlan(flags, false)
  if (flags.out !== undefined) await makeFolder(flags.out)
  const isSoftware = flags.software === true
  const host =
    flags.in === 'node' ? createNodeHost({ isSoftware }) : createChromiumHost({ isSoftware })
  try {
    const report = await measure(host, flags)
    if (flags.out !== undefined) await writeJson(report, flags.out)
    const text =
      flags.format === 'json' ? formatReport(report) : `${webGpuReportToMarkdown(report)}\n`
    process.stdout.write(text)
  } finally {
    await host.close()
  }
}

async function measure(host: JobHost, flags: WebGpuFlags): Promise<WebGpuReport> {
  const environment = readEnvironment()
  const takenAt = new Date().toISOString()
  const before = readLoadAverage()
  const { adapter, versions } = await askForAdapter(host)
  const jobs = makeWebGpuPlan(flags, adapter.isSoftware)
  const records: WebGpuRecord[] = []
  const readRates: WebGpuReadRate[] = []
  const leftOut: Record<string, string> = {}
  for (const [done, job] of jobs.entries()) {
    const found = await runJob(host, job, `${done + 1} of ${jobs.length}`)
    records.push(...found.records)
    readRates.push(...found.readRates)
    Object.assign(leftOut, found.leftOut)
    Object.assign(versions, found.versions)
  }
  if (records.length === 0) {
    throw new UserError(
      `Cannot run the benchmark as no head could be timed: ${Object.entries(leftOut)
        .map(([what, reason]) => `${what}: ${reason}`)
        .join('; ')}`,
    )
  }
  const reads = records.filter(({ op }) => op === 'read')
  const ceilings = [
    ...readRates.map(({ gigabytesPerSecond }) => gigabytesPerSecond),
    ...reads.map(({ bytes, medianUs, gpuMedianUs }) => bytes / (gpuMedianUs ?? medianUs) / 1e3),
  ]
  return {
    ...{ schema: 1, backend: 'webgpu', host: flags.in, device: deviceName(adapter) },
    driver: adapter.description || environment.driver,
    versions,
    commit: flags.commit ?? environment.commit,
    takenAt,
    adapter,
    readCeilingGBs: Math.round(Math.max(...ceilings) * 100) / 100,
    readRates,
    processors: availableParallelism(),
    processor: environment.device,
    loadAverage: { before, after: readLoadAverage() },
    quick: flags.quick === true,
    leftOut,
    records,
  }
}

/** Dawn writes names in lower case with hyphens: NVIDIA's tool knows how they are spelled. */
function deviceName({ name, vendor }: AdapterFacts): string {
  if (vendor !== 'nvidia') return name
  try {
    const query = ['--query-gpu=name', '--format=csv,noheader']
    const output = execFileSync('nvidia-smi', query, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const spelled = output.split('\n').map((line) => line.trim())
    return spelled.find((line) => deviceSlug(line) === deviceSlug(name)) ?? name
  } catch {
    return name
  }
}

async function askForAdapter(
  host: JobHost,
): Promise<{ adapter: AdapterFacts; versions: Record<string, string> }> {
  let found: Extract<Message, { kind: 'adapter' }> | undefined
  try {
    await host.run(null, (message) => {
      if (message.kind === 'adapter') found = message
    })
  } catch (error) {
    throw new UserError(
      `Cannot run the benchmark as WebGPU does not start: ${messageOf(error)}. --software takes Chromium's SwiftShader`,
      { cause: error },
    )
  }
  if (found === undefined) throw new UserError('Cannot run the benchmark as there is no adapter')
  return found
}

/** What a job found. */
export interface JobResult {
  records: WebGpuRecord[]
  readRates: WebGpuReadRate[]
  leftOut: Record<string, string>
  versions: Record<string, string>
}

/**
 * Runs a job; where its process crashes or hangs, once more without onnxruntime-web, which is the part that is not ours
 * to mend. What a second failure leaves counts.
 *
 * @param host - Where it runs.
 * @param job - The head.
 * @param place - For progress, for example `1 of 2`.
 * @returns What was found.
 */
export async function runJob(host: JobHost, job: HeadJob, place: string): Promise<JobResult> {
  const label = `${job.shape.name} ${job.dtype}`
  const first = newResult()
  const failure = await attempt(host, job, place, first)
  if (failure === null) return first
  const contenders = job.contenders.filter((name) => !name.startsWith('onnxruntime-web'))
  const second = newResult()
  for (const name of job.contenders) {
    if (!contenders.includes(name)) second.leftOut[`${name}, ${label}`] = failure
  }
  const again = await attempt(host, { ...job, contenders }, place, second)
  if (again !== null) second.leftOut[`rest of ${label}`] = again
  return second
}

function newResult(): JobResult {
  return { records: [], readRates: [], leftOut: {}, versions: {} }
}

/** Runs a job; gives why it failed, or `null`. */
async function attempt(
  host: JobHost,
  job: HeadJob,
  place: string,
  result: JobResult,
): Promise<string | null> {
  const label = `${job.shape.name} ${job.dtype}`
  let step = label
  const progress = new Progress({
    label: 'Timing',
    total: job.batchSizes.length,
    format: (amount) => `${amount}, head ${place}, ${step}`,
    delayMs: 0,
  })
  const done = new Set<number>()
  try {
    await host.run(job, (message) => {
      if (message.kind === 'step') step = message.text
      if (message.kind === 'versions') Object.assign(result.versions, message.versions)
      if (message.kind === 'readRate') result.readRates.push(message.rate)
      if (message.kind === 'leftOut') {
        result.leftOut[`${message.contender}, ${message.where}`] = message.reason
      }
      if (message.kind === 'record') {
        result.records.push(message.record)
        done.add(message.record.batchSize)
      }
      progress.update(done.size)
    })
    progress.done()
    return null
  } catch (error) {
    progress.stop()
    process.stderr.write(`${label}: ${messageOf(error)}\n`)
    return messageOf(error)
  }
}

async function writeJson(report: WebGpuReport, folder: string): Promise<void> {
  const target = join(folder, deviceSlug(report.device))
  await makeFolder(target)
  const name = `${report.takenAt.slice(0, 10)}-${report.commit}-webgpu-${report.host}.json`
  const file = join(target, name)
  await writeFile(file, formatReport(report))
  process.stderr.write(`wrote ${file}\n`)
}
