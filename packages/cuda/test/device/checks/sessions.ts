/** Batches of mixed rows. */
import assert from 'node:assert/strict'
import {
  type SampleResult,
  type Sampler,
  type SamplingParams,
  splitHead,
  type TestCase,
} from '@flashsampling/core'
import { type Check, rejectsWith, steps, testCase } from './context.ts'

function rowOf({ hiddenStates, hiddenSize }: TestCase, row: number): Float32Array {
  return hiddenStates.slice(row * hiddenSize, (row + 1) * hiddenSize)
}

/** Draws row by row and demands what the batch gave: the same tokens, log-probabilities within rounding. */
async function expectSameAsAlone(
  sampler: Sampler,
  inputs: TestCase,
  params: readonly SamplingParams[],
  batch: SampleResult,
): Promise<void> {
  for (const [row, rowParams] of params.entries()) {
    const alone = await sampler.sample({ hiddenStates: rowOf(inputs, row), params: rowParams })
    const [start, end] = [batch.rowOffsets[row], batch.rowOffsets[row + 1]]
    assert.deepEqual(batch.tokenIds.slice(start, end), alone.tokenIds, `tokens of row ${row}`)
    alone.logprobs.forEach((logprob, draw) => {
      const got = batch.logprobs[(start as number) + draw] as number
      assert.ok(Math.abs(got - logprob) < 1e-5, `logprob of row ${row}: ${got}, alone ${logprob}`)
    })
  }
}

