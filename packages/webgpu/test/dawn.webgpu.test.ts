import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { TUNING_CLASSES } from '../src/tuning.ts'
import { CHECKS, type SuiteResult } from './device/suites.ts'
import { runInChild } from './support/run-in-child.ts'
import { SWIFTSHADER_FOLDER } from './support/swiftshader.ts'

const isMissing = SWIFTSHADER_FOLDER === ''
const isRequired = (process.env.FLASHSAMPLING_REQUIRE_BACKENDS ?? '').split(',').includes('webgpu')
const MISSING = 'no SwiftShader found; install Chromium or set FLASHSAMPLING_CHROMIUM to its path'
const LIMIT_MS = 600_000

describe('on SwiftShader through Dawn', () => {
  beforeEach(({ skip }) => {
    skip(isMissing && !isRequired, MISSING)
  })

  it('finds SwiftShader, where the machine is meant to have it', () => {
    expect(SWIFTSHADER_FOLDER, MISSING).not.toBe('')
  })

  it.each([
    ['subgroups of four', []],
    ['no subgroups', ['subgroups']],
  ])('passes the conformance kit with %s', { timeout: LIMIT_MS }, async (_name, without) => {
    const { results, failure } = await runInChild({
      suite: 'conformance',
      quick: true,
      wish: { without },
    })
    expect(failure).toBe('')
    expect(results.filter(({ status }) => status === 'failed')).toEqual([])
    expect(results.filter(({ status }) => status === 'passed').length).toBeGreaterThan(60)
  })

  it.each(TUNING_CLASSES.map(({ name }) => name).filter((name) => name !== 'software'))(
    'draws exactly with the shapes of the class "%s"',
    { timeout: LIMIT_MS },
    async (tuning) => {
      const results: SuiteResult[] = []
      for (const filter of ['storage: draws exactly', 'filters: minP comes before']) {
        const outcome = await runInChild({ suite: 'conformance', quick: true, filter, tuning })
        expect(outcome.failure).toBe('')
        results.push(...outcome.results)
      }
      expect(results.filter(({ status }) => status === 'failed')).toEqual([])
      expect(results.filter(({ status }) => status === 'passed').length).toBeGreaterThan(9)
    },
  )

  describe('checks', () => {
    const found = new Map<string, SuiteResult>()
    let failure = ''

    beforeAll(async () => {
      if (isMissing) return
      // A process that dies takes its check along; the checks behind it get another one.
      for (let attempt = 0; attempt < 3 && found.size < CHECKS.length; attempt++) {
        const outcome = await runInChild({ suite: 'checks', skip: [...found.keys()] })
        for (const result of outcome.results) found.set(result.name, result)
        failure = outcome.failure
      }
    }, LIMIT_MS)

    it.each(CHECKS.map(({ name }) => name))('%s', (name) => {
      const result = found.get(name)
      expect(result?.status, result?.detail ?? failure).toBe('passed')
    })
  })
})
