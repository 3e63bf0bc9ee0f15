import { createSampler, type LmHeadShard, type SamplingParams } from '@flashsampling/core'
import { describe, expect, it } from 'vitest'
import { randomNumbers } from '../../test/tiny-model.ts'
import { describeReport, OracleCheck } from './oracle-check.ts'

const VOCAB_SIZE = 200
const HIDDEN_SIZE = 64
const random = randomNumbers(3)
const head: LmHeadShard = {
  dtype: 'f32',
  vocabSize: VOCAB_SIZE,
  hiddenSize: HIDDEN_SIZE,
  data: Float32Array.from({ length: VOCAB_SIZE * HIDDEN_SIZE }, () => random() - 0.5),
}
const hiddenState = Float32Array.from({ length: HIDDEN_SIZE }, () => 4 * (random() - 0.5))

async function draw(params: SamplingParams): Promise<{ tokenId: number; logprob: number }> {
  await using sampler = await createSampler({ lmHead: head })
  const { tokenIds, logprobs } = await sampler.sample({ hiddenStates: hiddenState, params })
  return { tokenId: tokenIds[0] as number, logprob: logprobs[0] as number }
}

describe('OracleCheck', () => {
  it('accepts what the sampler draws', async () => {
    const check = new OracleCheck(head)
    for (let position = 0; position < 50; position++) {
      const params = { seed: 5n, position, temperature: 0.8, topP: 0.9, repetitionPenalty: 1.1 }
      check.check(hiddenState, params, await draw(params))
    }
    expect(check.report).toMatchObject({
      checked: 50,
      differences: 0,
      withinMargin: 0,
    })
    expect(check.report.margin).toBeLessThan(1e-3)
    expect(check.report.maxLogprobError).toBeLessThan(check.report.margin)
  })

  it('reports another token, a token outside the kept set and a wrong log-probability', async () => {
    for (const params of [
      { seed: 5n, temperature: 0.8 },
      { seed: 5n, temperature: 0 },
      { seed: 5n, temperature: 0.8, topK: 3 },
    ]) {
      const drawn = await draw(params)
      const check = new OracleCheck(head)
      check.check(hiddenState, params, { ...drawn, tokenId: (drawn.tokenId + 1) % VOCAB_SIZE })
      expect(check.report.differences).toBe(1)
      check.check(hiddenState, params, { ...drawn, logprob: drawn.logprob - 0.01 })
      expect(check.report.differences).toBe(2)
      check.check(hiddenState, params, { ...drawn, logprob: Number.NaN })
      expect(check.report.differences).toBe(3)
    }
  })

  it('excuses the other of two tokens whose scores tie, and no third', () => {
    // Two tokens share the highest logit; greedy choice takes the first, fp32 might take the second.
    const row = Float32Array.from({ length: HIDDEN_SIZE }, (_, i) => (hiddenState[i] as number) / 8)
    const data = (head.data as Float32Array).slice()
    data.set(row, 10 * HIDDEN_SIZE)
    data.set(row, 20 * HIDDEN_SIZE)
    const check = new OracleCheck({ ...head, data })
    const params = { seed: 1n, temperature: 0 }
    check.check(hiddenState, params, { tokenId: 20, logprob: -1 })
    expect(check.report).toMatchObject({ withinMargin: 1, differences: 0 })
    check.check(hiddenState, params, { tokenId: 30, logprob: -1 })
    expect(check.report.differences).toBe(1)
  })

  it('states counts and margin in one line', () => {
    const report = {
      checked: 9,
      differences: 1,
      withinMargin: 2,
      margin: 0.0123,
      maxLogprobError: 4e-6,
    }
    expect(describeReport(report)).toBe(
      '9 tokens checked, 1 differences beyond the stated margin of 1.2e-2 nats, 2 within it; ' +
        'largest distance of a log-probability 4.0e-6',
    )
  })
})
