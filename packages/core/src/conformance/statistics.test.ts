import { describe, expect, it } from 'vitest'
import { createGenerator } from './generator.ts'
import { logGamma, regularizedGammaP, regularizedGammaQ } from './special-functions.ts'
import {
  chiSquarePValue,
  chiSquareTest,
  chiSquareTwoSampleTest,
  gTest,
  independenceTest,
  poissonTest,
} from './statistics.ts'

describe('logGamma()', () => {
  it('equals the logarithm of the factorial at whole numbers', () => {
    let logFactorial = 0
    for (let n = 1; n <= 170; n++) {
      expect(logGamma(n)).toBeCloseTo(logFactorial, 11)
      logFactorial += Math.log(n)
    }
  })

  it('equals ln(sqrt(pi)) at one half, and follows the duplication formula', () => {
    expect(logGamma(0.5)).toBeCloseTo(0.5 * Math.log(Math.PI), 14)
    for (const x of [0.1, 0.7, 3.3, 12.9, 55.5]) {
      const duplicated =
        logGamma(x) + logGamma(x + 0.5) - (1 - 2 * x) * Math.LN2 - 0.5 * Math.log(Math.PI)
      expect(logGamma(2 * x)).toBeCloseTo(duplicated, 11)
    }
  })

  it('rejects arguments that are not > 0', () => {
    expect(() => logGamma(0)).toThrow(
      'Cannot compute logGamma as "x" must be > 0: current value is 0',
    )
  })
})

describe('regularizedGammaQ()', () => {
  it('is the Poisson distribution function at whole shapes', () => {
    for (const lambda of [0.01, 0.5, 1, 4, 30, 200]) {
      let term = Math.exp(-lambda)
      let sum = term
      for (let n = 1; n <= 300; n++) {
        expect(regularizedGammaQ(n, lambda)).toBeCloseTo(sum, 12)
        term *= lambda / n
        sum += term
      }
    }
  })

  it('gives the published quantiles of the chi-square distribution', () => {
    // Upper percentage points, NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.4.
    const table: [number, number, number][] = [
      [1, 0.05, 3.841],
      [1, 0.001, 10.828],
      [2, 0.01, 9.21],
      [5, 0.025, 12.833],
      [10, 0.05, 18.307],
      [10, 0.001, 29.588],
      [30, 0.1, 40.256],
      [50, 0.01, 76.154],
      [100, 0.001, 149.449],
      [100, 0.975, 74.222],
    ]
    for (const [degreesOfFreedom, pValue, quantile] of table) {
      expect(chiSquarePValue(quantile - 0.0006, degreesOfFreedom)).toBeGreaterThan(pValue)
      expect(chiSquarePValue(quantile + 0.0006, degreesOfFreedom)).toBeLessThan(pValue)
    }
  })

  it('keeps its relative precision in the far tail', () => {
    for (const x of [10, 100, 600]) {
      expect(regularizedGammaQ(1, x) / Math.exp(-x)).toBeCloseTo(1, 12)
      expect(regularizedGammaQ(2, x) / ((1 + x) * Math.exp(-x))).toBeCloseTo(1, 12)
    }
    expect(regularizedGammaP(3, 1e-4) / (1e-12 / 6)).toBeCloseTo(1, 3)
  })

  it('adds up to 1 with the lower function, at the ends too', () => {
    for (const a of [0.5, 1, 7.5, 900]) {
      for (const x of [0, 0.3, a, a + 1, 2 * a, Infinity]) {
        expect(regularizedGammaQ(a, x) + regularizedGammaP(a, x)).toBeCloseTo(1, 13)
      }
    }
    expect(regularizedGammaQ(2, 0)).toBe(1)
    expect(regularizedGammaQ(2, Infinity)).toBe(0)
  })
})

