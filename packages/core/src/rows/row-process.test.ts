import { describe, expect, it } from 'vitest'
import { caseFromLogits, createGenerator } from '../conformance/index.ts'
import { createCpuBackend } from '../cpu/cpu-backend.ts'
import { sampleFromLogits } from '../oracle.ts'
import { createSampler } from '../sampler.ts'
import type { SampleResult, SamplingParams } from '../types.ts'

const NUM_ROWS = 48

/** Logits that one weight column holds: exact on every backend, so that only the filters are under test. */
async function drawRows(
  logits: Float32Array,
  params: Omit<SamplingParams, 'seed'>,
  kernels: 'wasm' | 'typescript' = 'wasm',
): Promise<SampleResult> {
  const { lmHead, hiddenStates } = caseFromLogits(logits, NUM_ROWS)
  await using sampler = await createSampler({
    lmHead,
    backend: createCpuBackend({ kernels, threads: 1 }),
  })
  return await sampler.sample({ hiddenStates, params: rowsOf(params) })
}

function rowsOf(params: Omit<SamplingParams, 'seed'>): SamplingParams[] {
  return Array.from({ length: NUM_ROWS }, (_, row) => ({ ...params, seed: 77n, position: row }))
}

/** Compares every row with the oracle; rows near a boundary or a tie of scores may differ and are counted. */
function expectOracle(
  logits: Float32Array,
  params: Omit<SamplingParams, 'seed'>,
  result: SampleResult,
): void {
  let numNear = 0
  rowsOf(params).forEach((row, i) => {
    const oracle = sampleFromLogits(logits, row)
    oracle.draws.forEach((draw, d) => {
      if (draw.margin < 1e-4 || oracle.boundaryDistance < 1e-6) {
        numNear++
        return
      }
      const at = (result.rowOffsets[i] as number) + d
      expect(result.tokenIds[at], `row ${i}, draw ${d}`).toBe(draw.tokenId)
      expect(result.logprobs[at]).toBeCloseTo(draw.logprob, 4)
    })
  })
  expect(numNear).toBeLessThan(NUM_ROWS / 8)
}

const { normal } = createGenerator(31n)
const flat = Float32Array.from({ length: 6000 }, () => normal() * 0.5)
const peaked = Float32Array.from({ length: 6000 }, () => normal() * 4)

describe('processRow() with filters', () => {
  it.each([
    ['peaked, topP inside the list', peaked, { topP: 0.9 }],
    ['flat, topP past the list', flat, { topP: 0.9 }],
    ['flat, tiny topP', flat, { topP: 0.01 }],
    ['flat, minP past the list', flat, { minP: 0.05 }],
    ['flat, minP and topP past the list', flat, { minP: 0.05, topP: 0.5 }],
    ['flat, topK longer than any list', flat, { topK: 3000 }],
    ['flat, topK longer than any list and topP', flat, { topK: 3000, topP: 0.7 }],
    ['flat, topK and topP with several draws', flat, { topK: 1500, topP: 0.6, numSamples: 5 }],
    ['flat, everything at once', flat, { topK: 2500, topP: 0.95, minP: 0.001, temperature: 2 }],
    ['peaked, hot', peaked, { topP: 0.99, temperature: 5 }],
    ['peaked, topK within the list', peaked, { topK: 40, topP: 0.95 }],
  ])('draws what the oracle draws: %s', async (_name, logits, params) => {
    expectOracle(logits, params, await drawRows(logits, params))
  })

  it('resolves most rows in one pass and says how many it did not', async () => {
    const inside = await drawRows(peaked, { topP: 0.9 })
    expect(inside.stats).toMatchObject({ secondPassRows: 0, passes: 1 })
    const outside = await drawRows(flat, { minP: 0.05, topP: 0.5 })
    expect(outside.stats.secondPassRows).toBeGreaterThan(0)
    expect(outside.stats.passes).toBeGreaterThan(1)
  })

  it('keeps exactly k of equal logits, the lowest ids', async () => {
    const equal = new Float32Array(5000)
    for (const topK of [1, 7, 1024, 1025, 3001]) {
      const { tokenIds } = await drawRows(equal, { topK, numSamples: 20 })
      expect(Math.max(...tokenIds)).toBeLessThan(topK)
      const { tokenIds: first } = await drawRows(equal, { topK })
      expect([...first]).toEqual(
        rowsOf({ topK }).map((row) => sampleFromLogits(equal, row).tokenId),
      )
    }
  })

  it('cuts equal logits at the mass that topP asks for', async () => {
    // 0.3 of 5000 equal tokens: the first 1500 ids stay; 0.3001 avoids a cut exactly on a token's edge.
    const equal = new Float32Array(5000)
    const { tokenIds } = await drawRows(equal, { topP: 0.3001, numSamples: 200 })
    expect(Math.max(...tokenIds)).toBeLessThanOrEqual(1500)
    expect(Math.max(...tokenIds)).toBeGreaterThan(1450)
  })

  it('finds the kept set by search where every candidate by score lies outside it', async () => {
    // The kept set holds one token in 300: of 16 candidates none is likely to be in it.
    const logits = Float32Array.from({ length: 300_000 }, (_, id) => (id % 300 === 7 ? 0.001 : 0))
    const params = { topK: 1000 + 100, numSamples: 1 }
    const { tokenIds, stats } = await drawRows(logits, { ...params, topP: 0.9999 })
    expect(stats.passes).toBeGreaterThan(2)
    for (const tokenId of tokenIds) {
      const isFavoured = tokenId % 300 === 7
      // 1000 favoured tokens, then the lowest ids of the others up to 1100.
      expect(isFavoured || tokenId < 101).toBe(true)
    }
  })

  it('gives the same bits from both kernels, second passes included', async () => {
    for (const params of [
      { topP: 0.9, numSamples: 3 },
      { topK: 3000, topP: 0.7 },
      { minP: 0.05, topP: 0.5, logprobs: 4 },
    ]) {
      expect(await drawRows(flat, params, 'wasm')).toEqual(
        await drawRows(flat, params, 'typescript'),
      )
    }
  })
})

