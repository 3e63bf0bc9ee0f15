/**
 * Times fused draws against the fastest plain read that WebGPU reaches on this adapter, and writes one JSON file.
 *
 * `bench.mjs [--json FILE] [--commit HASH] [--sweep] [--vocab-size N] [--hidden-size N] [--batch 1,8] [--dtypes f16,nbits4,f32]
 *   [--samples N] [--repeats N] [--warm-up MS]`
 *
 * A draw's time is that of a pass of many draws, by timestamps of the GPU, divided by their number. The end-to-end time
 * of a call with 4 bytes read back stands beside it.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { type CheckedShard, normalizeParams } from '@flashsampling/core'
import { DeviceState } from '../../src/device-state.ts'
import { BUFFER_USAGE, MAP_MODE_READ } from '../../src/gpu-constants.ts'
import { type GpuHead, type HeadPiece, uploadHead } from '../../src/gpu-head.ts'
import { productSource } from '../../src/kernels.ts'
import { loadRanking } from '../../src/load-ranking.ts'
import { PassRunner } from '../../src/pass-runner.ts'
import { makeTasks, planPasses } from '../../src/plan.ts'
import { runSamplePass } from '../../src/sample-pass.ts'
import type { Tuning } from '../../src/tuning.ts'
import { openDevice } from '../support/open-device.ts'
import { measureReadCeiling } from './read-ceiling.ts'

interface BenchRecord {
  op: string
  case: string
  vocabSize: number
  hiddenSize: number
  batchSize: number
  worldSize: number
  dtype: string
  variant: string
  contender: string
  medianUs: number
  p10Us: number
  p90Us: number
  samples: number
  bytes: number
}

type BenchDType = 'f32' | 'f16' | 'q8_0' | 'nbits4'

const { values: options } = parseArgs({
  options: {
    json: { type: 'string' },
    commit: { type: 'string', default: '' },
    sweep: { type: 'boolean', default: false },
    'vocab-size': { type: 'string', default: '151936' },
    'hidden-size': { type: 'string', default: '4096' },
    batch: { type: 'string', default: '1,2,4,8,16,64' },
    dtypes: { type: 'string', default: 'f16,nbits4,q8_0' },
    samples: { type: 'string', default: '15' },
    repeats: { type: 'string', default: '40' },
    'warm-up': { type: 'string', default: '300' },
  },
})
const vocabSize = Number(options['vocab-size'])
const hiddenSize = Number(options['hidden-size'])
const batchSizes = options.batch.split(',').map(Number)
const samples = Number(options.samples)
const repeats = Number(options.repeats)
const warmUpMs = Number(options['warm-up'])

const { device, adapter } = await openDevice({ highLimits: true })
device.onuncapturederror = (event) => console.error(event.error.message)
const state = DeviceState.of('measure', device)
const { vendor, architecture, description } = adapter.info
console.log(`${vendor} ${architecture} ${description}; tuning ${JSON.stringify(state.tuning)}`)
const readCeilingGBs = await measureReadCeiling(
  device,
  Math.min(vocabSize * hiddenSize * 2, 2 ** 30),
)
console.log(`read ceiling ${readCeilingGBs.toFixed(0)} GB/s`)

/** Draws whose times are taken in one go. */
const MAX_SAMPLES = 64
/** `GPUBufferUsage.QUERY_RESOLVE`. */
const QUERY_RESOLVE = 0x0200
const querySet = device.createQuerySet({ type: 'timestamp', count: 2 * MAX_SAMPLES })
const [resolved, readBack] = [
  QUERY_RESOLVE | BUFFER_USAGE.COPY_SRC,
  BUFFER_USAGE.MAP_READ | BUFFER_USAGE.COPY_DST,
].map((usage) => device.createBuffer({ size: MAX_SAMPLES * 16, usage })) as [GPUBuffer, GPUBuffer]

const records: BenchRecord[] = []
for (const dtype of options.dtypes.split(',') as BenchDType[]) {
  const head = await uploadHead(state, [makeShard(dtype)])
  console.log(`${dtype}: ${(head.byteLength / 1e6).toFixed(0)} MB in ${head.pieces.length} pieces`)
  if (options.sweep) await sweep(head, dtype)
  else {
    for (const batchSize of batchSizes) {
      for (const variant of ['plain', 'topk-topp'] as const)
        await measure(head, dtype, batchSize, variant)
    }
  }
  head.destroy()
}
if (options.json !== undefined) {
  const file = {
    ...{ schema: 1, device: description || `${vendor} ${architecture}`, driver: description },
    versions: { node: process.version },
    commit: options.commit,
    takenAt: new Date().toISOString(),
    ...{ readCeilingGBs, tuning: state.tuning, records },
  }
  mkdirSync(dirname(options.json), { recursive: true })
  writeFileSync(options.json, `${JSON.stringify(file, null, 2)}\n`)
}
process.exit(0)

