import { sampleFromLogits } from '@flashsampling/core'
import { describe, expect, it } from 'vitest'
import { checkToken, productInFloat64 } from './check.ts'
import { makeWebGpuHead } from './heads.ts'

const logits = Float64Array.of(0, 2, 1, -1)
const params = { seed: 5n, position: 1, temperature: 1 }
const exact = { tolerance: 0 } as const
/** Cumulative probabilities by id: 0.087, 0.732, 0.968, 1; by rank 1, 2, 0, 3: 0.644, 0.881, 0.968, 1. */
const at = (uniform: number): { logits: Float64Array; params: typeof params; uniform: number } => ({
  logits,
  params,
  uniform,
})

describe('checkToken()', () => {
  it('inverts the cumulative distribution in order of ids', () => {
    const verdicts = [0, 1, 2, 3].map((id) => checkToken({ rule: 'id', ...exact }, id, at(0.5)))
    expect(verdicts).toEqual(['wrong', 'right', 'wrong', 'wrong'])
    expect(checkToken({ rule: 'id', ...exact }, 2, at(0.8))).toBe('right')
  })

  it('inverts it in order of probability', () => {
    const verdicts = [0, 1, 2, 3].map((id) => checkToken({ rule: 'rank', ...exact }, id, at(0.7)))
    expect(verdicts).toEqual(['wrong', 'wrong', 'right', 'wrong'])
  })

  it('leaves room for the rounding that a contender states', () => {
    expect(checkToken({ rule: 'rank', tolerance: 0.06 }, 1, at(0.7))).toBe('right')
    expect(checkToken({ rule: 'rank', tolerance: 0.05 }, 1, at(0.7))).toBe('wrong')
  })

  it('holds draws by noise against the oracle', () => {
    const { tokenId } = sampleFromLogits(logits, params)
    const verdicts = [0, 1, 2, 3].map((id) => checkToken({ rule: 'noise', ...exact }, id, at(0)))
    expect(verdicts).toEqual([0, 1, 2, 3].map((id) => (id === tokenId ? 'right' : 'wrong')))
  })

  it('refuses ids outside of the vocabulary', () => {
    for (const id of [-1, 4, 0xffff_ffff, NaN]) {
      expect(checkToken({ rule: 'rank', tolerance: 1 }, id, at(0.5))).toBe('wrong')
    }
  })
})

describe('productInFloat64()', () => {
  it.each(['f32', 'f16', 'q8_0', 'nbits4'] as const)(
    'gives %s logits of the stated spread',
    (dtype) => {
      const shape = { name: 'tiny', vocabSize: 1500, hiddenSize: 256, title: 'a test' }
      const head = makeWebGpuHead(shape, dtype)
      const states = Float32Array.from({ length: 256 }, (_, i) => (i % 2 === 0 ? 1 : -1))
      const [row] = productInFloat64(head, [states])
      const mean = row!.reduce((sum, logit) => sum + logit, 0) / row!.length
      const variance = row!.reduce((sum, logit) => sum + (logit - mean) ** 2, 0) / row!.length
      expect(row).toHaveLength(1500)
      // A standard deviation of 3, known to 1/sqrt(2 * 1500) = 1.8 %.
      expect(Math.sqrt(variance)).toBeGreaterThan(2.75)
      expect(Math.sqrt(variance)).toBeLessThan(3.25)
    },
  )
})
