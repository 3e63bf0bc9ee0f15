import { bf16ToNumber, f16ToNumber } from '../../half-floats.ts'
import { STORAGE_FORMATS } from '../../lm-head.ts'
import type { DType, NBitsFormat, QuantizedFormat, SamplingParams } from '../../types.ts'
import type { ConformanceCase } from '../context.ts'
import type { NBitsOptions } from '../nbits-weights.ts'
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

/** Blocks of every size, scales of both types, zero points of every kind; 96 and 304 are no multiple of large blocks. */
const BLOCK_LAYOUTS: readonly NBitsOptions[] = [
  { blockSize: 16, scales: 'f32', zeroPoints: 'packed' },
  { blockSize: 32, scales: 'f16', zeroPoints: 7 },
  { blockSize: 64, scales: 'f32' },
  { blockSize: 128, scales: 'f16', zeroPoints: 'packed' },
  { blockSize: 256, scales: 'f16' },
]

const blockCases = (['nbits4', 'nbits8'] as const satisfies NBitsFormat[]).map(
  (dtype, index): ConformanceCase => ({
    name: `storage: draws from ${dtype} heads of every block size, with and without zero points`,
    async run(context) {
      const served = context.backend.capabilities.dtypes
      context.skipIf(!served.includes(dtype), `the backend stores heads as ${served.join(', ')}`)
      const batchSize = context.batchSize(4)
      for (const quantization of BLOCK_LAYOUTS) {
        const what = `blocks of ${quantization.blockSize}`
        const shape = { vocabSize: 131, batchSize, dtype, quantization }
        const seed = 5300n + BigInt(index)
        const real = context.makeCase({ seed, hiddenSize: 96, ...shape })
        await context.compare(real, rowParams(batchSize, 0.9), { what })
        const values = 'integers'
        const exact = context.makeCase({ seed, hiddenSize: 304, ...shape, values })
        const params = rowParams(batchSize, 16)
        const { tokenIds } = await context.compare(exact, params, { what })
        context.check.equal(tokenIds, exactTokens(exact, params), `tokens with ${what}`)
      }
    },
  }),
)

/** Every storage of weights and hidden states. */
export const STORAGE_CASES: readonly ConformanceCase[] = [
  ...headCases,
  ...blockCases,
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
