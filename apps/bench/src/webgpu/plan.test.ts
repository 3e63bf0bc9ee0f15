import { describe, expect, it } from 'vitest'
import { WEBGPU_CONTENDERS } from './contender.ts'
import { makeWebGpuPlan } from './plan.ts'

describe('makeWebGpuPlan()', () => {
  const heads = (isSoftware: boolean): string[] =>
    makeWebGpuPlan({}, isSoftware).map(
      ({ shape, dtype, batchSizes }) => `${shape.name} ${dtype} ${batchSizes.join(' ')}`,
    )

  it('gives a GPU the large heads, a processor the small one', () => {
    expect(heads(false)).toEqual([
      'small f16 1 8 64',
      'small nbits4 1 8 64',
      'smollm2 q8_0 1 8 64',
      'smollm2 f32 1 8 64',
    ])
    expect(heads(true)).toEqual(['smollm2 q8_0 1 8', 'smollm2 f32 1 8'])
  })

  it('takes every contender unless some are named', () => {
    expect(makeWebGpuPlan({}, true)[0]!.contenders).toEqual(WEBGPU_CONTENDERS)
    const [job] = makeWebGpuPlan({ contenders: 'gpu-sort, read-ceiling' }, true)
    expect(job!.contenders).toEqual(['gpu-sort', 'read-ceiling'])
  })

  it('combines what is selected', () => {
    const plan = makeWebGpuPlan({ case: 'qwen3,small', dtype: 'f16', batch: '2' }, false)
    expect(plan.map(({ shape, batchSizes }) => [shape.hiddenSize, batchSizes])).toEqual([
      [1024, [2]],
      [4096, [2]],
    ])
  })

  it.each([
    [{ case: 'huge' }, '"--case" must list names among smollm2, qwen3, small'],
    [{ dtype: 'bf16' }, '"--dtype" must list names among q8_0, f32, f16, nbits4'],
    [{ batch: '65' }, '"--batch" must list whole numbers from 1 to 64: current value is "65"'],
    [{ contenders: 'cublas-gemm' }, '"--contenders" must list names among flashsampling,'],
    [{ minTime: 0 }, '"--min-time" must be above 0'],
  ])('refuses %j', (flags, message) => {
    expect(() => makeWebGpuPlan(flags, true)).toThrow(message)
  })
})
