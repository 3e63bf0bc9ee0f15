import type { BackendFeature } from '../../backend.ts'
import { STORAGE_FORMATS } from '../../lm-head.ts'
import { createSampler } from '../../sampler.ts'
import type { DType, QuantizedFormat, SamplingParams } from '../../types.ts'
import type { ConformanceCase } from '../context.ts'
import { replaceWeight } from '../heads.ts'

const FEATURE_PARAMS: Record<BackendFeature, Omit<SamplingParams, 'seed'>> = {
  topK: { topK: 2 },
  topP: { topP: 0.5 },
  minP: { minP: 0.5 },
  logitBias: { logitBias: { 0: 1 } },
  allowedTokens: { allowedTokens: [0] },
  penalties: { presencePenalty: 1, outputTokenIds: [0] },
  numSamples: { numSamples: 2 },
}

/** Rows without a valid draw, and requests outside the capabilities. */
export const ERROR_CASES: readonly ConformanceCase[] = [
  {
    name: 'errors: names the rows whose hidden states are NaN or infinite',
    async run(context) {
      const batchSize = context.batchSize(5)
      const testCase = context.makeCase({ seed: 8000n, vocabSize: 50, hiddenSize: 12, batchSize })
      const sampler = await context.sampler(testCase.lmHead)
      const bad = batchSize - 1
      for (const value of [Number.NaN, Infinity]) {
        const hiddenStates = testCase.hiddenStates.slice()
        hiddenStates[bad * 12 + 7] = value
        const call = sampler.sample({ hiddenStates, params: { seed: 1n } })
        await context.check.rejects(
          call,
          { code: 'INVALID_LOGITS', row: bad, rows: [bad] },
          `${value}`,
        )
      }
      await context.compare(testCase, { seed: 1n }, { sampler, what: 'the call after it' })
    },
  },
  {
    name: 'errors: names every row when a weight is NaN',
    async run(context) {
      const batchSize = context.batchSize(3)
      const testCase = context.makeCase({ seed: 8100n, vocabSize: 203, hiddenSize: 12, batchSize })
      const rows = Array.from({ length: batchSize }, (_, row) => row)
      for (const tokenId of [0, 101, 202]) {
        const sampler = await context.sampler(
          replaceWeight(testCase.lmHead, tokenId * 12 + 5, Number.NaN),
        )
        for (const temperature of [0, 1]) {
          const call = sampler.sample({
            hiddenStates: testCase.hiddenStates,
            params: { seed: 1n, temperature },
          })
          const what = `token ${tokenId} at temperature ${temperature}`
          await context.check.rejects(call, { code: 'INVALID_LOGITS', row: 0, rows }, what)
        }
      }
    },
  },
  {
    name: 'errors: names the rows whose logits are +Infinity, and never draws one of -Infinity',
    async run(context) {
      const batchSize = context.batchSize(3)
      const testCase = context.makeCase({ seed: 8200n, vocabSize: 203, hiddenSize: 12, batchSize })
      const hiddenStates = testCase.hiddenStates.slice()
      const sampler = await context.sampler(replaceWeight(testCase.lmHead, 77 * 12, Infinity))
      for (let row = 0; row < batchSize; row++)
        hiddenStates[row * 12] = row === batchSize - 1 ? 1 : -1
      const bad = batchSize - 1
      await context.check.rejects(
        sampler.sample({ hiddenStates, params: { seed: 1n } }),
        { code: 'INVALID_LOGITS', row: bad, rows: [bad] },
        '+Infinity',
      )
      hiddenStates[bad * 12] = -1
      const result = await sampler.sample({ hiddenStates, params: { seed: 1n } })
      context.check.isTrue(
        !result.tokenIds.includes(77),
        'token 77 has logit -Infinity and is drawn',
      )
      context.check.isTrue(result.logprobs.every(Number.isFinite), 'logprobs are finite')
    },
  },
  {
    name: 'errors: names the rows whose tokens are all masked',
    async run(context) {
      context.needs('allowedTokens')
      const batchSize = context.batchSize(5)
      const testCase = context.makeCase({ seed: 8300n, vocabSize: 70, hiddenSize: 12, batchSize })
      const sampler = await context.sampler(testCase.lmHead)
      const rows = batchSize >= 4 ? [1, 3] : [0]
      for (const allowedTokens of [[], new Int32Array(3)]) {
        for (const extra of [{}, { temperature: 0 }, context.serves('topP') ? { topP: 0.5 } : {}]) {
          const params = Array.from(
            { length: batchSize },
            (_, row): SamplingParams =>
              rows.includes(row) ? { seed: 1n, allowedTokens, ...extra } : { seed: 1n, ...extra },
          )
          const call = sampler.sample({ hiddenStates: testCase.hiddenStates, params })
          const what = `mask of ${allowedTokens.length} entries with ${JSON.stringify(extra)}`
          await context.check.rejects(call, { code: 'ALL_TOKENS_MASKED', row: rows[0], rows }, what)
        }
      }
      await context.compare(testCase, { seed: 1n }, { sampler, what: 'the call after it' })
    },
  },
  {
    name: 'errors: names the row when biases of -Infinity forbid every token',
    async run(context) {
      context.needs('logitBias')
      const testCase = context.makeCase({ seed: 8400n, vocabSize: 9, hiddenSize: 12 })
      const sampler = await context.sampler(testCase.lmHead)
      const logitBias = new Map(Array.from({ length: 9 }, (_, id) => [id, -Infinity]))
      const call = sampler.sample({
        hiddenStates: testCase.hiddenStates,
        params: { seed: 1n, logitBias },
      })
      await context.check.rejects(call, { code: 'ALL_TOKENS_MASKED', rows: [0] }, 'bias')
    },
  },
  {
    name: 'errors: refuses what the capabilities exclude',
    async run(context) {
      const { capabilities } = context.backend
      const testCase = context.makeCase({ seed: 8500n, vocabSize: 40, hiddenSize: 256 })
      const features = (Object.keys(FEATURE_PARAMS) as BackendFeature[]).filter(
        (name) => !context.serves(name),
      )
      const dtypes = (Object.keys(STORAGE_FORMATS) as (DType | QuantizedFormat)[]).filter(
        (dtype) => !capabilities.dtypes.includes(dtype),
      )
      const hasAll =
        features.length === 0 && dtypes.length === 0 && capabilities.maxLogprobs >= 1024
      context.skipIf(hasAll, 'the backend serves every feature, storage format and log-probability')
      const sampler = await context.sampler(testCase.lmHead)
      for (const feature of features) {
        const params = { seed: 1n, ...FEATURE_PARAMS[feature] }
        const call = sampler.sample({ hiddenStates: testCase.hiddenStates, params })
        await context.check.rejects(call, { code: 'UNSUPPORTED_FEATURE', feature }, feature)
      }
      if (capabilities.maxLogprobs < 1024) {
        const params = { seed: 1n, logprobs: Math.max(0, capabilities.maxLogprobs) + 1 }
        const call = sampler.sample({ hiddenStates: testCase.hiddenStates, params })
        await context.check.rejects(call, { code: 'UNSUPPORTED_FEATURE' }, 'logprobs')
      }
      for (const dtype of dtypes) {
        const { lmHead } = context.makeCase({ seed: 8500n, vocabSize: 3, hiddenSize: 256, dtype })
        const call = createSampler({ lmHead, backend: context.backend })
        await context.check.rejects(call, { code: 'UNSUPPORTED_FEATURE', feature: dtype }, dtype)
      }
    },
  },
]
