import { describe, expect, it } from 'vitest'
import { flashsamplingFamily } from '../contenders/flashsampling.ts'
import { readSelection, readThreads } from './selection.ts'

const families = [flashsamplingFamily]

describe('readSelection()', () => {
  it('reads lists and leaves absent options absent', () => {
    expect(readSelection({ format: 'md', case: 'qwen3, smollm2', batch: '1,8' }, families)).toEqual(
      {
        cases: ['qwen3', 'smollm2'],
        batchSizes: [1, 8],
        dtypes: undefined,
        variants: undefined,
        contenders: undefined,
      },
    )
  })

  it.each([
    [{ case: 'gpt2' }, '"--case" must list names among smollm2, qwen3'],
    [{ dtype: 'q8_0,int4' }, 'current value is "int4"'],
    [{ batch: '0' }, '"--batch" must list whole numbers from 1 to 256: current value is "0"'],
    [{ batch: '1.5' }, 'current value is "1.5"'],
    [{ variant: 'plain,,masked' }, '"--variant" must be a list separated by commas'],
    [{ contenders: 'torch' }, 'current value is "torch"'],
  ])('refuses %o with the rule and the value', (flags, message) => {
    expect(() => readSelection({ format: 'md', ...flags }, families)).toThrow(message)
  })
})

describe('readThreads()', () => {
  it('takes one thread and every processor by default', () => {
    expect(readThreads(undefined, 8)).toEqual([1, 8])
    expect(readThreads(undefined, 1)).toEqual([1])
    expect(readThreads(undefined, 96)).toEqual([1, 64])
  })

  it('sorts and drops repetitions', () => {
    expect(readThreads('4,1,4', 2)).toEqual([1, 4])
  })

  it('refuses what is no number of threads', () => {
    expect(() => readThreads('two', 2)).toThrow('current value is "two"')
  })
})
