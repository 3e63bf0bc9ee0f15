import { describe, expect, it } from 'vitest'
import { type ConformanceCaseResult, createCpuBackend, runConformance } from '../src/index.ts'

describe('runConformance()', () => {
  it.each([
    { kernels: 'wasm', threads: 1 },
    { kernels: 'wasm', threads: 2 },
    { kernels: 'typescript', threads: 1 },
    { kernels: 'typescript', threads: 2 },
  ] as const)(
    'passes the CPU backend with $kernels kernels and $threads threads',
    async (options) => {
      const report = await runConformance(createCpuBackend(options), { expect })
      expect(report.failed).toBe(0)
      expect(report.passed).toBeGreaterThan(60)
      // All features are served, so the only case that does not apply is the one about refusals.
      const skipped = report.cases.filter((result) => result.status === 'skipped')
      expect(skipped.map((result) => result.name)).toEqual([
        'errors: refuses what the capabilities exclude',
      ])
      // Few draws lie within the fp32 bound of a tie or boundary: the comparisons do compare.
      const sum = (pick: (result: ConformanceCaseResult) => number): number =>
        report.cases.reduce((total, result) => total + pick(result), 0)
      const withinMargin = sum((result) => result.withinMargin)
      expect(withinMargin).toBeLessThan(0.01 * sum((result) => result.rowsChecked))
    },
  )

  it.each([1, 2, 7, 33, 1000, 1_000_000])(
    'passes the CPU backend with tiles of %i tokens',
    async (tileVocab) => {
      await runConformance(createCpuBackend({ threads: 1, tileVocab }), { expect, quick: true })
      await runConformance(createCpuBackend({ threads: 1, kernels: 'typescript', tileVocab }), {
        expect,
        quick: true,
      })
    },
  )
})