describe('chiSquareTest()', () => {
  it("gives Pearson's statistic", () => {
    // Mendel's peas: 315 : 108 : 101 : 32 against 9 : 3 : 3 : 1.
    const result = chiSquareTest([315, 108, 101, 32], [9, 3, 3, 1])
    expect(result.statistic).toBeCloseTo(0.47, 3)
    expect(result.degreesOfFreedom).toBe(3)
    expect(result.pValue).toBeCloseTo(0.9254, 4)
    expect(gTest([315, 108, 101, 32], [9, 3, 3, 1]).statistic).toBeCloseTo(0.4754, 3)
  })

  it('pools rare cells until each expects at least five', () => {
    const result = chiSquareTest([96, 1, 2, 1], [94, 2, 2, 2])
    expect(result.degreesOfFreedom).toBe(1)
    expect(result.statistic).toBeCloseTo(4 / 94 + 4 / 6, 12)
  })

  it('rejects an impossible observation outright', () => {
    expect(chiSquareTest([500, 500, 1], [0.5, 0.5, 0]).pValue).toBe(0)
    expect(gTest([500, 500, 1], [0.5, 0.5, 0]).statistic).toBe(Infinity)
    expect(chiSquareTest([500, 500, 0], [0.5, 0.5, 0]).pValue).toBe(1)
  })

  it('refuses lists that do not match or hold nothing', () => {
    expect(() => chiSquareTest([1, 2], [1])).toThrow('current lengths are 2 and 1')
    expect(() => chiSquareTest([0, 0], [1, 1])).toThrow('"observed"')
    expect(() => chiSquareTest([1, -1], [1, 1])).toThrow('current value is -1')
  })

  it('gives p-values that are uniform when the hypothesis holds, and tiny ones when it does not', () => {
    const generator = createGenerator(20261123n)
    const probabilities = [0.4, 0.3, 0.2, 0.1]
    const histogram = new Float64Array(10)
    for (let trial = 0; trial < 2000; trial++) {
      const counts = new Float64Array(4)
      for (let draw = 0; draw < 1000; draw++) {
        const v = generator.uniform()
        const cell = v < 0.4 ? 0 : v < 0.7 ? 1 : v < 0.9 ? 2 : 3
        counts[cell] = (counts[cell] as number) + 1
      }
      const bin = Math.min(9, Math.floor(chiSquareTest(counts, probabilities).pValue * 10))
      histogram[bin] = (histogram[bin] as number) + 1
      if (trial === 0)
        expect(chiSquareTest(counts, [0.1, 0.2, 0.3, 0.4]).pValue).toBeLessThan(1e-12)
    }
    expect(chiSquareTest(histogram, new Float64Array(10).fill(1)).pValue).toBeGreaterThan(1e-3)
  })
})

describe('chiSquareTwoSampleTest()', () => {
  it('is the test of homogeneity of the two rows', () => {
    const both = chiSquareTwoSampleTest([30, 70], [50, 50])
    expect(both.statistic).toBeCloseTo(
      (200 * (30 * 50 - 70 * 50) ** 2) / (100 * 100 * 80 * 120),
      10,
    )
    expect(both.degreesOfFreedom).toBe(1)
  })

  it('ignores cells that neither sample has, and scales with unequal sizes', () => {
    expect(chiSquareTwoSampleTest([10, 0, 20], [100, 0, 200])).toMatchObject({
      statistic: 0,
      degreesOfFreedom: 1,
      pValue: 1,
    })
  })
})

describe('independenceTest()', () => {
  it('finds no dependence in a product table and full dependence on the diagonal', () => {
    expect(
      independenceTest([
        [10, 20, 30],
        [20, 40, 60],
      ]).statistic,
    ).toBeCloseTo(0, 12)
    expect(
      independenceTest([
        [10, 20, 30],
        [20, 40, 60],
      ]).degreesOfFreedom,
    ).toBe(2)
    expect(
      independenceTest([
        [50, 0],
        [0, 50],
      ]).statistic,
    ).toBeCloseTo(100, 12)
  })

  it('leaves empty rows and columns out of the degrees of freedom', () => {
    expect(
      independenceTest([
        [5, 0, 5],
        [0, 0, 0],
        [5, 0, 5],
      ]).degreesOfFreedom,
    ).toBe(1)
  })
})

describe('poissonTest()', () => {
  it('gives twice the smaller exact tail', () => {
    expect(poissonTest(0, 10).pValue).toBeCloseTo(2 * Math.exp(-10), 15)
    expect(poissonTest(3, 1e-2).pValue).toBeCloseTo((2 * 1e-6) / 6, 8)
    expect(poissonTest(10, 10).pValue).toBeLessThanOrEqual(1)
    expect(poissonTest(10, 10).pValue).toBeGreaterThan(0.9)
    expect(poissonTest(20, 10).statistic).toBeCloseTo(Math.sqrt(10), 12)
  })
})
