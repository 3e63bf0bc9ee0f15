/** What disposal does. */
import assert from 'node:assert/strict'
import { createSampler } from '@flashsampling/core'
import { createCudaBackend } from '../../../src/index.ts'
import { type Check, rejectsWith, steps, testCase } from './context.ts'

/** Checks of life cycles. */
export const lifeCycleChecks: Check[] = [
  {
    name: 'life cycle: samplers give their device memory back',
    async run(context) {
      const backend = context.backend()
      const data = new Uint16Array(2048 * 4096)
      for (let round = 0; round < 40; round++) {
        const sampler = await createSampler({
          lmHead: { dtype: 'bf16', vocabSize: 2048, hiddenSize: 4096, data },
          backend,
        })
        await sampler.dispose()
        const buffer = backend.allocate(16 * 2 ** 20)
        buffer.dispose()
        buffer.dispose()
      }
    },
  },
  {
    name: 'life cycle: a disposed backend refuses new samplers, and old ones live on',
    async run(context) {
      const inputs = testCase()
      const backend = createCudaBackend({ kernel: context.kernel })
      const sampler = await context.sampler(inputs.lmHead, backend)
      const buffer = context.keep(backend.allocate(64))
      backend.dispose()
      backend.dispose()
      await sampler.sample({ hiddenStates: inputs.hiddenStates, params: steps(6) })
      await buffer.write(new Uint8Array(64))
      await rejectsWith(() => backend.allocate(64), { code: 'DISPOSED' })
      await rejectsWith(context.sampler(inputs.lmHead, backend), {
        code: 'DISPOSED',
        message: /CUDA backend/,
      })
    },
  },
  {
    name: 'life cycle: a session refuses calls after its disposal',
    async run(context) {
      const inputs = testCase({ batchSize: 1 })
      const shard = { ...inputs.lmHead, vocabStart: 0 }
      const session = await context
        .backend()
        .createSession({ shards: [shard], noiseScheme: 'flash' })
      await session.dispose()
      await session.dispose()
      const rows: never[] = []
      const call = session.sample({ hiddenStates: inputs.hiddenStates, batchSize: 0, rows })
      // No rows, no call: nothing to refuse.
      assert.equal((await call).tokenIds.length, 0)
      const row = {
        ...{ temperature: 1, topK: 0, topP: 1, minP: 0, seed: 1n, position: 0n, drawIndex: 0 },
        ...{ numSamples: 1, repetitionPenalty: 1, edits: [], allowedMask: null, logprobs: 0 },
        logprobsMode: 'transformed' as const,
      }
      await rejectsWith(
        session.sample({ hiddenStates: inputs.hiddenStates, batchSize: 1, rows: [row] }),
        { code: 'DISPOSED', name: 'DisposedError' },
      )
    },
  },
]
