/** What callers get wrong. */
import assert from 'node:assert/strict'
import { createSampler, type LmHeadShard, splitHead } from '@flashsampling/core'
import { createCudaBackend } from '../../../src/index.ts'
import { type Check, rejectsWith, steps, testCase } from './context.ts'

/** Checks of errors. */
export const errorChecks: Check[] = [
  {
    name: 'errors: memory that is not there is reported with its size',
    async run(context) {
      const backend = context.backend()
      const error = await rejectsWith(() => backend.allocate(2 ** 45), {
        code: 'OUT_OF_MEMORY',
        name: 'OutOfMemoryError',
      })
      assert.equal('requestedBytes' in error && error.requestedBytes, 2 ** 45)
      // And nothing is broken by it.
      const inputs = testCase()
      const sampler = await context.sampler(inputs.lmHead, backend)
      await sampler.sample({ hiddenStates: inputs.hiddenStates, params: steps(6) })
    },
  },
  {
    name: 'errors: options of the backend are checked',
    async run() {
      const create = (options: unknown) => (): unknown => createCudaBackend(options as never)
      await rejectsWith(create({ deviceIndex: -1 }), { name: 'RangeError' })
      await rejectsWith(create({ deviceIndex: 0.5 }), { name: 'RangeError' })
      await rejectsWith(create({ deviceIndex: 4096 }), {
        name: 'RangeError',
        message: /"deviceIndex" must be .*: current value is 4096/,
      })
      await rejectsWith(create({ deviceIndex: '0' }), { name: 'TypeError' })
      await rejectsWith(create({ kernel: 'sm70' }), { name: 'RangeError' })
      await rejectsWith(create(null), { name: 'TypeError' })
    },
  },
  {
    name: 'errors: heads and parameters outside the capabilities are refused',
    async run(context) {
      const backend = context.backend()
      const inputs = testCase()
      await rejectsWith(context.sampler(testCase({ dtype: 'f32' }).lmHead, backend), {
        code: 'UNSUPPORTED_FEATURE',
        message: /bf16, f16: current value is "f32"/,
      })
      const [first, second] = splitHead(inputs.lmHead, 2)
      const mixed = [first, { ...second, dtype: 'f16' }] as LmHeadShard[]
      await rejectsWith(context.sampler({ shards: mixed }, backend), {
        code: 'UNSUPPORTED_FEATURE',
      })
      const sampler = await context.sampler(inputs.lmHead, backend)
      for (const params of [
        { topK: 3 },
        { topP: 0.5 },
        { minP: 0.5 },
        { presencePenalty: 1, outputTokenIds: [3] },
        { logprobs: 1 },
      ]) {
        await rejectsWith(
          sampler.sample({ hiddenStates: inputs.hiddenStates, params: { seed: 1n, ...params } }),
          { code: 'UNSUPPORTED_FEATURE' },
        )
      }
      for (const temperature of [-1, Number.NaN, Infinity]) {
        await rejectsWith(
          sampler.sample({ hiddenStates: inputs.hiddenStates, params: { seed: 1n, temperature } }),
          { name: 'RangeError', message: /"temperature" must be >= 0/ },
        )
      }
      await rejectsWith(
        sampler.sample({ hiddenStates: new Float32Array(63), params: { seed: 1n } }),
        { name: 'RangeError' },
      )
    },
  },
  {
    name: 'errors: a head whose memory is taken away during the upload fails without harm',
    async run(context) {
      const backend = context.backend()
      const data = new Uint16Array(4096 * 4096)
      const lmHead = { dtype: 'bf16', vocabSize: 4096, hiddenSize: 4096, data } as const
      const call = createSampler({ lmHead, backend })
      structuredClone(data.buffer, { transfer: [data.buffer] })
      await rejectsWith(call, { name: 'TypeError' })
      const inputs = testCase()
      await context.sampler(inputs.lmHead, backend)
    },
  },
]
