import { type SamplingParams, sampleFromLogits } from '@flashsampling/core'
import { describe, expect, it } from 'vitest'
import { randomNumbers } from '../../test/tiny-model.ts'
import { isPlausibleDraw } from './plausible-draw.ts'

const MARGIN = 0.02
const FILTERS: [string, Partial<SamplingParams>][] = [
  ['no filter', {}],
  ['greedy choice', { temperature: 0 }],
  ['topK', { topK: 5 }],
  ['topP', { topP: 0.7 }],
  ['minP', { minP: 0.1 }],
  ['all filters', { topK: 12, topP: 0.8, minP: 0.02, temperature: 1.3 }],
]

describe('isPlausibleDraw()', () => {
  for (const [what, params] of FILTERS) {
    it(`accepts what the oracle draws from logits shifted within the margin: ${what}`, () => {
      let others = 0
      for (let position = 0; position < 400; position++) {
        const random = randomNumbers(position)
        const logits = Float64Array.from({ length: 40 }, () => 4 * random())
        // Each logit is off by at most half the margin, so a difference of two is off by the margin.
        const scale = MARGIN * Math.min(1, params.temperature || 1)
        const shifted = logits.map((logit) => logit + scale * (random() - 0.5))
        const row = { seed: 9n, position, ...params }
        const { tokenId } = sampleFromLogits(shifted, row)
        expect(isPlausibleDraw(logits, row, MARGIN, tokenId)).toBe(true)
        if (tokenId !== sampleFromLogits(logits, row).tokenId) others++
      }
      // Without rows whose token changes, the check would show nothing.
      expect(others).toBeGreaterThan(0)
    })

    it(`refuses nearly every other token: ${what}`, () => {
      let accepted = 0
      for (let position = 0; position < 100; position++) {
        const random = randomNumbers(1000 + position)
        const logits = Float64Array.from({ length: 40 }, () => 4 * random())
        const row = { seed: 9n, position, ...params }
        const { tokenId } = sampleFromLogits(logits, row)
        for (let other = 0; other < 40; other++) {
          if (other !== tokenId && isPlausibleDraw(logits, row, MARGIN, other)) accepted++
        }
      }
      expect(accepted).toBeLessThan(100 * 39 * 0.01)
    })
  }
})
