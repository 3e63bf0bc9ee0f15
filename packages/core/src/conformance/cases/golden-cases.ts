import type { BackendFeature } from '../../backend.ts'
import type { SamplingParams } from '../../types.ts'
import type { ConformanceCase } from '../context.ts'
import { GOLDEN_DRAWS, GOLDEN_HEAD } from '../golden.ts'
import { numberToBf16 } from '../storage.ts'

/** Features that a row's parameters use. */
function featuresOf(params: Omit<SamplingParams, 'seed'>): BackendFeature[] {
  const features: BackendFeature[] = []
  if ((params.topK ?? 0) > 0) features.push('topK')
  if ((params.topP ?? 1) < 1) features.push('topP')
  if ((params.minP ?? 0) > 0) features.push('minP')
  if (params.logitBias !== undefined) features.push('logitBias')
  if (params.allowedTokens !== undefined) features.push('allowedTokens')
  if (params.outputTokenIds !== undefined) features.push('penalties')
  return features
}

/** Draws fixed by the contract itself. */
export const GOLDEN_CASES: readonly ConformanceCase[] = [
  {
    name: 'golden: draws the contract tokens from rows of logits',
    async run(context) {
      for (const [index, golden] of GOLDEN_DRAWS.entries()) {
        if (!featuresOf(golden.params).every((feature) => context.serves(feature))) continue
        const what = `golden draw ${index}`
        const testCase = context.caseFromLogits(golden.sixtyFourths.map((value) => value / 64))
        const params = { ...golden.params, seed: golden.seed, position: golden.position }
        const result = await context.compare(testCase, params, { what })
        context.check.equal(result.tokenIds[0], golden.tokenId, what)
        context.check.logprob(result.logprobs[0], golden.logprob, 1e-5, what)
      }
    },
  },
  {
    name: 'golden: draws the contract tokens from a product of small integers',
    async run(context) {
      const { weight, hiddenStates, temperature, seeds, positions, tokenIds, logprobs } =
        GOLDEN_HEAD
      const hiddenSize = (hiddenStates[0] as readonly number[]).length
      const dtype = context.exactDType
      const values = weight.flat()
      const sampler = await context.sampler({
        dtype,
        vocabSize: weight.length,
        hiddenSize,
        data: dtype === 'f32' ? Float32Array.from(values) : Uint16Array.from(values, numberToBf16),
      })
      const result = await sampler.sample({
        hiddenStates: Float32Array.from(hiddenStates.flat()),
        params: seeds.map((seed, row) => ({ seed, position: positions[row], temperature })),
      })
      context.check.equal(result.tokenIds, Int32Array.from(tokenIds), 'tokens')
      for (const [row, logprob] of logprobs.entries()) {
        context.check.logprob(result.logprobs[row], logprob, 1e-5, `row ${row}`)
      }
    },
  },
]