/** Checks of sessions. */
export const sessionChecks: Check[] = [
  {
    name: 'batches: rows may ask for raw and for transformed log-probabilities side by side',
    async run(context) {
      const inputs = testCase()
      const sampler = await context.sampler(inputs.lmHead)
      const params = steps(6).map(
        (row, i): SamplingParams => ({
          ...row,
          temperature: 0.5,
          logprobsMode: i % 2 === 0 ? 'raw' : 'transformed',
          logitBias: { 7: 3 },
        }),
      )
      const batch = await sampler.sample({ hiddenStates: inputs.hiddenStates, params })
      await expectSameAsAlone(sampler, inputs, params, batch)
      assert.equal(batch.stats.passes, 2)
      const raw = await sampler.sample({
        hiddenStates: rowOf(inputs, 1),
        params: { ...params[1], seed: 5n, logprobsMode: 'raw' },
      })
      const difference = Math.abs((raw.logprobs[0] as number) - (batch.logprobs[1] as number))
      assert.ok(difference > 1e-3, 'raw and transformed log-probabilities differ')
    },
  },
  {
    name: 'batches: every row has its own number of draws, at consecutive draw indices',
    async run(context) {
      const inputs = testCase()
      const sampler = await context.sampler(inputs.lmHead)
      const counts = [1, 3, 2, 33, 1, 8]
      const params = steps(6).map((row, i) => ({ ...row, numSamples: counts[i], drawIndex: i }))
      const batch = await sampler.sample({ hiddenStates: inputs.hiddenStates, params })
      assert.deepEqual([...batch.rowOffsets], [0, 1, 4, 6, 39, 40, 48])
      assert.ok(batch.tokenIds.every((tokenId) => tokenId >= 0 && tokenId < 500))
      assert.ok(batch.logprobs.every((logprob) => logprob <= 1e-5))
      for (const [row, count] of counts.entries()) {
        for (let draw = 0; draw < count; draw++) {
          const alone = await sampler.sample({
            hiddenStates: rowOf(inputs, row),
            params: { seed: 5n, position: BigInt(row), drawIndex: row + draw },
          })
          const at = (batch.rowOffsets[row] as number) + draw
          assert.equal(batch.tokenIds[at], alone.tokenIds[0], `row ${row}, draw ${draw}`)
        }
      }
    },
  },
  {
    name: 'batches: more rows than one call takes give the tokens of smaller batches',
    async run(context) {
      const inputs = testCase({ vocabSize: 70, hiddenSize: 8, batchSize: 2500 })
      const sampler = await context.sampler(inputs.lmHead)
      const params = steps(2500)
      const whole = await sampler.sample({ hiddenStates: inputs.hiddenStates, params })
      assert.equal(whole.stats.passes, 3)
      for (let start = 0; start < 2500; start += 100) {
        const part = await sampler.sample({
          hiddenStates: inputs.hiddenStates.slice(start * 8, (start + 100) * 8),
          params: params.slice(start, start + 100),
        })
        assert.deepEqual(part.tokenIds, whole.tokenIds.slice(start, start + 100))
      }
    },
  },
  {
    name: 'batches: masks and biases of single rows leave the others alone',
    async run(context) {
      const inputs = testCase()
      const sampler = await context.sampler({ shards: splitHead(inputs.lmHead, 3) })
      const params = steps(6)
      params[1] = { ...params[1], seed: 5n, allowedTokens: [11, 480] }
      params[2] = { ...params[2], seed: 5n, logitBias: { 13: 40, 14: -Infinity } }
      params[4] = { seed: 5n, allowedTokens: [13, 14, 15], logitBias: { 15: 50, 14: 60 } }
      const batch = await sampler.sample({ hiddenStates: inputs.hiddenStates, params })
      await expectSameAsAlone(sampler, inputs, params, batch)
      assert.ok([11, 480].includes(batch.tokenIds[1] as number))
      assert.equal(batch.tokenIds[2], 13)
      assert.equal(batch.tokenIds[4], 14)
    },
  },
  {
    name: 'batches: logits that overflow in one shard invalidate their rows, whatever the other shards hold',
    async run(context) {
      const inputs = testCase({ values: 'integers' })
      const { vocabSize, hiddenSize, lmHead } = inputs
      const data = (lmHead.data as Uint16Array).slice()
      // Column 0 is zero except for one token, whose weight is 2^127 as bf16.
      for (let token = 0; token < vocabSize; token++) data[token * hiddenSize] = 0
      for (const token of [0, vocabSize - 1]) {
        const weights = data.slice()
        weights[token * hiddenSize] = 0x7f00
        const shards = splitHead({ ...lmHead, data: weights }, 3)
        const sampler = await context.sampler({ shards })
        const hiddenStates = inputs.hiddenStates.slice()
        for (let row = 0; row < 6; row++) {
          hiddenStates[row * hiddenSize] = row === 1 || row === 4 ? 2 ** 127 : 0
        }
        const params = steps(6)
        const error = await rejectsWith(sampler.sample({ hiddenStates, params }), {
          code: 'INVALID_LOGITS',
          name: 'RowError',
        })
        assert.deepEqual('rows' in error && error.rows, [1, 4])
        hiddenStates[hiddenSize] = 0
        hiddenStates[4 * hiddenSize] = 0
        const { tokenIds } = await sampler.sample({ hiddenStates, params })
        const whole = await context.sampler({ ...lmHead, data })
        assert.deepEqual(tokenIds, (await whole.sample({ hiddenStates, params })).tokenIds)
      }
    },
  },
  {
    name: 'batches: temperatures beyond the range of fp32 act as the nearest one inside',
    async run(context) {
      const inputs = testCase({ values: 'integers' })
      const sampler = await context.sampler(inputs.lmHead)
      const draw = async (temperature: number): Promise<SampleResult> =>
        sampler.sample({ hiddenStates: inputs.hiddenStates, params: steps(6, { temperature }) })
      assert.deepEqual((await draw(1e-300)).tokenIds, (await draw(2 ** -60)).tokenIds)
      assert.deepEqual((await draw(1e300)).tokenIds, (await draw(3e38)).tokenIds)
      assert.ok(
        (await draw(1e300)).logprobs.every((logprob) => Math.abs(logprob + Math.log(500)) < 1e-4),
      )
    },
  },
  {
    name: 'batches: hidden states that do not fit f16 name their rows',
    async run(context) {
      const inputs = testCase({ dtype: 'f16', batchSize: 4 })
      const sampler = await context.sampler(inputs.lmHead)
      const hiddenStates = inputs.hiddenStates.slice()
      hiddenStates[64 + 3] = 65519
      hiddenStates[2 * 64 + 63] = -65520
      const error = await rejectsWith(sampler.sample({ hiddenStates, params: steps(4) }), {
        code: 'INVALID_LOGITS',
        name: 'RowError',
      })
      assert.deepEqual('rows' in error && error.rows, [2])
      await sampler.sample({ hiddenStates: inputs.hiddenStates, params: steps(4) })
    },
  },
]
