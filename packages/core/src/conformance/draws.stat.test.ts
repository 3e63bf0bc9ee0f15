import { afterAll, describe, expect, it } from 'vitest'
import { createCpuBackend } from '../cpu/cpu-backend.ts'
import { createBackendSource, createOracleSource } from './draw-source.ts'
import { DRAW_TESTS } from './draw-tests.ts'
import { DEFAULT_DRAWS, MIN_P_VALUE } from './run-statistics.ts'

describe('draws of the CPU backend', () => {
  const source = createBackendSource(createCpuBackend({ threads: 1 }))
  afterAll(() => source.dispose())

  it.each(DRAW_TESTS)('$name', async (test) => {
    const { pValue, degreesOfFreedom } = await test.run(source, DEFAULT_DRAWS)
    expect(pValue).toBeGreaterThan(MIN_P_VALUE)
    expect(degreesOfFreedom).toBeGreaterThan(0)
  })
})

// The TypeScript kernels give the tokens of the WebAssembly kernels bit for bit; one test of each family suffices.
describe('draws of the CPU backend without WebAssembly, and of the oracle', () => {
  const sources = [
    createBackendSource(createCpuBackend({ threads: 1, kernels: 'typescript' })),
    createOracleSource(),
  ]
  afterAll(async () => {
    for (const source of sources) await source.dispose()
  })

  it.each(
    DRAW_TESTS.filter(({ name }) =>
      [
        'frequencies: follow the softmax of steep logits',
        'frequencies: follow the filtered softmax with every filter and a mask',
        'independence: of consecutive positions',
      ].includes(name),
    ),
  )('$name', async (test) => {
    for (const source of sources) {
      expect((await test.run(source, DEFAULT_DRAWS)).pValue).toBeGreaterThan(MIN_P_VALUE)
    }
  })
})
