import { describe, expect, it } from 'vitest'
import {
  type JavaScriptSamplingOptions,
  sampleByGumbelMax,
  sampleByPartialSums,
  sampleBySoftmax,
} from './javascript-sampler.ts'

const samplers = { sampleByPartialSums, sampleByGumbelMax, sampleBySoftmax }
const plain: JavaScriptSamplingOptions = {
  temperature: 0.7,
  topK: 0,
  topP: 1,
  allowedMask: null,
  logprobs: 0,
}

/** 2^-32 steps from a fixed start: mulberry32. */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b_79f5) | 0
    let word = Math.imul(state ^ (state >>> 15), 1 | state)
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32
  }
}

function softmax(logits: readonly number[], temperature: number): number[] {
  const weights = logits.map((logit) => Math.exp(logit / temperature))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return weights.map((weight) => weight / total)
}

/** Pearson's statistic of `draws` draws against probabilities. */
function chiSquare(
  counts: readonly number[],
  probabilities: readonly number[],
  draws: number,
): number {
  return counts.reduce((sum, count, i) => {
    const expected = (probabilities[i] ?? 0) * draws
    return expected === 0 ? sum + count * Infinity || sum : sum + (count - expected) ** 2 / expected
  }, 0)
}

describe.each(Object.entries(samplers))('%s()', (_, sample) => {
  const logits = [1.5, 0, -2, 0.75, 2.25, -0.5, 1, -1]

  it('draws with the frequencies of the softmax', () => {
    const random = createRandom(11)
    const draws = 100_000
    const counts = logits.map(() => 0)
    const row = Float32Array.from(logits)
    for (let i = 0; i < draws; i++) counts[sample(row, { ...plain, random }).tokenId]!++
    // 7 degrees of freedom: 24.3 is exceeded with probability 1e-3.
    expect(chiSquare(counts, softmax(logits, plain.temperature), draws)).toBeLessThan(24.3)
  })

  it('never draws a token that the mask forbids', () => {
    const random = createRandom(12)
    const allowedMask = Int32Array.of(0b1010_1010)
    const draws = 100_000
    const counts = logits.map(() => 0)
    const row = Float32Array.from(logits)
    for (let i = 0; i < draws; i++)
      counts[sample(row, { ...plain, allowedMask, random }).tokenId]!++
    const masked = logits.map((logit, id) => (id % 2 === 1 ? logit : -Infinity))
    expect(counts.filter((_, id) => id % 2 === 0)).toEqual([0, 0, 0, 0])
    // 3 degrees of freedom.
    expect(
      chiSquare(
        counts.filter((_, id) => id % 2 === 1),
        softmax(masked, plain.temperature).filter((_, id) => id % 2 === 1),
        draws,
      ),
    ).toBeLessThan(16.3)
  })
})

describe('sampleByPartialSums()', () => {
  it('draws with the right frequencies from a vocabulary of several blocks', () => {
    const random = createRandom(13)
    const logits = Float32Array.from({ length: 1000 }, (_, id) => Math.sin(id * 12.9) * 2)
    const draws = 200_000
    const counts = new Array<number>(1000).fill(0)
    for (let i = 0; i < draws; i++)
      counts[sampleByPartialSums(logits, { ...plain, random }).tokenId]!++
    // 999 degrees of freedom: 1143 is exceeded with probability 1e-3.
    expect(chiSquare(counts, softmax([...logits], plain.temperature), draws)).toBeLessThan(1143)
  })

  it('draws among the topK tokens that topP keeps', () => {
    const random = createRandom(14)
    const logits = Float32Array.from([0, 3, 1, 2, -1, 2.5])
    const drawn = new Set<number>()
    const options = { ...plain, temperature: 1, topK: 4, topP: 0.8, random }
    for (let i = 0; i < 2000; i++) drawn.add(sampleByPartialSums(logits, options).tokenId)
    // Of ranks 3, 2.5, 2, 1 the masses before them are 0, 0.47, 0.76, 0.94 of the four: the last falls.
    expect([...drawn].sort()).toEqual([1, 3, 5])
  })

  it('reports log-probabilities of the drawn and of the most likely tokens', () => {
    const logits = [0.5, 2, -1, 1]
    const draw = sampleByPartialSums(Float32Array.from(logits), { ...plain, logprobs: 2 })
    const logprobs = softmax(logits, plain.temperature).map(Math.log)
    expect(draw.logprob).toBeCloseTo(logprobs[draw.tokenId]!, 6)
    expect(draw.topLogprobs[0]).toBeCloseTo(logprobs[1]!, 6)
    expect(draw.topLogprobs[1]).toBeCloseTo(logprobs[3]!, 6)
  })
})
