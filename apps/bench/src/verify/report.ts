/**
 * What `verify` found, as data.
 *
 * @module
 */
import type { ConformanceReport, StatisticsReport } from '@flashsampling/core'
import type { RunHead } from '../harness/record.ts'

/** What was found about one backend. */
export interface BackendVerification {
  /** Names the backend in tables. */
  name: string
  /** Why the backend could not be checked; absent when it was. */
  unavailable?: string
  /** Outcome of the conformance kit; absent when the backend is unavailable. */
  conformance?: ConformanceReport
  /** Outcome of the statistics; absent when the backend is unavailable. */
  statistics?: StatisticsReport
}

/** One run of `verify`. */
export interface VerifyReport extends RunHead {
  /** Whether cases were shortened. */
  quick: boolean
  /** Draws of each chi-square test. */
  draws: number
  /** One entry per backend. */
  backends: BackendVerification[]
  /** Statistics of the noise contract and the grouped forms, by the float64 reference. */
  noise: StatisticsReport
}

/** Cases and tests of a run by outcome. */
export interface VerifyTotals {
  /** Checks that passed. */
  passed: number
  /** Checks that failed. */
  failed: number
  /** Checks that do not apply, unavailable backends included. */
  skipped: number
}

/**
 * Counts the checks of a run by outcome.
 *
 * @param report - The run.
 * @returns Sums over conformance, statistics and noise.
 */
export function totalsOf(report: VerifyReport): VerifyTotals {
  const parts = [report.noise, ...report.backends.flatMap((b) => [b.conformance, b.statistics])]
  const unavailable = report.backends.filter((backend) => backend.unavailable !== undefined).length
  return {
    passed: parts.reduce((sum, part) => sum + (part?.passed ?? 0), 0),
    failed: parts.reduce((sum, part) => sum + (part?.failed ?? 0), 0),
    skipped: parts.reduce((sum, part) => sum + (part?.skipped ?? 0), unavailable),
  }
}
