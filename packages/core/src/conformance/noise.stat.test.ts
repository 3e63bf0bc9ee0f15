import { describe, expect, it } from 'vitest'
import { NOISE_TESTS } from './noise-tests.ts'
import { DEFAULT_DRAWS, MIN_P_VALUE } from './run-statistics.ts'

describe('noise and grouped forms', () => {
  it.each(NOISE_TESTS)('$name', (test) => {
    const { draws, pValue } = test.run(DEFAULT_DRAWS)
    expect(draws).toBeGreaterThanOrEqual(1_000_000)
    expect(pValue).toBeGreaterThan(MIN_P_VALUE)
  })
})
