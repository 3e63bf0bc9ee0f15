import { runConformance, runStatistics } from '@flashsampling/core'
import { describe, expect, it } from 'vitest'
import { type CudaKernel, checkAvailability, createCudaBackend } from '../src/index.ts'
import { CHECKS, runCheck } from './device/checks/index.ts'

const { available, reason, devices } = checkAvailability()
const isRequired = (process.env.FLASHSAMPLING_REQUIRE_BACKENDS ?? '').split(',').includes('cuda')

describe('the backend on a GPU', () => {
  it('finds a GPU, where the machine is meant to have one', ({ skip }) => {
    skip(!available && !isRequired, reason.split('\n')[0])
    expect(reason).toBe('')
    expect(available).toBe(true)
  })
})

const kernels: CudaKernel[] = [
  ...(devices[0]?.servesSm90a ? (['sm90a'] as const) : []),
  ...(devices[0]?.servesSmxx ? (['smxx'] as const) : []),
]

// Without a GPU the list of kernels is empty, and the test above says why.
for (const kernel of available ? kernels : []) {
  describe(`kernel ${kernel}`, () => {
    it('passes the conformance kit', async () => {
      const report = await runConformance(createCudaBackend({ kernel }), { expect })
      expect(report.failed).toBe(0)
      expect(report.passed).toBeGreaterThan(40)
    })

    it('passes the statistics of draws', async () => {
      const report = await runStatistics(createCudaBackend({ kernel }))
      expect(report.tests.filter(({ status }) => status === 'failed')).toEqual([])
    })

    for (const check of CHECKS) it(check.name, () => runCheck(check, kernel))
  })
}
