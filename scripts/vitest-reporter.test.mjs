import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'

// Below this package, so that its vitest is found.
const folder = join(import.meta.dirname, 'build/reporter-test')
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/**
 * Runs vitest on one test file and returns what the reporter wrote and printed.
 *
 * @param {string} body - Test file after its imports.
 * @param {string[]} [args]
 */
function run(body, args = []) {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  cpSync(join(import.meta.dirname, 'vitest-reporter.mjs'), join(folder, 'reporter.mjs'))
  writeFileSync(
    join(folder, 'vitest.config.mjs'),
    `export default { test: { include: ['a.test.mjs'], reporters: ['./reporter.mjs'] } }`,
  )
  writeFileSync(
    join(folder, 'a.test.mjs'),
    `import { describe, expect, test } from 'vitest'\n${body}`,
  )
  const vitest = join(import.meta.dirname, 'node_modules/vitest/vitest.mjs')
  const { stdout } = spawnSync(process.execPath, [vitest, 'run', ...args], {
    cwd: folder,
    encoding: 'utf8',
  })
  const counts = JSON.parse(readFileSync(join(folder, 'build/test-results.json'), 'utf8'))
  return { counts, stdout }
}

describe('CountingReporter', () => {
  test('counts passed, failed and skipped tests and prints why one was skipped', () => {
    const { counts, stdout } = run(`
      describe('group', () => {
        test('passes', () => {})
        test('fails', () => expect(1).toBe(2))
        test('needs a device', ({ skip }) => skip('no device found'))
      })
      test.each([1, 2])('passes %i', () => {})`)
    expect(counts).toEqual({
      passed: 3,
      failed: 1,
      skipped: 1,
      skips: ['group > needs a device: no device found'],
      unexplained: [],
    })
    expect(stdout).toContain('skipped: group > needs a device: no device found')
  })

  test('names tests that are skipped without a reason', () => {
    const { counts } = run(`test('passes', () => {})\ntest.skip('is left out', () => {})`)
    expect(counts).toMatchObject({ passed: 1, skipped: 1, unexplained: ['is left out'] })
  })

  test('takes the reason from a title that holds it', () => {
    const { counts } = run(`
      test('passes', () => {})
      describe.skip('group (skipped: no model)', () => { test('runs', () => {}) })`)
    expect(counts.skips).toEqual(['group (skipped: no model) > runs: no model'])
  })

  test('asks for no reason where -t left tests out', () => {
    const { counts } = run(`test('one', () => {})\ntest('two', () => {})`, ['-t', 'one'])
    expect(counts).toMatchObject({ passed: 1, skipped: 1, unexplained: [] })
  })

  test('counts a file that cannot be loaded as a failed test', () => {
    const { counts } = run(`throw new Error('broken file')`)
    expect(counts).toMatchObject({ passed: 0, failed: 1 })
  })

  test('counts an error that belongs to no test as a failed test', () => {
    const { counts } = run(`test('passes', () => {
      setTimeout(() => { throw new Error('late') })
      return new Promise((resolve) => setTimeout(resolve, 50))
    })`)
    expect(counts).toMatchObject({ passed: 1, failed: 1 })
  })
})
