/** Heads in device memory. */
import assert from 'node:assert/strict'
import type { LmHeadShard } from '@flashsampling/core'
import { type Check, rejectsWith, steps, testCase } from './context.ts'

/** Checks of device memory. */
export const bufferChecks: Check[] = [
  {
    name: 'buffers: a head in device memory draws like one that is uploaded, in two samplers',
    async run(context) {
      const inputs = testCase({ vocabSize: 3000 })
      const data = inputs.lmHead.data as Uint16Array
      const backend = context.backend()
      const buffer = context.keep(backend.allocate(data.byteLength))
      assert.equal(buffer.byteLength, data.byteLength)
      const half = data.length / 2
      await buffer.write(data.subarray(0, half))
      await buffer.write(data.subarray(half), half * 2)
      const lmHead: LmHeadShard = { ...inputs.lmHead, data: buffer }
      const samplers = [
        await context.sampler(inputs.lmHead, backend),
        await context.sampler(lmHead, backend),
        await context.sampler(lmHead, backend),
      ]
      // Samplers keep the memory alive.
      buffer.dispose()
      const results = await Promise.all(
        samplers.map((sampler) =>
          sampler.sample({ hiddenStates: inputs.hiddenStates, params: steps(6) }),
        ),
      )
      assert.deepEqual(results[1]?.tokenIds, results[0]?.tokenIds)
      assert.deepEqual(results[2]?.tokenIds, results[0]?.tokenIds)
      assert.deepEqual(results[2]?.logprobs, results[0]?.logprobs)
      await rejectsWith(context.sampler(lmHead, backend), { code: 'DISPOSED' })
      await rejectsWith(buffer.write(data), { code: 'DISPOSED', name: 'DisposedError' })
    },
  },
  {
    name: 'buffers: refuse what does not fit them',
    async run(context) {
      const backend = context.backend()
      const buffer = context.keep(backend.allocate(1024))
      await rejectsWith(buffer.write(new Uint8Array(1025)), { name: 'RangeError' })
      await rejectsWith(buffer.write(new Uint8Array(24), 1001), { name: 'RangeError' })
      await rejectsWith(buffer.write(new Uint8Array(24), -1), { name: 'RangeError' })
      await rejectsWith(buffer.write(new Uint8Array(24), 0.5), { name: 'RangeError' })
      await rejectsWith(buffer.write([1, 2] as unknown as Uint8Array), { name: 'TypeError' })
      await buffer.write(new Uint8Array(24), 1000)
      await buffer.write(new Uint8Array(0))
      for (const size of [0, -1, 1.5, Number.NaN, 2 ** 60]) {
        await rejectsWith(() => backend.allocate(size), { name: 'RangeError' })
      }
      await rejectsWith(() => backend.allocate('1' as unknown as number), { name: 'TypeError' })
      const head = { dtype: 'bf16', hiddenSize: 16, vocabSize: 33, data: buffer } as const
      await rejectsWith(context.sampler(head, backend), { name: 'RangeError' })
      const odd = { dtype: 'bf16', hiddenSize: 12, vocabSize: 33, data: buffer } as const
      await rejectsWith(context.sampler(odd, backend), {
        name: 'RangeError',
        message: /"lmHead.hiddenSize" must be a multiple of 8/,
      })
      const foreign = { backend: 'cuda', byteLength: 1024 }
      await rejectsWith(
        context.sampler({ dtype: 'bf16', hiddenSize: 16, vocabSize: 32, data: foreign }, backend),
        { name: 'TypeError', message: /from allocate\(\)/ },
      )
    },
  },
]
