import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { instantiateKernels } from '../src/cpu/wasm-kernels.ts'

interface RangeResult {
  maxError: number
  bitsOfMax: number
}

const BLOCK = 2 ** 26

async function checkRange(scheme: 0 | 1): Promise<RangeResult> {
  const memory = new WebAssembly.Memory({ initial: 8, maximum: 65535 })
  const { module } = await instantiateKernels(memory, false)
  let next = 0
  let worst: RangeResult = { maxError: 0, bitsOfMax: 0 }
  const runBlocks = async (): Promise<void> => {
    while (next < 2 ** 32) {
      const firstBits = next
      next += BLOCK
      const result = await runWorker({ module, scheme, firstBits, count: BLOCK })
      if (!(result.maxError <= worst.maxError)) worst = result
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, runBlocks))
  return worst
}

function runWorker(workerData: object): Promise<RangeResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./noise-range-worker.mjs', import.meta.url), { workerData })
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

describe('noise of the WebAssembly kernels', () => {
  it.each([
    ['flash', 0],
    ['vllm', 1],
  ] as const)(
    'stays within 1e-5 of float64 for all 2^32 values of the bits (%s)',
    async (name, scheme) => {
      const { maxError, bitsOfMax } = await checkRange(scheme)
      console.info(`${name}: largest error ${maxError.toExponential(3)} at bits ${bitsOfMax}`)
      expect(maxError).toBeLessThanOrEqual(1e-5)
    },
    3_600_000,
  )
})
