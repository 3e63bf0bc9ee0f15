import { createSampler, makeCase, runConformance, runStatistics } from '@flashsampling/core'
import { beforeAll, describe, expect, it } from 'vitest'
import { checkAvailability, createCudaBackend, isAvailable } from '../src/index.ts'
import { CHECKS, runCheck } from './device/checks/index.ts'
import { buildHostLibrary, obstacle } from './host-library.ts'

// The addon, the session and the backend are those of a GPU; the library below them works on host memory.
describe.skipIf(obstacle !== undefined)(
  `the backend over host memory${obstacle === undefined ? '' : ` (skipped: ${obstacle})`}`,
  () => {
    beforeAll(() => {
      process.env.FLASHSAMPLING_NATIVE_PATH = buildHostLibrary()
    }, 120_000)

    it('says that it is available, and which devices there are', () => {
      expect(isAvailable()).toBe(true)
      const { reason, attempts, hints, devices } = checkAvailability()
      expect({ reason, attempts, hints }).toEqual({ reason: '', attempts: [], hints: [] })
      expect(devices.map(({ name, servesSmxx }) => [name, servesSmxx])).toEqual([
        ['host memory 0', true],
        ['host memory 1', false],
      ])
    })

    it('passes the conformance kit', async () => {
      const report = await runConformance(createCudaBackend(), { expect })
      expect(report.failed).toBe(0)
      expect(report.passed).toBeGreaterThan(40)
      const skipped = report.cases.filter(({ status }) => status === 'skipped')
      for (const { name, reason } of skipped) {
        expect(reason, name).toMatch(
          /does not serve (topK|topP|minP|penalties)|stores heads as bf16, f16|no top log-prob/,
        )
      }
      const sum = (pick: (result: (typeof report.cases)[number]) => number): number =>
        report.cases.reduce((total, result) => total + pick(result), 0)
      expect(sum((result) => result.withinMargin)).toBeLessThan(
        0.01 * sum((result) => result.rowsChecked),
      )
    })

    it('passes the statistics of draws', async () => {
      const report = await runStatistics(createCudaBackend(), { draws: 2 ** 16 })
      expect(report.tests.filter(({ status }) => status === 'failed')).toEqual([])
      expect(report.passed).toBeGreaterThan(12)
    })

    it('refuses devices that are too old, and kernels that do not run', () => {
      expect(() => createCudaBackend({ deviceIndex: 1 })).toThrow(
        expect.objectContaining({
          code: 'UNSUPPORTED_DEVICE',
          required: 'compute capability 8.0 or later',
          found: 'compute capability 7.0 (host memory 1)',
        }),
      )
      expect(() => createCudaBackend({ kernel: 'sm90a' })).toThrow(
        expect.objectContaining({
          code: 'UNSUPPORTED_DEVICE',
          required: 'compute capability 9.0 for kernel "sm90a"',
        }),
      )
    })

    it.each([1, 5, 8, 24, 67])(
      'draws the tokens of the CPU backend, hidden size %i',
      async (hiddenSize) => {
        for (const dtype of ['bf16', 'f16'] as const) {
          const { lmHead, hiddenStates } = makeCase({
            ...{ seed: 77n, vocabSize: 1500, hiddenSize, batchSize: 9, dtype, values: 'integers' },
          })
          const params = Array.from({ length: 9 }, (_, row) => ({
            ...{
              seed: 3n,
              position: row,
              temperature: [8, 0, 2][row % 3],
              numSamples: 1 + (row % 2),
            },
          }))
          const results = []
          for (const backend of [createCudaBackend(), 'cpu'] as const) {
            const sampler = await createSampler({ lmHead, backend })
            results.push(await sampler.sample({ hiddenStates, params }))
            await sampler.dispose()
          }
          expect(results[0]?.tokenIds).toEqual(results[1]?.tokenIds)
          expect(results[0]?.rowOffsets).toEqual(results[1]?.rowOffsets)
        }
      },
    )

    for (const check of CHECKS) it(check.name, () => runCheck(check, 'auto'))
  },
)
