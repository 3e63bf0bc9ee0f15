/** What checks are made of: a context that disposes what they open, small inputs, expected errors. */
import assert from 'node:assert/strict'
import {
  createSampler,
  FlashSamplingError,
  type LmHead,
  makeCase,
  type Sampler,
  type SamplingParams,
  type TestCase,
} from '@flashsampling/core'
import { type CudaBackend, type CudaKernel, createCudaBackend } from '../../../src/index.ts'

/** What a check works with; everything made through it is disposed when the check ends. */
export class CheckContext {
  readonly kernel: CudaKernel
  readonly #opened: { dispose(): void | Promise<void> }[] = []

  constructor(kernel: CudaKernel) {
    this.kernel = kernel
  }

  backend(): CudaBackend {
    return this.keep(createCudaBackend({ kernel: this.kernel }))
  }

  async sampler(lmHead: LmHead, backend: CudaBackend = this.backend()): Promise<Sampler> {
    return this.keep(await createSampler({ lmHead, backend }))
  }

  keep<T extends { dispose(): void | Promise<void> }>(opened: T): T {
    this.#opened.push(opened)
    return opened
  }

  async dispose(): Promise<void> {
    for (const opened of this.#opened.reverse()) await opened.dispose()
  }
}

/** One fact with the code that checks it. */
export interface Check {
  name: string
  run(context: CheckContext): Promise<void>
}

/**
 * Runs one check.
 *
 * @param check - The fact.
 * @param kernel - Kernel of its backends.
 * @throws Error when the fact does not hold.
 */
export async function runCheck(check: Check, kernel: CudaKernel): Promise<void> {
  const context = new CheckContext(kernel)
  try {
    await check.run(context)
  } finally {
    await context.dispose()
  }
}

/** A head of bf16 with rows of hidden states. */
export function testCase(options: Partial<Parameters<typeof makeCase>[0]> = {}): TestCase {
  return makeCase({
    ...{ seed: 1n, vocabSize: 500, hiddenSize: 64, batchSize: 6, dtype: 'bf16' },
    ...options,
  })
}

/** Demands that a call fails, and how; gives the error. */
export async function rejectsWith(
  call: Promise<unknown> | (() => unknown),
  expected: { code?: string; name?: string; message?: RegExp },
): Promise<Error> {
  let caught: unknown
  try {
    await (typeof call === 'function' ? call() : call)
  } catch (error) {
    caught = error
  }
  assert.ok(caught instanceof Error, `expected an error with ${JSON.stringify(expected)}`)
  if (expected.code !== undefined) {
    assert.ok(FlashSamplingError.isInstance(caught), `${caught.name}: ${caught.message}`)
    assert.equal(caught.code, expected.code)
  }
  if (expected.name !== undefined) assert.equal(caught.name, expected.name, caught.message)
  if (expected.message !== undefined) assert.match(caught.message, expected.message)
  return caught
}

/** Parameters of rows that differ by their position. */
export const steps = (count: number, params: Partial<SamplingParams> = {}): SamplingParams[] =>
  Array.from({ length: count }, (_, row) => ({ seed: 5n, position: BigInt(row), ...params }))
