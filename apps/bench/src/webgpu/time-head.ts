/**
 * Times every contender on one head, on one device.
 *
 * @module
 */
import type { Summary } from '../harness/stats.ts'
import { CHECKED_SETS, makeCalls, makeReferences, makeSets, TEMPERATURE } from './calls.ts'
import { checkToken } from './check.ts'
import type { WebGpuContender, WebGpuContenderName, WebGpuHead, WebGpuRows } from './contender.ts'
import { classOf, describeDevice } from './device.ts'
import { type ContenderContext, GpuContenders } from './gpu-contenders.ts'
import { bytesOfDraw, makeWebGpuHead } from './heads.ts'
import type { HeadJob, Message, WebGpuRecord } from './messages.ts'
import { GpuMeter, type Metered } from './meter.ts'
import { ReadCeiling, type ReadMethod } from './read-ceiling.ts'
import { type RoundEntry, type RoundSummary, seededRandom, timeRounds } from './rounds.ts'

/** Memory that is read before every sample: more than a cache holds, bytes. */
const EVICTED_BYTES = 256 * 2 ** 20
/** Time that a GPU reads before every sample, ms, and reads that are under way. */
const BUSY_MS = 30
const READS_AT_ONCE = 4
const METHOD_SAMPLES = 7

/** Makes contenders that need more than WebGPU; `null` where it does not have the name. */
export type ForeignContenders = (
  name: WebGpuContenderName,
  context: ContenderContext,
) => Promise<WebGpuContender | null>

/** Options of {@link timeHead}. */
export interface TimeHeadOptions {
  device: GPUDevice
  job: HeadJob
  foreign: ForeignContenders
  emit(message: Message): void
}

/**
 * Times one head.
 *
 * @param options - Device, job, further contenders; `emit` takes what is found.
 */
export async function timeHead({ device, job, foreign, emit }: TimeHeadOptions): Promise<void> {
  const facts = describeDevice(device)
  const deviceClass = classOf(facts)
  // The clock of a software adapter is that of the process.
  const meter = new GpuMeter(device, { isTimed: !facts.isSoftware })
  const where = `${job.shape.name} ${job.dtype}`
  const step = (text: string): void => emit({ kind: 'step', text: `${where}: ${text}` })
  step('making weights')
  const head = makeWebGpuHead(job.shape, job.dtype)
  const context = { device, deviceClass, head, batchSizes: job.batchSizes }
  const own = new GpuContenders(context)
  const contenders: WebGpuContender[] = []
  for (const name of job.contenders) {
    if (name === 'read-ceiling') continue
    step(`loading ${name}`)
    try {
      const contender = (await own.create(name)) ?? (await foreign(name, context))
      if (contender !== null) contenders.push(contender)
    } catch (error) {
      emit({ kind: 'leftOut', contender: name, where, reason: messageOf(error) })
    }
  }
  const bytes = job.batchSizes.map((batchSize) => bytesOfDraw(head, batchSize))
  const evicted = facts.isSoftware ? 0 : EVICTED_BYTES
  const ceiling = await ReadCeiling.create(device, Math.max(evicted, ...bytes), deviceClass)
  for (const length of bytes) await ceiling.prepare(length)
  const evict = facts.isSoftware ? makeProcessorEviction() : await makeEviction(ceiling, evicted)
  step('products in float64, for checks')
  const references = makeReferences(head, job.batchSizes)
  const bench = { device, job, emit, meter, head, ceiling, evict, references }
  step('read rate')
  const method = await fastestMethod(bench, bytes[0] as number)
  for (const batchSize of job.batchSizes) {
    step(`B=${batchSize}`)
    await timeBatch(bench, contenders, batchSize, method)
  }
  for (const contender of contenders) await contender.dispose()
  await own.dispose()
  ceiling.dispose()
}

