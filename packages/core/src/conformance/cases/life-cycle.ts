import type { SampleResult, SamplingParams } from '../../types.ts'
import type { ConformanceCase } from '../context.ts'
import { referenceRow } from '../reference.ts'

function paramsAt(position: number): SamplingParams {
  return { seed: 55n, position: BigInt(position) }
}

/** Buffers, order of calls and disposal. */
export const LIFE_CYCLE_CASES: readonly ConformanceCase[] = [
  {
    name: 'life cycle: serves overlapping calls as if they came one by one',
    async run(context) {
      const batchSize = context.batchSize(4)
      const testCase = context.makeCase({ seed: 9000n, vocabSize: 601, hiddenSize: 32, batchSize })
      const sampler = await context.sampler(testCase.lmHead)
      const { hiddenStates } = testCase
      const calls = Array.from({ length: 8 }, (_, call) =>
        sampler.sample({ hiddenStates, params: paramsAt(call * 100) }),
      )
      const together = await Promise.all(calls)
      for (const [call, result] of together.entries()) {
        const alone = await sampler.sample({ hiddenStates, params: paramsAt(call * 100) })
        context.check.equal(result.tokenIds, alone.tokenIds, `tokens of call ${call}`)
        context.check.equal(result.logprobs, alone.logprobs, `logprobs of call ${call}`)
      }
    },
  },
  {
    name: 'life cycle: keeps samplers apart that draw at the same time',
    async run(context) {
      const first = context.makeCase({ seed: 9100n, vocabSize: 601, hiddenSize: 32 })
      const second = context.makeCase({ seed: 9101n, vocabSize: 77, hiddenSize: 48 })
      const samplers = [await context.sampler(first.lmHead), await context.sampler(second.lmHead)]
      const calls: Promise<SampleResult>[] = []
      for (let call = 0; call < 10; call++) {
        for (const [index, testCase] of [first, second].entries()) {
          const sampler = samplers[index]
          if (sampler === undefined) continue
          const { hiddenStates } = testCase
          calls.push(sampler.sample({ hiddenStates, params: paramsAt(call) }))
        }
      }
      for (const [index, result] of (await Promise.all(calls)).entries()) {
        const reference = referenceRow(index % 2 === 0 ? first : second, 0, paramsAt(index >> 1))
        context.check.row(result, 0, reference, `call ${index >> 1} of sampler ${index % 2}`)
      }
    },
  },
  {
    name: 'life cycle: leaves its inputs alone and its results to the caller',
    async run(context) {
      const testCase = context.makeCase({
        seed: 9200n,
        vocabSize: 301,
        hiddenSize: 32,
        batchSize: context.batchSize(4),
      })
      const weights = testCase.lmHead.data as Float32Array | Uint16Array
      const sampler = await context.sampler({ ...testCase.lmHead, data: weights.slice() })
      const hiddenStates = testCase.hiddenStates.slice()
      const first = await sampler.sample({ hiddenStates, params: paramsAt(0) })
      const kept = { tokenIds: first.tokenIds.slice(), logprobs: first.logprobs.slice() }
      await sampler.sample({ hiddenStates, params: paramsAt(1) })
      context.check.equal(hiddenStates, testCase.hiddenStates, 'hidden states after two calls')
      context.check.equal(
        first.tokenIds,
        kept.tokenIds,
        'tokens of the first call after the second',
      )
      context.check.equal(
        first.logprobs,
        kept.logprobs,
        'logprobs of the first call after the second',
      )
    },
  },
  {
    name: 'life cycle: does not need the weights once the sampler exists',
    async run(context) {
      const testCase = context.makeCase({
        seed: 9300n,
        vocabSize: 301,
        hiddenSize: 32,
        batchSize: context.batchSize(4),
      })
      const data = (testCase.lmHead.data as Float32Array | Uint16Array).slice()
      const sampler = await context.sampler({ ...testCase.lmHead, data })
      data.fill(0)
      await context.compare(testCase, paramsAt(3), { sampler })
    },
  },
  {
    name: 'life cycle: draws from batches that grow and shrink',
    async run(context) {
      const sizes = [1, 17, 3, 40, 2, 64, 1].map((size) => context.batchSize(size))
      const largest = Math.max(...sizes)
      const testCase = context.makeCase({
        seed: 9400n,
        vocabSize: 211,
        hiddenSize: 20,
        batchSize: largest,
      })
      const sampler = await context.sampler(testCase.lmHead)
      for (const [call, batchSize] of sizes.entries()) {
        const part = {
          ...testCase,
          batchSize,
          hiddenStates: testCase.hiddenStates.slice(0, batchSize * testCase.hiddenSize),
          logits: testCase.logits.slice(0, batchSize),
        }
        await context.compare(part, paramsAt(call), { sampler, what: `batch of ${batchSize}` })
      }
    },
  },
  {
    name: 'life cycle: finishes calls in flight before disposal, and refuses calls after it',
    async run(context) {
      const testCase = context.makeCase({ seed: 9500n, vocabSize: 301, hiddenSize: 32 })
      const sampler = await context.sampler(testCase.lmHead)
      const { hiddenStates } = testCase
      const inFlight = sampler.sample({ hiddenStates, params: paramsAt(0) })
      const disposal = sampler.dispose()
      const refused = { code: 'DISPOSED', name: 'DisposedError' }
      await context.check.rejects(
        sampler.sample({ hiddenStates, params: paramsAt(1) }),
        refused,
        'call after dispose()',
      )
      context.check.row(await inFlight, 0, referenceRow(testCase, 0, paramsAt(0)), 'call in flight')
      await disposal
      await sampler.dispose()
      await sampler[Symbol.asyncDispose]()
      await context.check.rejects(
        sampler.sample({ hiddenStates, params: paramsAt(1) }),
        refused,
        'call after disposal',
      )
    },
  },
  {
    name: 'life cycle: creates and disposes samplers again and again',
    async run(context) {
      const testCase = context.makeCase({ seed: 9600n, vocabSize: 101, hiddenSize: 16 })
      for (let round = 0; round < (context.quick ? 3 : 12); round++) {
        const sampler = await context.sampler(testCase.lmHead)
        await context.compare(testCase, paramsAt(round), { sampler, what: `round ${round}` })
        await sampler.dispose()
      }
    },
  },
]
