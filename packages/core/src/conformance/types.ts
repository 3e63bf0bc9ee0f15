/**
 * What the conformance kit reports, and the assertion function it can speak through.
 *
 * @module
 */

/**
 * The part of `expect` of vitest or jest that the kit uses: `expect(actual, message).toEqual(expected)`.
 *
 * @param actual - Value at hand.
 * @param message - What is being checked.
 * @returns An object with at least `toEqual`.
 */
export type ExpectLike = (
  actual: unknown,
  message?: string,
) => { toEqual(expected: unknown): unknown }

/** Outcome of one case. */
export interface ConformanceCaseResult {
  /** Family and fact, for example `ties: gives the lowest token id`. */
  name: string
  /** `skipped` where the backend's capabilities exclude the case. */
  status: 'passed' | 'failed' | 'skipped'
  /** Why the case was skipped. */
  reason?: string
  /** What differed, the first few findings; only when the case failed. */
  detail?: string
  /** Draws that were compared or asserted about. */
  rowsChecked: number
  /** Draws not compared, because the oracle's margin or boundary distance lies within the fp32 bound. */
  withinMargin: number
  /** Largest margin or boundary distance of a draw in `withinMargin` that differed from the oracle; 0 when none did. */
  maxMargin: number
  /** Largest distance of a reported log-probability from the oracle's, nats. */
  maxLogprobError: number
  /** Time of the case, milliseconds. */
  durationMs: number
}

/** Outcome of {@link runConformance}. */
export interface ConformanceReport {
  /** Name of the backend. */
  backend: string
  /** One entry per case, in the order they ran. */
  cases: ConformanceCaseResult[]
  /** Number of cases that passed. */
  passed: number
  /** Number of cases that failed. */
  failed: number
  /** Number of cases that were skipped. */
  skipped: number
}
