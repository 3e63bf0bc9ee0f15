import type { LogprobsMode, SamplingParams } from '../../types.ts'
import type { CaseContext, ConformanceCase } from '../context.ts'

async function compareTop(context: CaseContext, seed: bigint, mode: LogprobsMode): Promise<void> {
  const { maxLogprobs } = context.backend.capabilities
  context.skipIf(maxLogprobs < 1, 'the backend reports no top log-probabilities')
  const batchSize = context.batchSize(6)
  const testCase = context.makeCase({ seed, vocabSize: 701, hiddenSize: 40, batchSize })
  const params = Array.from(
    { length: batchSize },
    (_, row): SamplingParams => ({
      seed: seed + BigInt(row),
      temperature: [1, 0.5, 2, 0][row % 4],
      logprobs: Math.min(maxLogprobs, [1, 5, 20, 0, 1024, 3][row % 6] as number),
      logprobsMode: mode,
      ...(row % 2 === 0 && context.serves('topK') ? { topK: 4 } : {}),
      ...(row % 3 === 0 && context.serves('logitBias')
        ? { logitBias: { 17: 4, 600: -Infinity } }
        : {}),
      ...(row === 1 && context.serves('allowedTokens') ? { allowedTokens: [5, 6, 7, 300] } : {}),
    }),
  )
  const result = await context.compare(testCase, params, { what: `mode ${mode}` })
  for (const [row, { logprobs }] of params.entries()) {
    if (logprobs === 0)
      context.check.equal(result.topLogprobs[row], null, `row ${row} asked for none`)
  }
}

/** Log-probabilities of drawn and of most likely tokens. */
export const LOGPROB_CASES: readonly ConformanceCase[] = [
  {
    name: 'logprobs: reports the most likely tokens before the filters',
    run: (context) => compareTop(context, 4900n, 'transformed'),
  },
  {
    name: 'logprobs: reports raw log-probabilities before every transform',
    run: (context) => compareTop(context, 4950n, 'raw'),
  },
  {
    name: 'logprobs: keeps the precision of unlikely tokens',
    async run(context) {
      context.needs('allowedTokens')
      const testCase = context.makeCase({ seed: 4980n, vocabSize: 500, hiddenSize: 16, spread: 12 })
      // Raw: the mask changes what may be drawn, the log-probability stays that of the full row.
      for (const tokenId of [0, 123, 499]) {
        await context.compare(testCase, {
          seed: 1n,
          allowedTokens: [tokenId],
          logprobsMode: 'raw',
        })
      }
    },
  },
]
