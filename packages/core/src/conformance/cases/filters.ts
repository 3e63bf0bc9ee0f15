import type { SamplingParams } from '../../types.ts'
import type { CaseContext, ConformanceCase } from '../context.ts'
import { exactTokens } from '../reference.ts'

/** Probabilities 1/2, 1/4, ..., 1/64, 1/64 in scattered order, as logits in fp32. */
const HALVES = [4, 1, 6, 2, 5, 3, 6].map((exponent) => Math.fround(-exponent * Math.LN2))

/** Draws the rows of `HALVES` at 128 positions and demands the oracle's tokens, with no allowance. */
async function drawHalves(
  context: CaseContext,
  filters: readonly Omit<SamplingParams, 'seed' | 'position'>[],
): Promise<void> {
  const batchSize = context.batchSize(32)
  const testCase = context.caseFromLogits(HALVES, batchSize)
  const sampler = await context.sampler(testCase.lmHead)
  for (const filter of filters) {
    for (let start = 0; start < 128; start += batchSize) {
      const params = Array.from(
        { length: batchSize },
        (_, row): SamplingParams => ({
          seed: 4950n,
          position: BigInt(start + row),
          ...filter,
        }),
      )
      const result = await sampler.sample({ hiddenStates: testCase.hiddenStates, params })
      const what = `tokens with ${JSON.stringify(filter)} from position ${start}`
      context.check.equal(result.tokenIds, exactTokens(testCase, params), what)
    }
  }
}

/** Exact thresholds of the filters: rows whose every boundary is known. */
export const FILTER_CASES: readonly ConformanceCase[] = [
  {
    name: 'filters: topP keeps a token while the mass strictly before it is below p',
    async run(context) {
      context.needs('topP')
      // Sums before the tokens are 0, 1/2, 3/4, 7/8, 15/16, 31/32, 63/64; p lies 1/1000 to either side.
      const sums = [0.5, 0.75, 0.875, 0.9375, 0.96875]
      await drawHalves(context, [
        { topP: 0 },
        ...sums.flatMap((p) => [{ topP: p - 1e-3 }, { topP: p + 1e-3 }]),
      ])
    },
  },
  {
    name: 'filters: minP keeps logits at or above max + ln(minP)',
    async run(context) {
      context.needs('minP')
      const ratios = [0.5, 0.25, 0.125]
      await drawHalves(context, [
        { minP: 1 },
        ...ratios.flatMap((p) => [{ minP: p * 0.998 }, { minP: p * 1.002 }]),
      ])
    },
  },
  {
    name: 'filters: topK keeps exactly k tokens',
    async run(context) {
      context.needs('topK')
      await drawHalves(
        context,
        [1, 2, 3, 4, 5, 6, 7].map((topK) => ({ topK })),
      )
    },
  },
  {
    name: 'filters: minP comes before topK, topK before topP, temperature before all',
    async run(context) {
      context.needs('topK', 'topP', 'minP')
      await drawHalves(context, [
        // topP is renormalised over what topK keeps: 4/7 lies before the second of three tokens.
        { topK: 3, topP: 0.56 },
        { topK: 3, topP: 0.58 },
        { topK: 2, topP: 0.66 },
        { topK: 2, topP: 0.67 },
        // minP leaves two tokens, so 2/3 lies before the second.
        { minP: 0.4, topP: 0.66 },
        { minP: 0.4, topP: 0.67 },
        // At temperature 2 the ratios are square roots, at 1/2 squares.
        { temperature: 2, minP: 0.7 },
        { temperature: 2, minP: 0.72 },
        { temperature: 0.5, minP: 0.24 },
        { temperature: 0.5, minP: 0.26 },
        { temperature: 0.5, topP: 0.74 },
        { temperature: 0.5, topP: 0.76 },
      ])
    },
  },
]
