import { describe, expect, it } from 'vitest'
import { createGenerator } from './conformance/generator.ts'
import {
  type Candidate,
  EMPTY_CANDIDATE,
  EMPTY_LOG_MASS,
  logMassOf,
  logSumExp,
  mergeCandidates,
  mergeLogMass,
} from './merge.ts'

describe('mergeCandidates()', () => {
  it('takes the higher score, and the lowest token id on equal scores', () => {
    expect(mergeCandidates({ score: 1, tokenId: 5 }, { score: 2, tokenId: 9 }).tokenId).toBe(9)
    expect(mergeCandidates({ score: 2, tokenId: 9 }, { score: 2, tokenId: 5 }).tokenId).toBe(5)
    expect(mergeCandidates({ score: 2, tokenId: 5 }, { score: 2, tokenId: 9 }).tokenId).toBe(5)
    expect(mergeCandidates({ score: 0, tokenId: 7 }, { score: -0, tokenId: 3 }).tokenId).toBe(3)
  })

  it('has the empty candidate as its neutral element', () => {
    const candidate = { score: -1e30, tokenId: 0 }
    expect(mergeCandidates(candidate, EMPTY_CANDIDATE)).toBe(candidate)
    expect(mergeCandidates(EMPTY_CANDIDATE, candidate)).toBe(candidate)
    expect(mergeCandidates(EMPTY_CANDIDATE, EMPTY_CANDIDATE)).toBe(EMPTY_CANDIDATE)
  })

  it('gives the same winner in every order and grouping', () => {
    const generator = createGenerator(1n)
    for (let trial = 0; trial < 200; trial++) {
      const candidates: Candidate[] = Array.from({ length: 12 }, (_, tokenId) => ({
        score: generator.integer(0, 4),
        tokenId,
      }))
      const best = Math.max(...candidates.map((c) => c.score))
      const winner = candidates.find((c) => c.score === best)
      const shuffled = [...candidates].sort(() => generator.uniform() - 0.5)
      const cut = generator.integer(0, 12)
      const left = shuffled.slice(0, cut).reduce(mergeCandidates, EMPTY_CANDIDATE)
      const right = shuffled.slice(cut).reduceRight(mergeCandidates, EMPTY_CANDIDATE)
      expect(mergeCandidates(left, right)).toEqual(winner)
    }
  })
})

describe('mergeLogMass()', () => {
  it('equals the mass of all logits however they are cut', () => {
    const generator = createGenerator(2n)
    for (let trial = 0; trial < 100; trial++) {
      const logits = Array.from({ length: 40 }, () => generator.normal() * 200)
      const cut = generator.integer(0, 40)
      const merged = mergeLogMass(logMassOf(logits.slice(0, cut)), logMassOf(logits.slice(cut)))
      expect(logSumExp(merged)).toBeCloseTo(logSumExp(logMassOf(logits)), 10)
      expect(merged.max).toBe(Math.max(...logits))
    }
  })

  it('has the empty mass as its neutral element', () => {
    const mass = logMassOf([-3])
    expect(mergeLogMass(mass, EMPTY_LOG_MASS)).toEqual(mass)
    expect(mergeLogMass(EMPTY_LOG_MASS, mass)).toEqual(mass)
    expect(logSumExp(mergeLogMass(EMPTY_LOG_MASS, EMPTY_LOG_MASS))).toBe(-Infinity)
  })
})

describe('logMassOf()', () => {
  it('skips -Infinity and neither overflows nor underflows', () => {
    expect(logSumExp(logMassOf([-Infinity, 0, -Infinity, 0]))).toBeCloseTo(Math.LN2, 14)
    expect(logSumExp(logMassOf([1e300, 1e300]))).toBe(1e300)
    expect(logSumExp(logMassOf([-1e4, -1e4 + Math.log(3)]))).toBeCloseTo(-1e4 + Math.log(4), 9)
    expect(logMassOf([-Infinity, -Infinity])).toEqual({ max: -Infinity, sum: 0 })
    expect(logMassOf([])).toEqual({ max: -Infinity, sum: 0 })
  })
})
