import { describe, expect, it } from 'vitest'
import { percentile, summarize } from './stats.ts'

describe('percentile()', () => {
  it('interpolates between the two nearest samples', () => {
    // Values of R, quantile(c(1, 2, 4, 8, 16), type = 7).
    const sorted = [1, 2, 4, 8, 16]
    expect(percentile(sorted, 0)).toBe(1)
    expect(percentile(sorted, 0.1)).toBeCloseTo(1.4, 12)
    expect(percentile(sorted, 0.5)).toBe(4)
    expect(percentile(sorted, 0.9)).toBeCloseTo(12.8, 12)
    expect(percentile(sorted, 1)).toBe(16)
  })

  it('is the only sample where there is one', () => {
    expect(percentile([7], 0.9)).toBe(7)
  })

  it('refuses an empty list and a share out of range', () => {
    expect(() => percentile([], 0.5)).toThrow(RangeError)
    expect(() => percentile([1], 1.5)).toThrow('"share" must be from 0 to 1: current value is 1.5')
  })
})

describe('summarize()', () => {
  it('takes samples in any order and by value', () => {
    const samples = [10, 9, 100, 2, 1]
    expect(summarize(samples)).toEqual({ median: 9, p10: 1.4, p90: 64, count: 5 })
    expect(samples).toEqual([10, 9, 100, 2, 1])
  })

  it('gives the mean of the two middle samples for an even count', () => {
    expect(summarize([4, 1, 3, 2]).median).toBe(2.5)
  })
})
