import { describe, expect, it } from 'vitest'
import { createGenerator } from '../conformance/index.ts'
import { crowdedLimit, logF32, quotientF32 } from './math.ts'

describe('logF32()', () => {
  it('stays within 2 ulp of the float64 logarithm', () => {
    const { uniform } = createGenerator(1n)
    let worst = 0
    for (let i = 0; i < 200_000; i++) {
      const x = Math.fround(2 ** (uniform() * 200 - 100))
      const exact = Math.log(x)
      const ulp = 2 ** (Math.floor(Math.log2(Math.max(Math.abs(exact), 2 ** -24))) - 23)
      worst = Math.max(worst, Math.abs(logF32(x) - exact) / ulp)
    }
    expect(worst).toBeLessThan(2)
  })

  it('is exact at 1', () => {
    expect(logF32(1)).toBe(0)
  })
})

describe('quotientF32()', () => {
  it.each([0.99, 0.5, 0.1, 1e-6, 2 ** -60])(
    'keeps every quotient by %f finite and in order',
    (t) => {
      const temperature = Math.fround(t)
      const limit = crowdedLimit(temperature)
      let previous = 0
      for (let exponent = 0; exponent < 128; exponent++) {
        // Eight steps of fp32 apart.
        for (const mantissa of [1, 1 + 2 ** -20, 1.5, 1.5 + 2 ** -20, 2 - 2 ** -20]) {
          const logit = mantissa * 2 ** exponent
          const quotient = quotientF32(logit, temperature, limit)
          expect(quotientF32(-logit, temperature, limit)).toBe(-quotient)
          if (logit / temperature < 2 ** 108)
            expect(quotient).toBe(Math.fround(logit / temperature))
          expect(quotient).toBeGreaterThan(previous)
          previous = quotient
        }
      }
      expect(previous).toBeLessThan(Infinity)
      expect(quotientF32(Infinity, temperature, limit)).toBe(Infinity)
      expect(quotientF32(-Infinity, temperature, limit)).toBe(-Infinity)
    },
  )

  it('divides as fp32 does by temperatures from 1 on', () => {
    for (const temperature of [1, 1.5, 1e6]) {
      for (const logit of [3, -1e30, 3.4e38]) {
        const quotient = quotientF32(logit, temperature, crowdedLimit(temperature))
        expect(quotient).toBe(Math.fround(Math.fround(logit) / temperature))
      }
    }
  })
})
