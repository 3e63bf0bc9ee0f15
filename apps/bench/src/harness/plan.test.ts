import { describe, expect, it } from 'vitest'
import { flashsamplingFamily } from '../contenders/flashsampling.ts'
import { onnxruntimeFamily } from '../contenders/onnxruntime.ts'
import { makePlan, type PlannedHead, type Selection } from './plan.ts'

const families = [flashsamplingFamily, onnxruntimeFamily]
const options = { selection: {}, quick: false, threads: [1, 2], families }

function names(plan: readonly PlannedHead[], batchSize: number): string[] {
  const groups = plan
    .flatMap((head) => head.groups)
    .filter((group) => group.batchSize === batchSize)
  return groups.flatMap(({ contenders }) =>
    contenders.map(({ name, threads }) => `${name} ${threads}`),
  )
}

describe('makePlan()', () => {
  it('holds every cell of the promised lines in the full plan', () => {
    const plan = makePlan(options)
    for (const name of ['smollm2', 'qwen3']) {
      for (const dtype of ['q8_0', 'f32']) {
        const head = plan.find((entry) => entry.shape.name === name && entry.dtype === dtype)
        for (const batchSize of [1, 8]) {
          const group = head?.groups.find(
            (entry) => entry.batchSize === batchSize && entry.variant === 'plain',
          )
          const contenders = group?.contenders.map((entry) => `${entry.name} ${entry.threads}`)
          expect(contenders).toEqual(
            expect.arrayContaining([
              'flashsampling 1',
              'flashsampling 2',
              'flashsampling-typescript 1',
              'onnxruntime-node 1',
              'onnxruntime-node 2',
              'onnxruntime-node-softmax 1',
            ]),
          )
        }
      }
    }
  })

  it('lists each head and each contender of a group once', () => {
    const plan = makePlan(options)
    const heads = plan.map(({ shape, dtype }) => `${shape.name} ${dtype}`)
    expect(new Set(heads).size).toBe(heads.length)
    for (const { groups } of plan) {
      const keys = groups.map(({ batchSize, variant }) => `${batchSize} ${variant}`)
      expect(new Set(keys).size).toBe(keys.length)
      for (const { contenders } of groups) {
        const entries = contenders.map(({ name, threads }) => `${name} ${threads}`)
        expect(new Set(entries).size).toBe(entries.length)
      }
    }
  })

  it('gives every combination of a selection that a family supports', () => {
    const selection: Selection = {
      cases: ['smollm2'],
      dtypes: ['q8_0'],
      batchSizes: [1, 16],
      contenders: ['flashsampling', 'flashsampling-typescript'],
    }
    const plan = makePlan({ ...options, selection })
    expect(plan).toHaveLength(1)
    expect(names(plan, 1)).toEqual([
      'flashsampling 1',
      'flashsampling 2',
      'flashsampling-typescript 1',
    ])
    // Plain TypeScript would take many seconds a call.
    expect(names(plan, 16)).toEqual(['flashsampling 1', 'flashsampling 2'])
  })

  it('is empty where no contender serves the selection', () => {
    const selection: Selection = { dtypes: ['bf16'], contenders: ['onnxruntime-node'] }
    expect(makePlan({ ...options, selection })).toEqual([])
  })

  it('leaves out the contenders of families that are missing', () => {
    const plan = makePlan({ ...options, families: [flashsamplingFamily] })
    expect(names(plan, 1).filter((name) => name.startsWith('onnxruntime'))).toEqual([])
  })
})
