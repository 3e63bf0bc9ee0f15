/**
 * `runStatistics()` and `runNoiseStatistics()`: is every draw distributed as it must be?
 *
 * @module
 */
import type { Backend } from '../backend.ts'
import { createBackendSource, type DrawSource } from './draw-source.ts'
import { DRAW_TESTS } from './draw-tests.ts'
import { NOISE_TESTS } from './noise-tests.ts'
import type { TestStatistic } from './statistics.ts'

/** Smallest p-value that passes. */
export const MIN_P_VALUE = 1e-3

/** Draws of a test unless the options say otherwise: 2^20. */
export const DEFAULT_DRAWS: number = 2 ** 20

/** Outcome of one statistical test. */
export interface StatisticalResult {
  /** The hypothesis, as a fact. */
  name: string
  /** `passed` when the p-value exceeds 1e-3; `skipped` where the capabilities exclude the test. */
  status: 'passed' | 'failed' | 'skipped'
  /** Why the test was skipped or could not draw. */
  reason?: string
  /** Draws that the statistic rests on; 0 when there is none. */
  draws: number
  /** The test's statistic; NaN when there is none. */
  statistic: number
  /** Degrees of freedom. */
  degreesOfFreedom: number
  /** Probability of a statistic at least as large when the hypothesis holds; NaN when there is none. */
  pValue: number
  /** Time of the test, milliseconds. */
  durationMs: number
}

/** Outcome of {@link runStatistics} or {@link runNoiseStatistics}. */
export interface StatisticsReport {
  /** Name of the source of draws. */
  source: string
  /** One entry per test, in the order they ran. */
  tests: StatisticalResult[]
  /** Number of tests that passed. */
  passed: number
  /** Number of tests that failed. */
  failed: number
  /** Number of tests that were skipped. */
  skipped: number
  /** Smallest p-value of all; 1 when no test ran. */
  minPValue: number
}

/** Options of {@link runStatistics}. */
export interface StatisticsOptions {
  /** Draws of each chi-square test; tests of a huge vocabulary take 1/1024 of them. @defaultValue 2^20 */
  draws?: number | undefined
  /** Runs only tests whose name contains this text. @defaultValue all tests */
  filter?: string | undefined
  /**
   * Called after every test, for progress.
   *
   * @param result - Outcome of the test.
   * @param done - Tests finished so far.
   * @param total - Tests in all.
   */
  onTest?: ((result: StatisticalResult, done: number, total: number) => void) | undefined
}

/**
 * Tests the draws of a backend: frequencies by chi-square against the exact (filtered) softmax, tokens of probability
 * 1e-5, independence across positions, seeds and draw indices. Seeds are fixed, so a result never changes by chance.
 *
 * @param source - A backend, or any other source of draws.
 * @param options - Number of draws, filter and progress.
 * @returns One entry per test; a test passes when its p-value exceeds 1e-3.
 * @see design contract, "Numbers"; docs of `chiSquareTest`
 */
export async function runStatistics(
  source: Backend | DrawSource,
  options: StatisticsOptions = {},
): Promise<StatisticsReport> {
  const { draws = DEFAULT_DRAWS, filter = '', onTest } = options
  const drawSource = 'createSession' in source ? createBackendSource(source) : source
  const selected = DRAW_TESTS.filter((test) => test.name.includes(filter))
  const tests: StatisticalResult[] = []
  try {
    for (const test of selected) {
      const missing = test.needs.filter((feature) => !drawSource.features.includes(feature))
      const hasScheme = drawSource.noiseSchemes.includes(test.noiseScheme)
      const reason =
        missing.length > 0
          ? `the backend does not serve ${missing.join(', ')}`
          : hasScheme
            ? null
            : `the backend does not serve the noise scheme ${test.noiseScheme}`
      const result =
        reason === null
          ? await runTest(test.name, () => test.run(drawSource, draws))
          : withoutStatistic(test.name, 'skipped', reason)
      tests.push(result)
      onTest?.(result, tests.length, selected.length)
    }
  } finally {
    await drawSource.dispose()
  }
  return summarize(drawSource.name, tests)
}

/**
 * Tests the noise contract and the grouped forms by the reference functions of this package: uniform bits, both tails,
 * independence, and the distribution of parallel, online and distributed groups.
 *
 * @param options - Number of draws, filter and progress.
 * @returns One entry per test; a test passes when its p-value exceeds 1e-3.
 * @see arXiv 2603.15854 for the grouped forms
 */
export async function runNoiseStatistics(
  options: StatisticsOptions = {},
): Promise<StatisticsReport> {
  const { draws = DEFAULT_DRAWS, filter = '', onTest } = options
  const selected = NOISE_TESTS.filter((test) => test.name.includes(filter))
  const tests: StatisticalResult[] = []
  for (const test of selected) {
    tests.push(await runTest(test.name, async () => test.run(draws)))
    onTest?.(tests.at(-1) as StatisticalResult, tests.length, selected.length)
  }
  return summarize('reference', tests)
}

async function runTest(
  name: string,
  run: () => Promise<TestStatistic & { draws: number }>,
): Promise<StatisticalResult> {
  const start = performance.now()
  try {
    const { draws, statistic, degreesOfFreedom, pValue } = await run()
    return {
      name,
      status: pValue > MIN_P_VALUE ? 'passed' : 'failed',
      draws,
      statistic,
      degreesOfFreedom,
      pValue,
      durationMs: performance.now() - start,
    }
  } catch (error) {
    const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    return { ...withoutStatistic(name, 'failed', reason), durationMs: performance.now() - start }
  }
}

function withoutStatistic(
  name: string,
  status: 'failed' | 'skipped',
  reason: string,
): StatisticalResult {
  return {
    name,
    status,
    reason,
    draws: 0,
    statistic: Number.NaN,
    degreesOfFreedom: 0,
    pValue: Number.NaN,
    durationMs: 0,
  }
}

function summarize(source: string, tests: StatisticalResult[]): StatisticsReport {
  const count = (status: StatisticalResult['status']): number =>
    tests.filter((test) => test.status === status).length
  const pValues = tests.map((test) => test.pValue).filter((pValue) => !Number.isNaN(pValue))
  return {
    source,
    tests,
    passed: count('passed'),
    failed: count('failed'),
    skipped: count('skipped'),
    minPValue: Math.min(1, ...pValues),
  }
}
