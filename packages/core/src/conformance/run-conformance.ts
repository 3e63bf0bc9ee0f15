/**
 * `runConformance()`: the suite that every backend passes.
 *
 * @module
 */
import type { Backend } from '../backend.ts'
import { CONFORMANCE_CASES } from './cases/index.ts'
import { CaseContext, type ConformanceCase } from './context.ts'
import { SkipCase } from './recorder.ts'
import type { ConformanceCaseResult, ConformanceReport, ExpectLike } from './types.ts'

/** Options of {@link runConformance}. */
export interface ConformanceOptions {
  /**
   * Assertion function of vitest or jest. Every case asserts through it, and after the last case the call fails with
   * the list of all failures; without it failures are in the report alone.
   */
  expect?: ExpectLike | undefined
  /** Shortens cases that loop over shapes, to about a third of the time. @defaultValue false */
  quick?: boolean | undefined
  /** Runs only cases whose name contains this text. @defaultValue all cases */
  filter?: string | undefined
  /**
   * Called after every case, for progress.
   *
   * @param result - Outcome of the case.
   * @param done - Cases finished so far.
   * @param total - Cases in all.
   */
  onCase?: ((result: ConformanceCaseResult, done: number, total: number) => void) | undefined
}

/**
 * Runs the conformance kit against a backend: equality with the float64 oracle, invariance to batch and shards,
 * reproducibility, ties, edge rows, errors and life cycle. Needs no test framework and runs in browsers.
 *
 * Cases that the backend's capabilities exclude are skipped with a reason.
 *
 * @param backend - The backend under test.
 * @param options - Assertion function, filter and progress.
 * @returns One entry per case and the totals.
 * @throws {Error} the assertion error of `expect`, when it is given and a case failed.
 * @example
 * ```ts
 * const report = await runConformance(createCpuBackend({ threads: 1 }), { filter: 'ties' })
 * report.failed // => 0
 * ```
 * @see design contract, "Core's public surface"
 */
export async function runConformance(
  backend: Backend,
  options: ConformanceOptions = {},
): Promise<ConformanceReport> {
  const { expect, quick = false, filter = '', onCase } = options
  const selected = CONFORMANCE_CASES.filter((testCase) => testCase.name.includes(filter))
  const cases: ConformanceCaseResult[] = []
  let hasThrown = false
  for (const testCase of selected) {
    const result = await runCase(backend, testCase, quick)
    cases.push(result)
    onCase?.(result, cases.length, selected.length)
    if (result.status === 'skipped') continue
    try {
      // `toEqual` with text on both sides makes the findings part of the assertion's message.
      expect?.(result.detail ?? 'passed', result.name).toEqual('passed')
    } catch {
      hasThrown = true
    }
  }
  if (hasThrown && expect !== undefined) {
    const failures = cases.filter((result) => result.status === 'failed')
    expect(
      failures.map((failure) => `${failure.name}: ${failure.detail}`),
      `conformance of backend ${backend.name}`,
    ).toEqual([])
  }
  const count = (status: ConformanceCaseResult['status']): number =>
    cases.filter((result) => result.status === status).length
  return {
    backend: backend.name,
    cases,
    passed: count('passed'),
    failed: count('failed'),
    skipped: count('skipped'),
  }
}

async function runCase(
  backend: Backend,
  testCase: ConformanceCase,
  quick: boolean,
): Promise<ConformanceCaseResult> {
  const context = new CaseContext(backend, quick)
  const { check } = context
  const start = performance.now()
  let reason: string | null = null
  try {
    await testCase.run(context)
  } catch (error) {
    if (error instanceof SkipCase) reason = error.message
    else
      check.isTrue(
        false,
        `threw ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`,
      )
  }
  try {
    await context.dispose()
  } catch (error) {
    check.isTrue(false, `disposal threw ${String(error)}`)
  }
  const { name } = testCase
  const durationMs = performance.now() - start
  const figures = { ...check.figures(), durationMs }
  if (check.findings.length > 0) {
    return { name, status: 'failed', detail: check.findings.join('\n'), ...figures }
  }
  if (reason !== null) return { name, status: 'skipped', reason, ...figures }
  return { name, status: 'passed', ...figures }
}
