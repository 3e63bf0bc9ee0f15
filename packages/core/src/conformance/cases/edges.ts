import type { SamplingParams } from '../../types.ts'
import type { ConformanceCase } from '../context.ts'
import { createGenerator } from '../generator.ts'
import { splitHead } from '../heads.ts'
import { exactTokens } from '../reference.ts'

function steps(
  count: number,
  params: Omit<SamplingParams, 'seed' | 'position'> = {},
): SamplingParams[] {
  return Array.from({ length: count }, (_, row) => ({
    seed: 31n,
    position: BigInt(row),
    ...params,
  }))
}

/** Ties and extreme rows. */
export const EDGE_CASES: readonly ConformanceCase[] = [
  {
    name: 'ties: gives the lowest token id among equal logits at temperature 0',
    async run(context) {
      const batchSize = context.batchSize(24)
      // Few values and many tokens: the maximum occurs many times in every row.
      const testCase = context.makeCase({
        seed: 7000n,
        vocabSize: 1201,
        hiddenSize: 3,
        batchSize,
        values: 'integers',
      })
      const params = steps(batchSize, { temperature: 0 })
      const expected = Int32Array.from(testCase.logits, (logits) =>
        logits.indexOf(Math.max(...logits)),
      )
      const { sharded } = context.backend.capabilities
      for (const numShards of sharded ? [1, 3, 8] : [1]) {
        const shards = splitHead(testCase.lmHead, numShards)
        const sampler = await context.sampler(sharded ? { shards } : testCase.lmHead)
        const result = await sampler.sample({ hiddenStates: testCase.hiddenStates, params })
        context.check.equal(result.tokenIds, expected, `tokens of ${numShards} shards`)
      }
    },
  },
  {
    name: 'ties: keeps exactly k tokens, those with the lowest ids',
    async run(context) {
      context.needs('topK')
      const batchSize = context.batchSize(32)
      const values = Float64Array.from({ length: 777 }, (_, tokenId) => (tokenId % 3 === 1 ? 2 : 0))
      const testCase = context.caseFromLogits(values, batchSize)
      const sampler = await context.sampler(testCase.lmHead)
      for (const topK of [1, 2, 5, 100, 259, 300]) {
        const params = steps(batchSize, { topK })
        const result = await sampler.sample({ hiddenStates: testCase.hiddenStates, params })
        context.check.equal(
          result.tokenIds,
          exactTokens(testCase, params),
          `tokens of topK ${topK}`,
        )
      }
    },
  },
  {
    name: 'ties: cuts equal logits by topP in order of their ids',
    async run(context) {
      context.needs('topP')
      const batchSize = context.batchSize(32)
      const testCase = context.caseFromLogits(new Float64Array(5003), batchSize)
      const sampler = await context.sampler(testCase.lmHead)
      // Half a token of mass lies between p and either neighbour.
      for (const topP of [0.5 / 5003, 10.5 / 5003, 0.5]) {
        const params = steps(batchSize, { topP })
        const result = await sampler.sample({ hiddenStates: testCase.hiddenStates, params })
        context.check.equal(
          result.tokenIds,
          exactTokens(testCase, params),
          `tokens of topP ${topP}`,
        )
      }
    },
  },
  {
    name: 'edges: draws the only token that a mask leaves',
    async run(context) {
      context.needs('allowedTokens')
      const testCase = context.makeCase({ seed: 7100n, vocabSize: 1009, hiddenSize: 16 })
      const sampler = await context.sampler(testCase.lmHead)
      for (const tokenId of [0, 1, 31, 32, 511, 1007, 1008]) {
        for (const temperature of [0, 1]) {
          const params = { seed: 1n, temperature, allowedTokens: [tokenId] }
          const what = `token ${tokenId} at temperature ${temperature}`
          const result = await context.compare(testCase, params, { sampler, what })
          context.check.equal(result.tokenIds[0], tokenId, what)
          context.check.logprob(result.logprobs[0], 0, 1e-6, what)
        }
      }
    },
  },
  {
    name: 'edges: draws the only token that a bias of -Infinity leaves',
    async run(context) {
      context.needs('logitBias')
      const testCase = context.makeCase({ seed: 7150n, vocabSize: 97, hiddenSize: 16 })
      const logitBias = new Map(
        Array.from({ length: 97 }, (_, id) => [id, id === 41 ? -5 : -Infinity]),
      )
      const result = await context.compare(testCase, { seed: 1n, logitBias })
      context.check.equal(result.tokenIds[0], 41, 'token')
    },
  },
  {
    name: 'edges: draws from rows of equal logits',
    async run(context) {
      const batchSize = context.batchSize(32)
      for (const vocabSize of [2, 64, 5003]) {
        const testCase = context.caseFromLogits(new Float64Array(vocabSize), batchSize)
        const params = steps(batchSize)
        await context.compare(testCase, params, { what: `vocabSize ${vocabSize}` })
      }
    },
  },
  {
    name: 'edges: draws from rows of huge spread',
    async run(context) {
      const testCase = context.caseFromLogits([-1e30, -3e38, 0, 1e4, 1e4 - 2, -1e4, 3.5, 1e4 - 1])
      await context.compare(testCase, { seed: 5n }, { what: 'top logits about 1e4' })
      const far = context.caseFromLogits([-1e30, 2e30, 1e30, -2e30, 0])
      await context.compare(far, { seed: 5n }, { what: 'top logit 2e30' })
      const result = await context.compare(
        far,
        { seed: 5n, temperature: 0 },
        { what: 'temperature 0' },
      )
      context.check.equal(result.tokenIds[0], 1, 'token at temperature 0')
    },
  },
  {
    name: 'edges: keeps order and log-probabilities of logits whose quotients leave fp32',
    async run(context) {
      // Lower logits have the lower ids: where quotients end as the same largest number, one of them wins.
      const rows = [
        [-3e38, 1e30, 4.9e37, 6.1e37, 2.5e38, 3e38, 0, 2.5e38],
        [-3e38, -2.5e38, -6.1e37, -4.9e37, -1e37, -2e37],
        [1e33, 1.5e33, 2e36, 1e38, 3e38, -3e38],
      ]
      const filters = [{}, { topK: 3 }, { topP: 0.9 }, { minP: 0.1 }].filter((params) =>
        Object.keys(params).every((name) => context.serves(name as 'topK' | 'topP' | 'minP')),
      )
      for (const [row, logits] of rows.entries()) {
        const testCase = context.caseFromLogits(logits)
        const sampler = await context.sampler(testCase.lmHead)
        for (const temperature of [0.99, 0.5, 0.1, 1e-4, 1e-17]) {
          for (const logprobsMode of ['raw', 'transformed'] as const) {
            for (const filter of filters) {
              const params = { seed: 31n, temperature, logprobsMode, ...filter }
              const what = `row ${row}, ${JSON.stringify({ temperature, logprobsMode, ...filter })}`
              await context.compare(testCase, params, { sampler, what })
            }
          }
        }
      }
    },
  },
  {
    name: 'edges: takes the highest logit at temperatures near 0',
    async run(context) {
      const testCase = context.makeCase({
        seed: 7200n,
        vocabSize: 301,
        hiddenSize: 24,
        batchSize: context.batchSize(4),
      })
      const sampler = await context.sampler(testCase.lmHead)
      for (const temperature of [1e-6, 1e-20, 1e-38, 1e-40, 1e-300]) {
        await context.compare(testCase, steps(testCase.batchSize, { temperature }), {
          sampler,
          what: `temperature ${temperature}`,
        })
      }
    },
  },
  {
    name: 'edges: draws from vocabularies and widths that are no multiple of anything',
    async run(context) {
      for (const vocabSize of context.quick ? [1, 33, 1009] : [1, 2, 7, 17, 33, 129, 1009]) {
        for (const hiddenSize of context.quick ? [1, 5] : [1, 3, 5, 31, 67]) {
          const batchSize = context.batchSize(3)
          const testCase = context.makeCase({
            seed: 7300n + BigInt(vocabSize * 100 + hiddenSize),
            vocabSize,
            hiddenSize,
            batchSize,
          })
          const what = `vocabSize ${vocabSize}, hiddenSize ${hiddenSize}`
          await context.compare(testCase, steps(batchSize), { what })
        }
      }
    },
  },
  {
    name: 'edges: draws from a vocabulary of more than 2^16 tokens',
    async run(context) {
      const batchSize = context.batchSize(context.quick ? 1 : 4)
      const testCase = context.makeCase({
        seed: 7400n,
        vocabSize: 70_001,
        hiddenSize: 4,
        batchSize,
        spread: 1,
      })
      await context.compare(testCase, steps(batchSize))
    },
  },
  {
    name: 'edges: filters nearly flat rows exactly',
    async run(context) {
      context.needs('topK', 'topP', 'minP')
      const batchSize = context.batchSize(8)
      const testCase = context.makeCase({
        seed: 7500n,
        vocabSize: 4099,
        hiddenSize: 8,
        batchSize,
        spread: 0.5,
      })
      const sampler = await context.sampler(testCase.lmHead)
      for (const filters of [
        { topP: 0.5 },
        { topP: 0.02 },
        { topK: 2000 },
        { minP: 0.5 },
        { topK: 3000, topP: 0.7, minP: 0.2 },
      ]) {
        await context.compare(testCase, steps(batchSize, filters), {
          sampler,
          what: JSON.stringify(filters),
        })
      }
    },
  },
  {
    name: 'edges: filters one dominant token exactly',
    async run(context) {
      context.needs('topK', 'topP', 'minP')
      const generator = createGenerator(7600n)
      const logits = Float32Array.from({ length: 3000 }, () => generator.normal())
      logits[1234] = 30
      const testCase = context.caseFromLogits(logits, context.batchSize(4))
      const sampler = await context.sampler(testCase.lmHead)
      for (const filters of [{ topP: 0.9 }, { topP: 1 - 1e-9 }, { topK: 50 }, { minP: 1e-4 }]) {
        await context.compare(testCase, steps(testCase.batchSize, filters), {
          sampler,
          what: JSON.stringify(filters),
        })
      }
    },
  },
]
