/**
 * Runs everything that the Node side promises on a GPU, without a test framework: the conformance kit, the statistics of
 * draws and the checks of `checks/`, for each kernel that the GPU serves; equal tokens of all kernels; a large head.
 *
 * `run-node-tests.sh` bundles and starts it. Prints one line a failure or skip and ends with `N passed, N failed, N
 * skipped`; the exit code is 1 when anything failed or nothing could run.
 */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import {
  createSampler,
  makeCase,
  runConformance,
  runStatistics,
  sampleFromLogits,
  splitHead,
} from '@flashsampling/core'
import {
  type CudaDevice,
  type CudaKernel,
  checkAvailability,
  createCudaBackend,
} from '../../src/index.ts'
import { CHECKS, runCheck } from './checks/index.ts'

interface Result {
  suite: string
  name: string
  status: 'passed' | 'failed' | 'skipped'
  detail?: string | undefined
  durationMs: number
}

const results: Result[] = []

if (isMainThread) await main()
else parentPort?.postMessage(await drawOnce())

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      draws: { type: 'string', default: String(2 ** 20) },
      filter: { type: 'string', default: '' },
      json: { type: 'string' },
      'no-large': { type: 'boolean', default: false },
    },
  })
  const { available, reason, devices } = checkAvailability()
  const [device] = devices
  if (!available || device === undefined) {
    console.error(`Cannot test on a GPU: ${reason}`)
    process.exitCode = 1
    return
  }
  console.log(`${device.name}, compute capability ${device.computeMajor}.${device.computeMinor}`)
  console.log(
    `driver ${device.driverVersion}, runtime ${device.runtimeVersion}, Node ${process.version}`,
  )
  const kernels = servedKernels(device)
  for (const kernel of kernels) await testKernel(kernel, Number(options.draws), options.filter)
  await testTogether(kernels, options.filter, options['no-large'])

  const count = (status: Result['status']): number =>
    results.filter((result) => result.status === status).length
  if (options.json !== undefined) {
    mkdirSync(dirname(options.json), { recursive: true })
    writeFileSync(options.json, `${JSON.stringify({ device, kernels, results }, null, 2)}\n`)
  }
  const [passed, failed, skipped] = [count('passed'), count('failed'), count('skipped')]
  if (failed > 0 || passed === 0) process.exitCode = 1
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
}

function servedKernels(device: CudaDevice): CudaKernel[] {
  return [
    ...(device.servesSm90a ? (['sm90a'] as const) : []),
    ...(device.servesSmxx ? (['smxx'] as const) : []),
  ]
}

async function testKernel(kernel: CudaKernel, draws: number, filter: string): Promise<void> {
  const conformance = await runConformance(createCudaBackend({ kernel }), { filter })
  const { cases } = conformance
  for (const { name, status, detail, reason, durationMs } of cases) {
    record({ suite: `conformance ${kernel}`, name, status, detail: detail ?? reason, durationMs })
  }
  const sum = (pick: (result: (typeof cases)[number]) => number): number =>
    cases.reduce((total, result) => total + pick(result), 0)
  console.log(
    `${kernel}: ${sum((c) => c.rowsChecked)} rows compared, ${sum((c) => c.withinMargin)} within the bound, ` +
      `largest error of a log-probability ${Math.max(...cases.map((c) => c.maxLogprobError))}`,
  )
  const statistics = await runStatistics(createCudaBackend({ kernel }), { draws, filter })
  for (const { name, status, reason, pValue, durationMs } of statistics.tests) {
    const detail = reason ?? `p = ${pValue}`
    record({ suite: `statistics ${kernel}`, name, status, detail, durationMs })
  }
  console.log(`${kernel}: smallest p-value ${statistics.minPValue}`)
  for (const check of CHECKS) {
    if (!check.name.includes(filter)) continue
    await test(`checks ${kernel}`, check.name, () => runCheck(check, kernel))
  }
}

async function testTogether(
  kernels: readonly CudaKernel[],
  filter: string,
  skipsLarge: boolean,
): Promise<void> {
  const tests: [string, () => Promise<void>][] = [
    ['kernels: draw the tokens of the oracle from small integers', () => compareKernels(kernels)],
    ['threads: a worker thread draws what the main thread draws', compareThreads],
    ...(skipsLarge ? [] : [['large: a head of 1.2 GB arrives whole', drawFromLargeHead] as const]),
  ].map(([name, run]) => [name as string, run as () => Promise<void>])
  for (const [name, run] of tests) if (name.includes(filter)) await test('together', name, run)
}

async function test(suite: string, name: string, run: () => Promise<void>): Promise<void> {
  const start = performance.now()
  try {
    await run()
    record({ suite, name, status: 'passed', durationMs: performance.now() - start })
  } catch (error) {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error)
    record({ suite, name, status: 'failed', detail, durationMs: performance.now() - start })
  }
}