interface Bench {
  device: GPUDevice
  job: HeadJob
  emit(message: Message): void
  meter: GpuMeter
  head: WebGpuHead
  ceiling: ReadCeiling
  /** Empties the cache that weights could stay in. */
  evict(): Promise<void>
  /** Float64 logits by set and row. */
  references: ReadonlyMap<string, Float64Array>
}

/**
 * Empties the cache, and keeps the GPU busy for so long that its clock is up: one that has waited for the processor
 * since the last call runs products at a fraction of its speed.
 */
async function makeEviction(ceiling: ReadCeiling, bytes: number): Promise<() => Promise<void>> {
  await ceiling.prepare(bytes)
  const read = (): Promise<void> => ceiling.read(ceiling.methods[0] as ReadMethod, bytes)
  return async () => {
    const end = performance.now() + BUSY_MS
    while (performance.now() < end) await Promise.all(Array.from({ length: READS_AT_ONCE }, read))
  }
}

/** An adapter that is a processor reads slowly: JavaScript does it sooner. */
function makeProcessorEviction(): () => Promise<void> {
  const memory = new Float64Array(EVICTED_BYTES / 2 / 8).fill(1)
  let sum = 0
  return async () => {
    for (let i = 0; i < memory.length; i += 8) sum += memory[i] as number
    // Keeps the loop.
    memory[0] = sum % 2
  }
}

async function fastestMethod(bench: Bench, byteLength: number): Promise<ReadMethod> {
  const { ceiling, meter, job, emit } = bench
  const entries = ceiling.methods.map((method) =>
    makeEntry(meter, () => ceiling.read(method, byteLength)),
  )
  const times = {
    warmUpMs: 0,
    totalMs: 0,
    minSamples: METHOD_SAMPLES,
    maxSamples: METHOD_SAMPLES,
    slowMs: Infinity,
  }
  const summaries = await timeRounds(entries, times, {
    settle: bench.evict,
    onCall: () => undefined,
  })
  const medians = summaries.map(({ wall, gpu }) => (gpu ?? wall).median)
  ceiling.methods.forEach(({ name }, i) => {
    emit({
      kind: 'readRate',
      rate: {
        ...{ case: job.shape.name, dtype: job.dtype, method: name, threads: 1 },
        gigabytesPerSecond: round(byteLength / (medians[i] as number) / 1e3, 2),
        samples: METHOD_SAMPLES,
      },
    })
  })
  return ceiling.methods[medians.indexOf(Math.min(...medians))] as ReadMethod
}

async function timeBatch(
  bench: Bench,
  loaded: readonly WebGpuContender[],
  batchSize: number,
  method: ReadMethod,
): Promise<void> {
  const { device, job, emit, meter, head, ceiling } = bench
  const sets = await makeSets(device, batchSize, head.hiddenSize)
  const calls = makeCalls(sets, batchSize)
  const bytes = bytesOfDraw(head, batchSize)
  const checked: { contender: WebGpuContender; metered: Metered }[] = []
  for (const contender of loaded) {
    try {
      checked.push({ contender, metered: await checkContender(bench, contender, sets) })
    } catch (error) {
      const where = `${job.shape.name} ${job.dtype} B=${batchSize}`
      emit({ kind: 'leftOut', contender: contender.name, where, reason: messageOf(error) })
    }
  }
  const entries = checked.map(({ contender }) =>
    makeEntry(meter, () => contender.draw(calls.next())),
  )
  const isRead = job.contenders.includes('read-ceiling')
  if (isRead) entries.push(makeEntry(meter, () => ceiling.read(method, bytes)))
  let numCalls = 0
  const summaries = await timeRounds(entries, job.times, {
    settle: bench.evict,
    onCall: () =>
      emit({
        kind: 'step',
        text: `${job.shape.name} ${job.dtype} B=${batchSize}, call ${++numCalls}`,
      }),
  })
  const cell = {
    ...{ case: job.shape.name, vocabSize: head.vocabSize, hiddenSize: head.hiddenSize, batchSize },
    ...{ worldSize: 1, dtype: job.dtype, variant: 'plain' },
  }
  checked.forEach(({ contender, metered }, i) => {
    const { dispatches, readbackBytes } = metered
    emit({
      kind: 'record',
      record: {
        ...{ op: 'sample', ...cell, contender: contender.name, threads: 1 },
        ...timingOf(summaries[i] as RoundSummary),
        ...{ bytes, readbackBytes, dispatches },
      },
    })
  })
  if (isRead) {
    emit({
      kind: 'record',
      record: {
        ...{ op: 'read', ...cell, contender: 'read-ceiling', threads: 1 },
        ...timingOf(summaries[checked.length] as RoundSummary),
        ...{ bytes, readbackBytes: 0, dispatches: 1, method: method.name },
      },
    })
  }
  for (const { buffer } of sets) buffer.destroy()
}

