import { bf16ToNumber, f16ToNumber, STORAGE_FORMATS } from '../../lm-head.ts'
import type { DType, QuantizedFormat, SamplingParams } from '../../types.ts'
import type { ConformanceCase } from '../context.ts'
import { exactTokens } from '../reference.ts'
import { numberToBf16, numberToF16 } from '../storage.ts'

const dtypes = Object.keys(STORAGE_FORMATS) as (DType | QuantizedFormat)[]

function rowParams(batchSize: number, temperature: number): SamplingParams[] {
  return Array.from({ length: batchSize }, (_, row) => ({
    seed: 77n,
    position: BigInt(row),
    temperature,
  }))
}

const headCases = dtypes.flatMap((dtype, index): ConformanceCase[] => [
  {
    name: `storage: draws exactly from a ${dtype} head of small integers`,
    async run(context) {
      const served = context.backend.capabilities.dtypes
      context.skipIf(!served.includes(dtype), `the backend stores heads as ${served.join(', ')}`)
      const shapes = [
        { vocabSize: 523, hiddenSize: 64, temperature: 8 },
        { vocabSize: 61, hiddenSize: 300, temperature: 16 },
      ]
      for (const { temperature, ...shape } of shapes) {
        const batchSize = context.batchSize(16)
        const seed = 5000n + BigInt(index)
        const testCase = context.makeCase({ seed, ...shape, batchSize, dtype, values: 'integers' })
        const params = rowParams(batchSize, temperature)
        const result = await context.compare(testCase, params, {
          what: `vocabSize ${shape.vocabSize}`,
        })
        const tokens = exactTokens(testCase, params)
        context.check.equal(result.tokenIds, tokens, `tokens of vocabSize ${shape.vocabSize}`)
      }
    },
  },
  {
    name: `storage: equals the oracle with a ${dtype} head of real values`,
    async run(context) {
      const served = context.backend.capabilities.dtypes
      context.skipIf(!served.includes(dtype), `the backend stores heads as ${served.join(', ')}`)
      const batchSize = context.batchSize(16)
      for (const hiddenSize of context.quick ? [96] : [96, 576]) {
        const testCase = context.makeCase({
          seed: 5100n + BigInt(index),
          vocabSize: 389,
          hiddenSize,
          batchSize,
          dtype,
        })
        await context.compare(testCase, rowParams(batchSize, 0.9), {
          what: `hiddenSize ${hiddenSize}`,
        })
      }
    },
  },
])

/** Every storage of weights and hidden states. */
export const STORAGE_CASES: readonly ConformanceCase[] = [
  ...headCases,
  {
    name: 'storage: reads hidden states of f16 and bf16',
    async run(context) {
      const testCase = context.makeCase({ seed: 5200n, vocabSize: 211, hiddenSize: 24 })
      const sampler = await context.sampler(testCase.lmHead)
      for (const [dtype, narrow, widen] of [
        ['f16', numberToF16, f16ToNumber],
        ['bf16', numberToBf16, bf16ToNumber],
      ] as const) {
        const data = Uint16Array.from(testCase.hiddenStates, narrow)
        const widened = Float32Array.from(data, widen)
        const params = { seed: 3n, position: 9n }
        const narrowDraw = await sampler.sample({
          hiddenStates: { data, dtype, batchSize: 1 },
          params,
        })
        const wideDraw = await sampler.sample({ hiddenStates: widened, params })
        context.check.equal(narrowDraw.tokenIds, wideDraw.tokenIds, `tokens of ${dtype}`)
        context.check.equal(narrowDraw.logprobs, wideDraw.logprobs, `logprobs of ${dtype}`)
      }
    },
  },
]
