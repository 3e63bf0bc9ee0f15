import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * Counts of one package's tests, as written to `build/test-results.json`.
 *
 * @typedef {object} TestCounts
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 * @property {string[]} skips - Title and reason of every skipped test; a title may hold it: `(skipped: reason)`.
 * @property {string[]} unexplained - Titles of skipped tests that give no reason.
 */

/** Vitest reporter that prints why tests were skipped and writes the counts that `npm test` adds up. */
export default class CountingReporter {
  /** @type {import('vitest/node').Vitest | undefined} */
  #vitest

  /** @param {import('vitest/node').Vitest} vitest */
  onInit(vitest) {
    this.#vitest = vitest
  }

  /**
   * @param {readonly import('vitest/node').TestModule[]} modules
   * @param {readonly unknown[]} unhandledErrors
   */
  onTestRunEnd(modules, unhandledErrors) {
    const vitest = this.#vitest
    if (vitest === undefined || vitest.config.watch) return
    const narrowed = vitest.config.testNamePattern !== undefined
    const counts = countTests(modules, unhandledErrors.length, narrowed)
    for (const skip of counts.skips) console.log(`skipped: ${skip}`)
    for (const title of counts.unexplained) console.log(`skipped without a reason: ${title}`)
    const file = join(vitest.config.root, 'build/test-results.json')
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `${JSON.stringify(counts, null, 2)}\n`)
  }
}

/**
 * Adds up the outcome of every test; a module or hook that fails by itself counts as one failed test.
 *
 * @param {readonly import('vitest/node').TestModule[]} modules
 * @param {number} unhandledErrors - Errors that belong to no test.
 * @param {boolean} narrowed - Whether `-t` selected tests: the others then need no reason for being skipped.
 * @returns {TestCounts}
 */
export function countTests(modules, unhandledErrors, narrowed) {
  /** @type {TestCounts} */
  const counts = { passed: 0, failed: unhandledErrors, skipped: 0, skips: [], unexplained: [] }
  for (const module of modules) {
    counts.failed += module.errors().length
    for (const suite of module.children.allSuites()) counts.failed += suite.errors().length
    for (const test of module.children.allTests()) {
      const result = test.result()
      if (result.state === 'passed') counts.passed++
      else if (result.state === 'failed') counts.failed++
      else {
        counts.skipped++
        const note =
          (result.state === 'skipped' ? result.note : undefined) ??
          /\(skipped: (.+)\)/.exec(test.fullName)?.[1]
        if (note !== undefined) counts.skips.push(`${test.fullName}: ${note}`)
        else if (!narrowed) counts.unexplained.push(test.fullName)
      }
    }
  }
  return counts
}
