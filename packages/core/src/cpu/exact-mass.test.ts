import { describe, expect, it } from 'vitest'
import { createGenerator } from '../conformance/index.ts'
import { ExactMass, expMantissaF32, roundHalfEven } from './exact-mass.ts'

describe('expMantissaF32()', () => {
  it('stays within 2^-22 of the exponential, relatively', () => {
    let worst = 0
    for (let i = -1000; i <= 1000; i++) {
      const r = Math.fround((i / 1000) * 0.34657359)
      worst = Math.max(worst, Math.abs(expMantissaF32(r) / Math.exp(r) - 1))
    }
    expect(worst).toBeLessThan(2 ** -22)
  })
})

describe('roundHalfEven()', () => {
  it('rounds halves to even and leaves large values alone', () => {
    expect([0.5, 1.5, 2.5, 3.49, -1.5, -2.5, 1e300].map(roundHalfEven)).toEqual([
      0, 2, 2, 3, -2, -2, 1e300,
    ])
  })
})

describe('ExactMass', () => {
  const { normal, integer } = createGenerator(2n)
  const logits = Float32Array.from({ length: 20_000 }, () => normal() * 12)

  it('agrees with the float64 log-sum-exp', () => {
    const mass = new ExactMass()
    for (const logit of logits) mass.add(logit)
    const max = Math.max(...logits)
    const sum = logits.reduce((total, logit) => total + Math.exp(logit - max), 0)
    expect(Math.abs(mass.logSumExp() - (max + Math.log(sum)))).toBeLessThan(2e-7)
  })

  it('gives the same bits in any order and any split', () => {
    const forwards = new ExactMass()
    for (const logit of logits) forwards.add(logit)
    const shuffled = Float32Array.from(logits)
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = integer(0, i)
      ;[shuffled[i], shuffled[j]] = [shuffled[j] as number, shuffled[i] as number]
    }
    for (const parts of [1, 2, 7, 100]) {
      const merged = new ExactMass()
      for (let part = 0; part < parts; part++) {
        const mass = new ExactMass()
        for (let i = part; i < shuffled.length; i += parts) mass.add(shuffled[i] as number)
        merged.merge(mass.top, mass.bins)
      }
      expect(merged.logSumExp()).toBe(forwards.logSumExp())
    }
  })

  it('keeps terms 2^-40 below the largest and holds no mass when empty', () => {
    const mass = new ExactMass()
    expect(mass.logSumExp()).toBe(-Infinity)
    mass.add(-Infinity)
    expect(mass.logSumExp()).toBe(-Infinity)
    const small = -40 * Math.LN2
    for (let i = 0; i < 4096; i++) mass.add(Math.fround(small))
    mass.add(0)
    expect(Math.expm1(mass.logSumExp())).toBeCloseTo(2 ** -28, 14)
  })
})