describe('processRow() with extreme logits', () => {
  it('reports log-probability 0 for a logit of 1e30 alone at the top and -ln 2 for two of them', async () => {
    const logits = Float32Array.of(0, 1e30, -1e30, 5)
    expect((await drawRows(logits, {})).logprobs[0]).toBe(0)
    const tied = Float32Array.of(1e30, 0, 1e30, 5)
    expect((await drawRows(tied, {})).logprobs[0]).toBeCloseTo(-Math.LN2, 6)
  })

  it('draws at the smallest temperatures as greedy does', async () => {
    const logits = Float32Array.of(1, 3, 2, 3.0001)
    for (const temperature of [0, 1e-300, 1e-38, 1e-10]) {
      const { tokenIds, logprobs } = await drawRows(logits, { temperature })
      expect(new Set(tokenIds)).toEqual(new Set([3]))
      if (temperature > 0) expect(logprobs[0]).toBe(0)
    }
  })
})

describe('processRow() with logits too far apart for sums', () => {
  // Neighbouring fp32 values are thousands of nats apart, so only equal logits share the mass.
  const logits = Float32Array.from({ length: 600 }, (_, tokenId) =>
    tokenId % 20 === 7 ? 2 ** 41 : tokenId % 3 === 0 ? -3e38 : 2 ** 40,
  )

  describe.each(['wasm', 'typescript'] as const)('on the %s kernels', (kernels) => {
    it.each([
      { logprobsMode: 'raw', temperature: 1 },
      { logprobsMode: 'raw', temperature: 0.25 },
      { logprobsMode: 'raw', temperature: 0.25, logprobs: 5, topK: 3 },
      { logprobsMode: 'raw', temperature: 1, logitBias: { 0: 2 ** 41 } },
      { logprobsMode: 'transformed', temperature: 0.25 },
      { logprobsMode: 'transformed', temperature: 0, logprobs: 2 },
    ] as const)('counts the tokens that share the maximum: %o', async (params) => {
      const result = await drawRows(logits, params, kernels)
      rowsOf(params).forEach((row, i) => {
        const oracle = sampleFromLogits(logits, row)
        // Scores of equal logits differ by less than fp32 has: the lowest id of those that tie.
        const logprob =
          logits[result.tokenIds[i] as number] === 2 ** 41 ? -Math.log(30) : Number.NaN
        expect(result.logprobs[i]).toBeCloseTo(logprob, 5)
        expect(oracle.logprob).toBeCloseTo(logprob, 5)
        const top = oracle.topLogprobs.map(({ logprob: value }) => value)
        expect([...(result.topLogprobs[i]?.logprobs ?? [])]).toEqual(
          top.map((value) => expect.closeTo(value, 5)),
        )
      })
    })
  })
})
