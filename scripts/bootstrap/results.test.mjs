import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeTemporaryTree } from '../lib/temporary-tree.mjs'
import { closingLine, readTestResults, removeTestResults } from './results.mjs'

const manifest = { name: 'a', scripts: { test: 'vitest run' } }
const counts = { passed: 2, failed: 0, skipped: 1, skips: [], unexplained: [] }

/** @param {Record<string, object>} files */
function treeOf(files) {
  const root = makeTemporaryTree({
    'packages/a/package.json': manifest,
    'apps/b/package.json': manifest,
    'packages/untested/package.json': { name: 'untested' },
    ...files,
  })
  return root
}

describe('readTestResults()', () => {
  test('adds up the packages that have tests', () => {
    const root = treeOf({
      'packages/a/build/test-results.json': counts,
      'apps/b/build/test-results.json': { ...counts, passed: 5, skipped: 0 },
    })
    const results = readTestResults(root)
    expect(results).toEqual({ passed: 7, failed: 0, skipped: 1, problems: [] })
    expect(closingLine(results)).toBe('7 passed, 0 failed, 1 skipped')
  })

  test('reports a package whose run wrote nothing', () => {
    const root = treeOf({ 'packages/a/build/test-results.json': counts })
    expect(readTestResults(root).problems).toEqual([
      'apps/b: the test run ended without writing build/test-results.json',
    ])
  })

  test('reports failed tests, skips without a reason and a run of no test', () => {
    const failing = { ...counts, failed: 1, unexplained: ['x'] }
    const nothing = { ...counts, passed: 0, skipped: 0 }
    const files = { 'apps/b/build/test-results.json': nothing }
    const failed = treeOf({ ...files, 'packages/a/build/test-results.json': failing })
    const none = treeOf({ ...files, 'packages/a/build/test-results.json': nothing })
    expect(readTestResults(failed).problems).toEqual([
      'packages/a: skipped without a reason: x',
      '1 tests failed',
    ])
    expect(readTestResults(none).problems).toEqual(['No test ran'])
  })
})

describe('removeTestResults()', () => {
  test('removes what an earlier run wrote', () => {
    const root = treeOf({ 'packages/a/build/test-results.json': counts })
    removeTestResults(root)
    expect(existsSync(join(root, 'packages/a/build/test-results.json'))).toBe(false)
  })
})
