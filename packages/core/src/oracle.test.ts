import { describe, expect, it } from 'vitest'
import { createGenerator } from './conformance/generator.ts'
import { RowError } from './errors.ts'
import { gumbelFromBits, tokenNoiseBits } from './noise.ts'
import { sampleFromLogits } from './oracle.ts'
import type { SamplingParams } from './types.ts'

/** Tokens that a draw can give, found by many draws: the support of the filtered distribution. */
function supportOf(logits: ArrayLike<number>, params: Omit<SamplingParams, 'seed'>): number[] {
  const tokens = new Set<number>()
  for (let seed = 0n; seed < 8n; seed++) {
    for (const draw of sampleFromLogits(logits, { ...params, seed, numSamples: 1024 }).draws) {
      tokens.add(draw.tokenId)
    }
  }
  return [...tokens].sort((a, b) => a - b)
}

function logitsFromProbabilities(probabilities: number[]): number[] {
  return probabilities.map(Math.log)
}

describe('sampleFromLogits()', () => {
  it('draws the token with the highest sum of logit and noise', () => {
    const logits = [0.3, -1, 2, 1.1, 0]
    for (let position = 0n; position < 200n; position++) {
      const scores = logits.map(
        (logit, tokenId) => logit + gumbelFromBits(tokenNoiseBits({ seed: 9n, position, tokenId })),
      )
      const sorted = [...scores].sort((a, b) => b - a)
      const { tokenId, margin, keptCount, boundaryDistance } = sampleFromLogits(logits, {
        seed: 9n,
        position,
      })
      expect(tokenId).toBe(scores.indexOf(sorted[0] as number))
      expect(margin).toBe((sorted[0] as number) - (sorted[1] as number))
      expect([keptCount, boundaryDistance]).toEqual([5, Infinity])
    }
  })

  it('gives each of numSamples draws the noise of its own draw index', () => {
    const logits = [0, 0.1, 0.2, 0.3]
    const many = sampleFromLogits(logits, { seed: 3n, drawIndex: 5, numSamples: 20 })
    expect(many.draws).toHaveLength(20)
    for (const [draw, { tokenId, logprob, margin }] of many.draws.entries()) {
      const one = sampleFromLogits(logits, { seed: 3n, drawIndex: 5 + draw })
      expect({ tokenId, logprob, margin }).toEqual(one.draws[0])
    }
    expect(many.tokenId).toBe(many.draws[0]?.tokenId)
  })

  it('gives log-probabilities that sum to 1 as probabilities', () => {
    const logits = [1, -2, 700, 699, -Infinity]
    const { topLogprobs } = sampleFromLogits(logits, { seed: 0n, temperature: 2, logprobs: 10 })
    expect(topLogprobs.map((token) => token.tokenId)).toEqual([2, 3, 0, 1])
    expect(topLogprobs.reduce((sum, token) => sum + Math.exp(token.logprob), 0)).toBeCloseTo(1, 12)
    expect(topLogprobs[1]?.logprob).toBeCloseTo(-0.5 - Math.log1p(Math.exp(-0.5)), 12)
  })

  describe('order of the transforms', () => {
    it('decides minP before topK, and topK before topP', () => {
      const logits = logitsFromProbabilities([0.4, 0.3, 0.2, 0.1])
      // minP first leaves three tokens; of the two that topK keeps, 4/7 lies before the second: topP 0.55 cuts it.
      expect(supportOf(logits, { minP: 0.4, topK: 2, topP: 0.55 })).toEqual([0])
      // topP over all four tokens would keep the second, because only 0.4 lies before it.
      expect(supportOf(logits, { topP: 0.55 })).toEqual([0, 1])
      expect(supportOf(logits, { topK: 2, topP: 0.58 })).toEqual([0, 1])
    })

    it('applies the filters after the temperature', () => {
      const logits = logitsFromProbabilities([0.6, 0.3, 0.1])
      expect(supportOf(logits, { minP: 0.4 })).toEqual([0, 1])
      expect(supportOf(logits, { minP: 0.4, temperature: 4 })).toEqual([0, 1, 2])
      expect(supportOf(logits, { topP: 0.62, temperature: 0.1 })).toEqual([0])
    })

    it('filters what bias, penalties and mask leave', () => {
      const logits = [5, 4, 3, 2, 1]
      expect(supportOf(logits, { topK: 2, allowedTokens: [1, 3, 4] })).toEqual([1, 3])
      expect(supportOf(logits, { topK: 1, logitBias: { 4: 10 } })).toEqual([4])
      expect(supportOf(logits, { topK: 1, presencePenalty: 3, outputTokenIds: [0] })).toEqual([1])
      expect(supportOf(logits, { topK: 1, logitBias: { 0: -Infinity } })).toEqual([1])
    })
  })

  describe('topK', () => {
    it('keeps exactly k tokens, the lowest ids among equal logits', () => {
      const logits = [1, 3, 2, 3, 2, 2, 0]
      expect(supportOf(logits, { topK: 1 })).toEqual([1])
      expect(supportOf(logits, { topK: 2 })).toEqual([1, 3])
      expect(supportOf(logits, { topK: 3 })).toEqual([1, 2, 3])
      expect(supportOf(logits, { topK: 4 })).toEqual([1, 2, 3, 4])
      expect(supportOf(logits, { topK: 7 })).toEqual([0, 1, 2, 3, 4, 5, 6])
    })

    it('counts only tokens that can be drawn', () => {
      const logits = [-Infinity, 0, -Infinity, 0]
      expect(sampleFromLogits(logits, { seed: 1n, topK: 3 }).keptCount).toBe(2)
    })

    it('measures the gap of logits at its cut', () => {
      expect(sampleFromLogits([4, 3.5, 1, 0], { seed: 1n, topK: 2 }).boundaryDistance).toBe(2.5)
      expect(sampleFromLogits([4, 3, 3, 0], { seed: 1n, topK: 2 }).boundaryDistance).toBe(0)
    })
  })

  describe('topP', () => {
    it('keeps a token while the mass strictly before it is below p', () => {
      const logits = logitsFromProbabilities([0.5, 0.25, 0.125, 0.125])
      expect(supportOf(logits, { topP: 0.49 })).toEqual([0])
      expect(supportOf(logits, { topP: 0.51 })).toEqual([0, 1])
      expect(supportOf(logits, { topP: 0.74 })).toEqual([0, 1])
      expect(supportOf(logits, { topP: 0.76 })).toEqual([0, 1, 2])
      expect(supportOf(logits, { topP: 0.99 })).toEqual([0, 1, 2, 3])
    })

    it('keeps the best token alone at p = 0', () => {
      expect(supportOf([1, 3, 2], { topP: 0 })).toEqual([1])
    })

    it('is renormalised over what topK keeps', () => {
      const logits = logitsFromProbabilities([0.4, 0.3, 0.2, 0.1])
      // 0.4 / 0.9 = 0.444..., 0.7 / 0.9 = 0.777...
      expect(supportOf(logits, { topK: 3, topP: 0.77 })).toEqual([0, 1])
      expect(supportOf(logits, { topK: 3, topP: 0.78 })).toEqual([0, 1, 2])
    })

    it('measures the distance of its threshold from the nearest sum', () => {
      const logits = logitsFromProbabilities([0.5, 0.3, 0.2])
      expect(sampleFromLogits(logits, { seed: 1n, topP: 0.6 }).boundaryDistance).toBeCloseTo(
        0.1,
        12,
      )
      expect(sampleFromLogits(logits, { seed: 1n, topP: 0.75 }).boundaryDistance).toBeCloseTo(
        0.05,
        12,
      )
    })

    it('measures the gap of logits at its cut too', () => {
      const distance = (gap: number): number =>
        sampleFromLogits([0, gap, -3], { seed: 1n, topP: 0.4 }).boundaryDistance
      expect(distance(-1e-7)).toBeCloseTo(1e-7, 12)
      expect(distance(0)).toBe(0)
    })
  })

  describe('minP', () => {
    it('keeps logits at or above max + ln(minP)', () => {
      const logits = [0, Math.log(0.5), Math.log(0.25), Math.log(0.1)]
      expect(supportOf(logits, { minP: 0.24 })).toEqual([0, 1, 2])
      expect(supportOf(logits, { minP: 0.26 })).toEqual([0, 1])
      expect(supportOf([0, Math.log(0.5)], { minP: 0.5 })).toEqual([0, 1])
      expect(supportOf([2, 1, 2], { minP: 1 })).toEqual([0, 2])
    })

    it('measures the distance of its threshold from the nearest logit', () => {
      const logits = [0, -1, -2, -5]
      const near = sampleFromLogits(logits, { seed: 1n, minP: Math.exp(-1.8) })
      expect(near.keptCount).toBe(2)
      expect(near.boundaryDistance).toBeCloseTo(0.2, 12)
      const far = sampleFromLogits(logits, { seed: 1n, minP: Math.exp(-2.3) })
      expect(far.keptCount).toBe(3)
      expect(far.boundaryDistance).toBeCloseTo(0.3, 12)
    })
  })

  describe('penalties', () => {
    it('equal the definition of vLLM', () => {
      const generator = createGenerator(44n)
      const vocabSize = 30
      for (let trial = 0; trial < 300; trial++) {
        const logits = Array.from({ length: vocabSize }, () => generator.normal() * 3)
        const ids = (count: number): number[] =>
          Array.from({ length: count }, () => generator.integer(0, vocabSize - 1))
        const prompt = ids(generator.integer(0, 20))
        const output = ids(generator.integer(0, 20))
        const repetition = 0.5 + generator.uniform()
        const presence = generator.normal()
        const frequency = generator.normal()
        // Masks and counts over prompt and output, then three statements on whole rows.
        const penalized = logits.map((logit, tokenId) => {
          const count = output.filter((id) => id === tokenId).length
          const seen = count > 0 || prompt.includes(tokenId)
          const factor = seen ? repetition : 1
          return (
            (logit > 0 ? logit / factor : logit * factor) -
            frequency * count -
            (count > 0 ? presence : 0)
          )
        })
        const key = { seed: BigInt(trial), temperature: 0.7 }
        const expected = sampleFromLogits(penalized, key)
        const actual = sampleFromLogits(logits, {
          ...key,
          repetitionPenalty: repetition,
          presencePenalty: presence,
          frequencyPenalty: frequency,
          promptTokenIds: prompt,
          outputTokenIds: output,
        })
        expect(actual.tokenId).toBe(expected.tokenId)
        expect(actual.logprob).toBeCloseTo(expected.logprob, 10)
      }
    })
  })

  describe('allowedTokens', () => {
    it('draws the same tokens from a bitmask as from ids', () => {
      const generator = createGenerator(45n)
      const logits = Array.from({ length: 100 }, () => generator.normal())
      const ids = [0, 5, 31, 32, 63, 64, 99]
      const words = new Int32Array(4)
      for (const id of ids) words[id >> 5] = (words[id >> 5] as number) | (1 << (id & 31))
      for (let seed = 0n; seed < 50n; seed++) {
        const fromWords = sampleFromLogits(logits, { seed, allowedTokens: words })
        expect(fromWords).toEqual(sampleFromLogits(logits, { seed, allowedTokens: new Set(ids) }))
        expect(ids).toContain(fromWords.tokenId)
        expect(fromWords.keptCount).toBe(7)
      }
    })

    it('ignores bits beyond the vocabulary', () => {
      const result = sampleFromLogits([1, 2, 3], { seed: 1n, allowedTokens: Int32Array.of(-1, -1) })
      expect(result.keptCount).toBe(3)
    })
  })

  describe('temperature 0', () => {
    it('takes the highest logit, the lowest id among equals, whatever the filters', () => {
      expect(sampleFromLogits([1, 5, 2, 5], { seed: 1n, temperature: 0 }).tokenId).toBe(1)
      const filtered = sampleFromLogits([1, 5, 2], {
        seed: 1n,
        temperature: 0,
        topK: 3,
        topP: 0.9,
        minP: 0.5,
      })
      expect(filtered).toMatchObject({
        tokenId: 1,
        keptCount: 1,
        margin: Infinity,
        boundaryDistance: 3,
      })
    })

    it('takes the highest logit after bias, penalties and mask', () => {
      const params = { seed: 1n, temperature: 0 }
      expect(sampleFromLogits([1, 5, 2], { ...params, allowedTokens: [0, 2] }).tokenId).toBe(2)
      expect(sampleFromLogits([1, 5, 2], { ...params, logitBias: { 0: 9 } }).tokenId).toBe(0)
      const penalty = { presencePenalty: 4, outputTokenIds: [1] }
      expect(sampleFromLogits([1, 5, 2], { ...params, ...penalty }).tokenId).toBe(2)
    })

    it('reports log-probabilities of the undivided logits', () => {
      const { logprob } = sampleFromLogits([0, Math.log(3)], { seed: 1n, temperature: 0 })
      expect(logprob).toBeCloseTo(Math.log(0.75), 12)
    })

    it('gives the same token for every draw index', () => {
      const { draws } = sampleFromLogits([1, 5, 2], { seed: 1n, temperature: 0, numSamples: 5 })
      expect(draws.map((draw) => draw.tokenId)).toEqual([1, 1, 1, 1, 1])
    })
  })

  describe('logprobsMode', () => {
    const logits = logitsFromProbabilities([0.5, 0.3, 0.2])
    const params = { seed: 1n, temperature: 0.5, allowedTokens: [1, 2], topK: 1, logprobs: 3 }

    it('transformed: under mask and temperature, before the filters', () => {
      const result = sampleFromLogits(logits, params)
      expect(result.tokenId).toBe(1)
      expect(result.logprob).toBeCloseTo(Math.log(0.09 / 0.13), 12)
      expect(result.topLogprobs.map((token) => token.tokenId)).toEqual([1, 2])
    })

    it('raw: before every transform', () => {
      const result = sampleFromLogits(logits, { ...params, logprobsMode: 'raw' })
      expect(result.tokenId).toBe(1)
      expect(result.logprob).toBeCloseTo(Math.log(0.3), 12)
      expect(result.topLogprobs.map((token) => token.tokenId)).toEqual([0, 1, 2])
      expect(result.topLogprobs[0]?.logprob).toBeCloseTo(Math.log(0.5), 12)
    })

    it('ranks equal log-probabilities by token id', () => {
      const result = sampleFromLogits([1, 2, 1, 2], { seed: 1n, logprobs: 4 })
      expect(result.topLogprobs.map((token) => token.tokenId)).toEqual([1, 3, 0, 2])
    })
  })

  describe('errors', () => {
    it('names the token of a NaN or +Infinity logit', () => {
      for (const value of [Number.NaN, Infinity]) {
        const call = (): unknown => sampleFromLogits([0, value], { seed: 1n })
        expect(call).toThrow(RowError)
        expect(call).toThrow(
          `Cannot sample tokens as the logit of token 1 is ${value}: logits must be finite or -Infinity`,
        )
      }
    })

    it('refuses a row in which no token is left', () => {
      for (const [logits, params] of [
        [[-Infinity, -Infinity], {}],
        [[1, 2], { allowedTokens: [] }],
        [[1, 2], { logitBias: { 0: -Infinity, 1: -Infinity } }],
        [[1, -Infinity], { allowedTokens: [1], temperature: 0 }],
      ] as const) {
        const call = (): unknown => sampleFromLogits(logits, { seed: 1n, ...params })
        expect(call).toThrow(
          'Cannot sample tokens as every token of the row is masked: allow at least one token',
        )
        expect(call).toThrow(expect.objectContaining({ code: 'ALL_TOKENS_MASKED', rows: [0] }))
      }
    })

    it('refuses a temperature of -1', () => {
      expect(() => sampleFromLogits([1], { seed: 1n, temperature: -1 })).toThrow(
        new RangeError('Cannot sample tokens as "temperature" must be >= 0: current value is -1'),
      )
    })

    it('refuses an empty row', () => {
      expect(() => sampleFromLogits([], { seed: 1n })).toThrow(RowError)
    })
  })
})