/** Draws a few times with known inputs; counts what one draw does. */
async function checkContender(
  { meter, head, references }: Bench,
  contender: WebGpuContender,
  sets: readonly WebGpuRows[],
): Promise<Metered> {
  const random = seededRandom(7)
  let metered: Metered = { dispatches: 0, readbackBytes: 0, gpuUs: null }
  let numRight = 0
  for (const [index, rows] of sets.slice(0, CHECKED_SETS).entries()) {
    const { batchSize } = rows
    const uniforms = Float32Array.from({ length: batchSize }, random)
    const params = { seed: 2026n, position: 1_000_000 + index, temperature: TEMPERATURE }
    contender.poison?.(batchSize)
    meter.start(false)
    const tokenIds = await contender.draw({ rows, params, uniforms })
    metered = await meter.stop()
    if (contender.rule === 'none') return metered
    if (tokenIds.length !== batchSize) {
      throw new Error(`it gave ${tokenIds.length} tokens for ${batchSize} rows`)
    }
    for (let row = 0; row < batchSize; row++) {
      const tokenId = tokenIds[row] as number
      if (!(tokenId >= 0 && tokenId < head.vocabSize)) {
        throw new Error(`it left the token of row ${row} unwritten: ${tokenId}`)
      }
    }
    for (const row of new Set([0, batchSize - 1])) {
      const logits = references.get(`${index} ${row}`) as Float64Array
      const check = { logits, params, uniform: uniforms[row] as number }
      const tokenId = tokenIds[row] as number
      const verdict = checkToken(contender, tokenId, check)
      if (verdict === 'wrong') {
        throw new Error(`row ${row} of its draw ${index} has a wrong token: ${tokenId}`)
      }
      if (verdict === 'right') numRight++
    }
  }
  if (numRight === 0) throw new Error('none of its tokens could be checked')
  return metered
}

function makeEntry(meter: GpuMeter, run: () => Promise<unknown>): RoundEntry {
  const runOnGpu = async (): Promise<number | null> => {
    meter.start(true)
    await run()
    return (await meter.stop()).gpuUs
  }
  return { run, runOnGpu: meter.hasTimestamps ? runOnGpu : null }
}

function timingOf({
  wall,
  gpu,
}: RoundSummary): Pick<
  WebGpuRecord,
  'medianUs' | 'p10Us' | 'p90Us' | 'samples' | 'gpuMedianUs' | 'gpuP10Us' | 'gpuP90Us'
> {
  const three = ({ median, p10, p90 }: Summary): [number, number, number] => [
    round(median, 1),
    round(p10, 1),
    round(p90, 1),
  ]
  const [medianUs, p10Us, p90Us] = three(wall)
  const common = { medianUs, p10Us, p90Us, samples: wall.count }
  if (gpu === null) return common
  const [gpuMedianUs, gpuP10Us, gpuP90Us] = three(gpu)
  return { ...common, gpuMedianUs, gpuP10Us, gpuP90Us }
}

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
