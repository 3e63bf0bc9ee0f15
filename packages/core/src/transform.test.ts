import { describe, expect, it } from 'vitest'
import { normalizeParams } from './params.ts'
import { transformLogits } from './transform.ts'
import type { SamplingParams } from './types.ts'

function transform(logits: number[], params: Omit<SamplingParams, 'seed'>): number[] {
  return [...transformLogits(logits, normalizeParams({ seed: 0n, ...params }, logits.length))]
}

describe('transformLogits()', () => {
  it('leaves its input alone', () => {
    const logits = [1, 2, 3]
    transform(logits, { temperature: 0.5, logitBias: { 0: 5 } })
    expect(logits).toEqual([1, 2, 3])
  })

  it('adds the bias before the repetition penalty, which turns with the sign of the sum', () => {
    const params = { repetitionPenalty: 2, promptTokenIds: [0, 1, 2, 3] }
    expect(transform([3, -3, 1, 0], { ...params, logitBias: { 2: -4 } })).toEqual([1.5, -6, -6, 0])
  })

  it('subtracts presence once and frequency per occurrence, from output tokens alone', () => {
    const params = {
      presencePenalty: 0.5,
      frequencyPenalty: 0.25,
      promptTokenIds: [0, 0],
      outputTokenIds: [1, 2, 2, 2],
    }
    expect(transform([1, 1, 1, 1], params)).toEqual([1, 0.25, -0.25, 1])
  })

  it('divides by the temperature last, and not at all at temperature 0', () => {
    const params = { logitBias: { 0: 2 }, presencePenalty: 1, outputTokenIds: [0] }
    expect(transform([1, 4], { ...params, temperature: 0.5 })).toEqual([4, 8])
    expect(transform([1, 4], { ...params, temperature: 0 })).toEqual([2, 4])
  })

  it('masks tokens whose bit is 0, across words', () => {
    const logits = new Array<number>(70).fill(1)
    const transformed = transform(logits, { allowedTokens: [0, 31, 32, 69] })
    const left = transformed.flatMap((logit, tokenId) => (logit === 1 ? [tokenId] : []))
    expect(left).toEqual([0, 31, 32, 69])
    expect(transformed.filter((logit) => logit === -Infinity)).toHaveLength(66)
  })

  it('keeps -Infinity through every transform', () => {
    const params = {
      repetitionPenalty: 1.5,
      presencePenalty: 1,
      outputTokenIds: [0],
      logitBias: { 0: 100 },
      temperature: 3,
    }
    expect(transform([-Infinity, 0], params)[0]).toBe(-Infinity)
  })
})
