import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { listPackages, readJson } from '../lib/workspace.mjs'

/**
 * Sums over all packages.
 *
 * @typedef {object} TestResults
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 * @property {string[]} problems - What makes the run fail beside failed tests.
 */

const RESULTS = 'build/test-results.json'

/**
 * Removes the results of earlier runs, so that none can be taken for this run's.
 *
 * @param {string} root - Root folder of the repository.
 */
export function removeTestResults(root) {
  for (const { path } of testedPackages(root)) rmSync(join(path, RESULTS), { force: true })
}

/**
 * Adds up the results that the packages' test runs have written.
 *
 * @param {string} root - Root folder of the repository.
 * @returns {TestResults}
 */
export function readTestResults(root) {
  /** @type {TestResults} */
  const sum = { passed: 0, failed: 0, skipped: 0, problems: [] }
  for (const { folder, path } of testedPackages(root)) {
    const file = join(path, RESULTS)
    if (!existsSync(file)) {
      sum.problems.push(`${folder}: the test run ended without writing ${RESULTS}`)
      continue
    }
    /** @type {import('../vitest-reporter.mjs').TestCounts} */
    const counts = readJson(file)
    sum.passed += counts.passed
    sum.failed += counts.failed
    sum.skipped += counts.skipped
    for (const title of counts.unexplained) {
      sum.problems.push(`${folder}: skipped without a reason: ${title}`)
    }
  }
  if (sum.failed > 0) sum.problems.push(`${sum.failed} tests failed`)
  if (sum.passed + sum.failed === 0) sum.problems.push('No test ran')
  return sum
}

/**
 * The last line of a test run.
 *
 * @param {TestResults} results
 */
export function closingLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`
}

/** @param {string} root */
function testedPackages(root) {
  return listPackages(root).filter(({ manifest }) => manifest.scripts?.test !== undefined)
}