/** Weights by a rule of no meaning: a block of rows over and over. */
function makeShard(dtype: BenchDType): CheckedShard {
  const common = { dtype, vocabSize, hiddenSize, vocabStart: 0 }
  const elements = vocabSize * hiddenSize
  const hash = (i: number): number => (Math.imul(i, 2_654_435_761) >>> 9) & 0xffff
  if (dtype === 'nbits4') {
    const data = repeat(new Uint8Array(elements / 2), hash)
    const scales = repeat(new Uint16Array(elements / 32), (i) => 0x1c00 + (hash(i) & 0x3ff))
    return { ...common, data, quantization: { blockSize: 32, scales } }
  }
  if (dtype === 'q8_0') {
    // Bytes of the scale: 0x1c.. is about 2^-8.
    const data = repeat(
      new Uint8Array((elements / 32) * 34),
      (i) => (i % 34 === 1 ? 0x1c : hash(i)),
      34 * 4096,
    )
    return { ...common, data }
  }
  if (dtype === 'f32') {
    return {
      ...common,
      data: repeat(new Float32Array(elements), (i) => (hash(i) - 32768) / 2 ** 21),
    }
  }
  // Sign, exponents from 2^-9 to 2^-6, any mantissa.
  return { ...common, data: repeat(new Uint16Array(elements), (i) => (hash(i) & 0x8fff) | 0x1800) }
}

function repeat<T extends Uint8Array | Uint16Array | Float32Array>(
  data: T,
  rule: (i: number) => number,
  period = 64 * 4096,
): T {
  const first = Math.min(period, data.length)
  for (let i = 0; i < first; i++) data[i] = rule(i)
  for (let length = first; length < data.length; length *= 2) {
    data.copyWithin(length, 0, Math.min(length, data.length - length))
  }
  return data
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] as number
}

/** Times of passes, in µs, by the number of the sample. */
async function readTimes(count: number): Promise<number[]> {
  const encoder = device.createCommandEncoder()
  encoder.resolveQuerySet(querySet, 0, 2 * count, resolved, 0)
  encoder.copyBufferToBuffer(resolved, 0, readBack, 0, count * 16)
  device.queue.submit([encoder.finish()])
  await readBack.mapAsync(MAP_MODE_READ, 0, count * 16)
  const stamps = new BigUint64Array(readBack.getMappedRange(0, count * 16).slice(0))
  readBack.unmap()
  return Array.from({ length: count }, (_, i) => {
    const [begin, end] = [stamps[2 * i], stamps[2 * i + 1]] as [bigint, bigint]
    return Number(end - begin) / 1000
  })
}

/** A draw's times on the GPU, and those of whole calls, in µs. */
async function time(
  head: GpuHead,
  batchSize: number,
  params: { topK?: number; topP?: number },
): Promise<{ gpu: number[]; call: number[] }> {
  const runner = new PassRunner(state, head, productSource, 'flash')
  const { prepareLists } = await loadRanking()
  const rows = Array.from({ length: batchSize }, (_, row) =>
    normalizeParams({ seed: BigInt(row), position: 1, temperature: 0.8, ...params }, vocabSize),
  )
  const [shares] = planPasses(rows, head.numTiles, false)
  const tasks = makeTasks(shares as NonNullable<typeof shares>)
  const data = Float32Array.from({ length: batchSize * hiddenSize }, (_, i) => Math.sin(i))
  const size = batchSize * hiddenSize * 4
  const buffer = device.createBuffer({ size, usage: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_DST })
  device.queue.writeBuffer(buffer, 0, data)
  const hidden = {
    ...{ format: 'f32' as const, range: { buffer, offset: 0, size }, copies: [], copiedBytes: 0 },
    ...{ starts: tasks.map((_, row) => (row * hiddenSize) / 4), source: buffer },
  }
  const submit = (planes: 0 | 1, timing: { repeats?: number; sample?: number }): Promise<unknown> =>
    runSamplePass(runner, tasks, hidden, {
      ...{ planes, destination: null, prepareLists, repeats: timing.repeats ?? 1 },
      ...(timing.sample !== undefined && {
        timestampWrites: {
          querySet,
          beginningOfPassWriteIndex: 2 * timing.sample,
          endOfPassWriteIndex: 2 * timing.sample + 1,
        },
      }),
    })
  // One draw after the other without a pause, as an idle card lowers its clock: from 1,980 to 345 MHz on an H100.
  for (const until = performance.now() + warmUpMs; performance.now() < until; ) {
    await Promise.all([1, 2, 3, 4].map(() => submit(0, { repeats })))
    await device.queue.onSubmittedWorkDone()
  }
  await Promise.all(Array.from({ length: samples }, (_, sample) => submit(0, { repeats, sample })))
  const gpu = (await readTimes(samples)).map((time) => time / repeats)
  const call: number[] = []
  for (let i = 0; i < samples; i++) {
    const start = performance.now()
    await submit(1, {})
    call.push((performance.now() - start) * 1000)
  }
  runner.destroy()
  buffer.destroy()
  return { gpu, call }
}

