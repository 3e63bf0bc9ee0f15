import { fileURLToPath } from 'node:url'
import { build } from 'tsup'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createChromiumHost } from '../src/webgpu/chromium-host.ts'
import { WEBGPU_CONTENDERS } from '../src/webgpu/contender.ts'
import type { HeadJob, Message, WebGpuRecord } from '../src/webgpu/messages.ts'
import { createNodeHost, type JobHost } from '../src/webgpu/node-host.ts'
import { chromiumPath, NO_CHROMIUM } from './chromium.ts'

const packageFolder = fileURLToPath(new URL('..', import.meta.url))
const outDir = `${packageFolder}build/webgpu`

/** A vocabulary that no block size divides, wide enough for three blocks of the sort. */
const shape = { name: 'tiny', vocabSize: 1291, hiddenSize: 128, title: 'a test' }
const times = { warmUpMs: 0, totalMs: 0, minSamples: 2, maxSamples: 2, slowMs: 0 }

beforeAll(async () => {
  if (chromiumPath === undefined) return
  await build({ config: `${packageFolder}tsup.webgpu.config.ts`, outDir })
}, 120_000)

beforeEach(({ skip }) => {
  skip(chromiumPath === undefined, NO_CHROMIUM)
})

interface Outcome {
  records: WebGpuRecord[]
  leftOut: string[]
  adapters: string[]
}

async function run(
  host: JobHost,
  wanted: Pick<HeadJob, 'dtype'> & Partial<HeadJob>,
): Promise<Outcome> {
  const defaults = { batchSizes: [1, 3], contenders: WEBGPU_CONTENDERS }
  const job: HeadJob = { ...defaults, ...wanted, shape, times }
  const outcome: Outcome = { records: [], leftOut: [], adapters: [] }
  await host.run(job, (message: Message) => {
    if (message.kind === 'record') outcome.records.push(message.record)
    if (message.kind === 'leftOut') outcome.leftOut.push(`${message.contender}: ${message.reason}`)
    if (message.kind === 'adapter') outcome.adapters.push(message.adapter.name)
  })
  return outcome
}

/** Contender, rows, dispatches and bytes read back of each record. */
function facts({ records }: Outcome): [string, number, number, number][] {
  return records
    .filter(({ op }) => op === 'sample')
    .map((record) => [record.contender, record.batchSize, record.dispatches, record.readbackBytes])
}

/**
 * A contender stands in the records only when its tokens passed the check. How onnxruntime-web dispatches and maps is
 * its own business: all its logits come back, or none.
 */
function expectAllContenders(outcome: Outcome, batchSizes: readonly number[]): void {
  expect(outcome.leftOut).toEqual([])
  const found = new Map(facts(outcome).map(([name, rows, ...rest]) => [`${name} ${rows}`, rest]))
  for (const rows of batchSizes) {
    expect(found.get(`flashsampling ${rows}`)).toEqual([2, 4 * rows])
    expect(found.get(`flashsampling-logits ${rows}`)).toEqual([3, 4 * rows])
    expect(found.get(`gpu-sort ${rows}`)).toEqual([17, 4 * rows])
    expect(found.get(`logits-product ${rows}`)).toEqual([1, 0])
    for (const name of ['onnxruntime-web', 'onnxruntime-web-softmax']) {
      expect(found.get(`${name} ${rows}`)?.[1]).toBeGreaterThanOrEqual(4 * rows * shape.vocabSize)
    }
    expect(found.get(`onnxruntime-web-flashsampling ${rows}`)?.[1]).toBe(4 * rows)
  }
  const reads = outcome.records.filter(({ op }) => op === 'read')
  const draws = outcome.records.filter(({ contender }) => contender === 'flashsampling')
  expect(reads.map(({ bytes }) => bytes)).toEqual(draws.map(({ bytes }) => bytes))
}

describe('the WebGPU benchmark in Node on SwiftShader', () => {
  it.each(['f32', 'nbits4'] as const)('times what WebGPU alone serves, %s', async (dtype) => {
    const contenders = WEBGPU_CONTENDERS.filter((name) => !name.startsWith('onnxruntime'))
    const host = createNodeHost({ isSoftware: true, program: `${outDir}/webgpu-bench.mjs` })
    const outcome = await run(host, { dtype, contenders })
    expect(outcome.leftOut).toEqual([])
    expect(outcome.adapters).toEqual(['SwiftShader'])
    expect(facts(outcome)).toEqual(
      [1, 3].flatMap((rows) => [
        ['flashsampling', rows, 2, 4 * rows],
        ['flashsampling-logits', rows, 3, 4 * rows],
        ['gpu-sort', rows, 17, 4 * rows],
        ['logits-product', rows, 1, 0],
      ]),
    )
  })

  // Dawn needs most of a minute for the engine's shader on this adapter.
  it('times every contender', { timeout: 400_000 }, async () => {
    const host = createNodeHost({ isSoftware: true, program: `${outDir}/webgpu-bench.mjs` })
    expectAllContenders(await run(host, { dtype: 'q8_0', batchSizes: [1] }), [1])
  })

  it('says why the engine has no f16 head here', async () => {
    const host = createNodeHost({ isSoftware: true, program: `${outDir}/webgpu-bench.mjs` })
    const outcome = await run(host, { dtype: 'f16' })
    const reason = 'the engine needs the feature shader-f16 for an f16 head'
    expect(outcome.leftOut).toEqual([
      `onnxruntime-web: ${reason}`,
      `onnxruntime-web-softmax: ${reason}`,
      `onnxruntime-web-flashsampling: ${reason}`,
    ])
    expect(facts(outcome).map(([name]) => name)).toEqual(
      [1, 3].flatMap(() => ['flashsampling', 'flashsampling-logits', 'gpu-sort', 'logits-product']),
    )
  })

  it('tells that its process ended early', async () => {
    const program = fileURLToPath(new URL('../package.json', import.meta.url))
    const host = createNodeHost({ isSoftware: true, program })
    await expect(host.run(null, () => undefined)).rejects.toThrow('ended early (exit code 1)')
  })
})

describe('the WebGPU benchmark in Chromium on SwiftShader', () => {
  it('times every contender', { timeout: 300_000 }, async () => {
    const host = createChromiumHost({ isSoftware: true, program: `${outDir}/webgpu-page.mjs` })
    try {
      expectAllContenders(await run(host, { dtype: 'f32' }), [1, 3])
    } finally {
      await host.close()
    }
  })
})
