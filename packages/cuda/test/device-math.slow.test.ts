/** Every value of the noise that kernels compute, as host C++; takes minutes. */
import { describe, expect, it } from 'vitest'
import { buildHostProgram, findCompiler } from './host-program.ts'

const compiler = findCompiler()

const reason =
  process.env.FLASHSAMPLING_SLOW_TESTS !== '1'
    ? 'takes minutes, set FLASHSAMPLING_SLOW_TESTS=1'
    : compiler === undefined
      ? 'no C++ compiler found'
      : undefined

const title = `noise of the device-math headers${reason ? ` (skipped: ${reason})` : ''}`
describe.skipIf(reason !== undefined)(title, () => {
  it.each([
    ['flash', 0],
    ['vllm', 1],
  ] as const)(
    'stays within 1e-5 of float64 for all 2^32 values of the bits (%s)',
    (name, scheme) => {
      const ask = buildHostProgram(compiler as string, 'device_math_test.cc')
      const [answer] = ask([`sweep ${scheme} 0 4294967296 1`])
      const [maxError, bitsOfMax] = (answer as string[]).map(Number)
      console.info(`${name}: largest error ${maxError?.toExponential(3)} at bits ${bitsOfMax}`)
      expect(maxError).toBeLessThanOrEqual(1e-5)
    },
    3_600_000,
  )
})