async function measure(
  head: GpuHead,
  dtype: BenchDType,
  batchSize: number,
  variant: 'plain' | 'topk-topp',
): Promise<void> {
  const { gpu, call } = await time(
    head,
    batchSize,
    variant === 'plain' ? {} : { topK: 40, topP: 0.95 },
  )
  for (const [op, times] of [
    ['sample', gpu],
    ['sample-call', call],
  ] as const) {
    const [p10Us, medianUs, p90Us] = [0.1, 0.5, 0.9].map((q) => quantile(times, q)) as [
      number,
      number,
      number,
    ]
    records.push({
      ...{ op, case: 'small', vocabSize, hiddenSize, batchSize, worldSize: 1, dtype, variant },
      ...{ contender: 'flashsampling', medianUs, p10Us, p90Us, samples, bytes: head.byteLength },
    })
    const rate = head.byteLength / medianUs / 1e3
    const percent = ((100 * rate) / readCeilingGBs).toFixed(1)
    console.log(
      `${op.padEnd(12)} ${dtype} ${variant.padEnd(9)} B=${String(batchSize).padEnd(3)} ` +
        `${medianUs.toFixed(1)} us (${p10Us.toFixed(1)}, ${p90Us.toFixed(1)})  ${rate.toFixed(0)} GB/s  ${percent} % of the ceiling`,
    )
  }
}

/** Tries shapes of the tile kernel: what the table in src/tuning.ts is made from. */
async function sweep(head: GpuHead, dtype: BenchDType): Promise<void> {
  const found: { text: string; median: number; batchSize: number }[] = []
  for (const batchSize of batchSizes) {
    for (const workgroup of [128, 256]) {
      for (const tile of [32, 64, 128]) {
        for (const tokens of [4, 8]) {
          for (const unroll of [1, 2]) {
            for (const rows of batchSize === 1 ? [1] : [4, 8].filter((rows) => rows <= batchSize)) {
              const walk = { workgroup, tokens, rows, sums: tokens * rows, unroll }
              const shape = { tile, dense: walk, quantised: walk }
              const tuning: Tuning = { ...state.tuning, ...shape }
              if (tokens > (tile * tuning.maxLanes) / workgroup) continue
              const text = JSON.stringify({ tile, ...walk })
              try {
                const { gpu } = await time(retile(head, tuning), batchSize, {})
                found.push({ text, median: quantile(gpu, 0.5), batchSize })
              } catch (error) {
                console.log(`${text}: ${error instanceof Error ? error.message : error}`)
              }
            }
          }
        }
      }
    }
    const ofBatch = found.filter((entry) => entry.batchSize === batchSize)
    for (const { text, median } of ofBatch.sort((a, b) => a.median - b.median).slice(0, 8)) {
      const rate = head.byteLength / median / 1e3
      console.log(`${dtype} B=${batchSize} ${median.toFixed(1)} us ${rate.toFixed(0)} GB/s ${text}`)
    }
  }
}

/** The same weights cut into other tiles. */
function retile(head: GpuHead, tuning: Tuning): GpuHead {
  if (head.pieces.length !== 1) throw new Error('a sweep needs a head in one piece')
  const piece = head.pieces[0] as HeadPiece
  const numTiles = Math.ceil(piece.numTokens / tuning.tile)
  return { ...head, tuning, numTiles, pieces: [{ ...piece, numTiles }] }
}
