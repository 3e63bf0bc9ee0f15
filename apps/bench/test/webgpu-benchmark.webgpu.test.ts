import { fileURLToPath } from 'node:url'
import { build } from 'tsup'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createChromiumHost } from '../src/webgpu/chromium-host.ts'
import { WEBGPU_CONTENDERS, type WebGpuDType } from '../src/webgpu/contender.ts'
import type { HeadJob, Message, WebGpuRecord } from '../src/webgpu/messages.ts'
import { createNodeHost, type JobHost } from '../src/webgpu/node-host.ts'
import { chromiumPath, NO_CHROMIUM } from './chromium.ts'

const packageFolder = fileURLToPath(new URL('..', import.meta.url))
const outDir = `${packageFolder}build/webgpu`

/** A vocabulary that no block size divides, wide enough for three blocks of the sort. */
const shape = { name: 'tiny', vocabSize: 1291, hiddenSize: 128, title: 'a test' }
const times = { warmUpMs: 0, totalMs: 0, minSamples: 2, maxSamples: 2 }

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

async function run(host: JobHost, dtype: WebGpuDType): Promise<Outcome> {
  const job: HeadJob = { shape, dtype, batchSizes: [1, 3], contenders: WEBGPU_CONTENDERS, times }
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

/** What WebGPU alone needs: a contender stands here only when its tokens passed the check. */
const ON_GPU = [1, 3].flatMap((rows) => [
  ['flashsampling', rows, 2, 4 * rows],
  ['flashsampling-logits', rows, 3, 4 * rows],
  ['gpu-sort', rows, 17, 4 * rows],
  ['logits-product', rows, 1, 0],
])

describe('the WebGPU benchmark in Node on SwiftShader', () => {
  it.each(['f16', 'nbits4'] as const)(
    'times every contender that WebGPU alone serves, %s',
    async (dtype) => {
      const host = createNodeHost({ isSoftware: true, program: `${outDir}/webgpu-bench.mjs` })
      const outcome = await run(host, dtype)
      expect(outcome.leftOut).toEqual([])
      expect(facts(outcome)).toEqual(ON_GPU)
      expect(outcome.adapters).toEqual(['SwiftShader'])
      const reads = outcome.records.filter(({ op }) => op === 'read')
      expect(reads.map(({ bytes }) => bytes)).toEqual(
        outcome.records
          .filter(({ contender }) => contender === 'gpu-sort')
          .map(({ bytes }) => bytes),
      )
    },
  )

  it('tells that its process ended early', async () => {
    const program = fileURLToPath(new URL('../package.json', import.meta.url))
    const host = createNodeHost({ isSoftware: true, program })
    await expect(host.run(null, () => undefined)).rejects.toThrow('ended early (exit code 1)')
  })
})

describe('the WebGPU benchmark in Chromium on SwiftShader', () => {
  it.each(['f32', 'q8_0'] as const)(
    'times onnxruntime-web too, which reads all logits back, %s',
    { timeout: 300_000 },
    async (dtype) => {
      const host = createChromiumHost({ isSoftware: true, program: `${outDir}/webgpu-page.mjs` })
      try {
        const outcome = await run(host, dtype)
        expect(outcome.leftOut).toEqual([])
        const found = new Map(
          facts(outcome).map(([name, rows, , bytes]) => [`${name} ${rows}`, bytes]),
        )
        for (const rows of [1, 3]) {
          expect(found.get(`flashsampling ${rows}`)).toBe(4 * rows)
          expect(found.get(`gpu-sort ${rows}`)).toBe(4 * rows)
          expect(found.get(`onnxruntime-web ${rows}`)).toBeGreaterThanOrEqual(4 * rows * 1291)
          expect(found.get(`onnxruntime-web-softmax ${rows}`)).toBeGreaterThanOrEqual(
            4 * rows * 1291,
          )
          expect(found.get(`onnxruntime-web-flashsampling ${rows}`)).toBe(4 * rows)
        }
      } finally {
        await host.close()
      }
    },
  )
})