function record(result: Result): void {
  results.push(result)
  if (result.status === 'passed') return
  console.log(`${result.status}: ${result.suite}: ${result.name}: ${result.detail}`)
}

/** Bitwise: every kernel, dtype, batch size and number of shards gives the tokens of exact sums. */
async function compareKernels(kernels: readonly CudaKernel[]): Promise<void> {
  for (const dtype of ['bf16', 'f16'] as const) {
    for (const [vocabSize, hiddenSize] of [
      [2003, 136],
      [517, 1032],
    ] as const) {
      const batchSize = 300
      const inputs = makeCase({
        ...{ seed: 31n, vocabSize, hiddenSize, batchSize, dtype, values: 'integers' },
      })
      const params = Array.from({ length: batchSize }, (_, row) => ({
        seed: BigInt(row),
        position: 7n,
        temperature: row % 5 === 0 ? 0 : 16,
      }))
      const expected = inputs.logits.map(
        (logits, row) => sampleFromLogits(logits, params[row] as (typeof params)[number]).tokenId,
      )
      for (const kernel of kernels) {
        for (const numShards of [1, 3, 8]) {
          const sampler = await createSampler({
            lmHead: { shards: splitHead(inputs.lmHead, numShards) },
            backend: createCudaBackend({ kernel }),
          })
          for (const rows of [1, 8, 33, 64, 129, 256, 300]) {
            const { tokenIds } = await sampler.sample({
              hiddenStates: inputs.hiddenStates.subarray(0, rows * hiddenSize),
              params: params.slice(0, rows),
            })
            const what = `${kernel}, ${dtype}, ${vocabSize} x ${hiddenSize}, ${numShards} shards, ${rows} rows`
            assert.deepEqual([...tokenIds], expected.slice(0, rows), what)
          }
          await sampler.dispose()
        }
      }
    }
  }
}

async function drawOnce(): Promise<number[]> {
  const inputs = makeCase({
    seed: 5n,
    vocabSize: 900,
    hiddenSize: 40,
    batchSize: 16,
    dtype: 'bf16',
  })
  const sampler = await createSampler({ lmHead: inputs.lmHead, backend: createCudaBackend() })
  const { tokenIds } = await sampler.sample({
    hiddenStates: inputs.hiddenStates,
    params: Array.from({ length: 16 }, (_, row) => ({ seed: 4n, position: row })),
  })
  await sampler.dispose()
  return [...tokenIds]
}

async function compareThreads(): Promise<void> {
  const inWorkers = Array.from({ length: 3 }, () => {
    const worker = new Worker(new URL(import.meta.url))
    return new Promise<number[]>((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
  })
  const here = await drawOnce()
  for (const tokens of await Promise.all(inWorkers)) assert.deepEqual(tokens, here)
}

/** Greedy draws whose winners are known: the head repeats a block of rows, and a few rows stand out. */
async function drawFromLargeHead(): Promise<void> {
  const [vocabSize, hiddenSize] = [151_936, 4096]
  const data = new Uint16Array(vocabSize * hiddenSize)
  // -1 and 0 in bf16, by a rule of no meaning.
  const block = 64 * hiddenSize
  for (let i = 0; i < block; i++) data[i] = (i * 2_654_435_761) % 7 === 0 ? 0xbf80 : 0
  for (let length = block; length < data.length; length *= 2) {
    data.copyWithin(length, 0, Math.min(length, data.length - length))
  }
  const marked = [0, 1, 1023, 1024, 1025, 75_968, 151_934, 151_935]
  for (const [column, tokenId] of marked.entries()) data[tokenId * hiddenSize + column] = 0x4300
  const start = performance.now()
  const sampler = await createSampler({
    lmHead: { dtype: 'bf16', vocabSize, hiddenSize, data },
    backend: createCudaBackend(),
  })
  const seconds = (performance.now() - start) / 1000
  console.log(`upload of ${(data.byteLength / 1e9).toFixed(2)} GB: ${seconds.toFixed(2)} s`)
  const hiddenStates = new Float32Array(marked.length * hiddenSize)
  for (const column of marked.keys()) hiddenStates[column * hiddenSize + column] = 1
  const { tokenIds } = await sampler.sample({ hiddenStates, params: { seed: 1n, temperature: 0 } })
  assert.deepEqual([...tokenIds], marked)
  for (const batchSize of [1, 8, 64, 256]) {
    const states = new Float32Array(batchSize * hiddenSize).fill(0.5)
    const times: number[] = []
    for (let i = 0; i < 30; i++) {
      const from = performance.now()
      await sampler.sample({ hiddenStates: states, params: { seed: 1n, position: i } })
      times.push(performance.now() - from)
    }
    times.sort((a, b) => a - b)
    console.log(
      `sample() through Node, B=${batchSize}: median ${(times[15] as number).toFixed(3)} ms`,
    )
  }
  await sampler.dispose()
}
