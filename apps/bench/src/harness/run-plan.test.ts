import { describe, expect, it } from 'vitest'
import { flashsamplingFamily } from '../contenders/flashsampling.ts'
import { openReadCeiling } from './read-ceiling.ts'
import { runPlan } from './run-plan.ts'

const shape = { name: 'test', title: 'test', vocabSize: 30_000, hiddenSize: 32 }

describe('runPlan()', () => {
  it('times the library and plain reads on every variant and counts what a draw allocates', async () => {
    const ceiling = openReadCeiling({ byteLength: 2 ** 22, maxThreads: 2 })
    const contenders = [
      { name: 'flashsampling', threads: 1 },
      { name: 'flashsampling', threads: 2 },
      { name: 'flashsampling-two-step', threads: 1 },
      { name: 'flashsampling-typescript', threads: 1 },
    ] as const
    const variants = ['plain', 'topk-topp', 'masked', 'logprobs'] as const
    const steps: string[] = []
    const records = await runPlan({
      plan: [
        {
          shape,
          dtype: 'q8_0',
          groups: variants.map((variant) => ({ batchSize: 8, variant, contenders })),
        },
      ],
      families: [flashsamplingFamily],
      times: { warmUpMs: 0, minTimeMs: 0, minSamples: 3, maxSamples: 3 },
      ceiling,
      readMethods: new Map([[1, 'memchr']]),
      onStep: (description) => steps.push(description),
      onGroupDone: () => undefined,
    })
    await ceiling.close()
    // Four contenders, and reads on one and on two threads.
    expect(records).toHaveLength(variants.length * 6)
    expect(steps[0]).toBe('test q8_0: loading')
    for (const record of records) {
      expect(record.medianUs).toBeGreaterThan(0)
      expect(record.samples).toBe(3)
      expect(record.bytes).toBe(record.op === 'read' ? 2 ** 21 : 30_000 * 34 + 8 * 32 * 4)
    }
    const draws = records.filter(({ op }) => op === 'sample')
    for (const { allocatedBytes } of draws) expect(allocatedBytes).toBeGreaterThan(0)
    const bytesOf = (contender: string) =>
      draws.find((record) => record.contender === contender && record.threads === 1)
        ?.allocatedBytes ?? 0
    // The two-step keeps 960 kB of logits of eight rows, the fused draw those of one tile.
    expect(bytesOf('flashsampling-two-step') - bytesOf('flashsampling')).toBeGreaterThan(600_000)
  })
})
