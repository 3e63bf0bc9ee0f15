import { describe, expect, it } from 'vitest'
import { createGenerator } from '../conformance/index.ts'
import { logF32 } from './math.ts'

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
