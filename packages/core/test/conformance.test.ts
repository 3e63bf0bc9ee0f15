import { describe, expect, it } from 'vitest'
import { numberToBf16, numberToF16, roundToDType } from '../src/conformance/storage.ts'
import { bf16ToNumber, f16ToNumber, type RowParams, runConformance } from '../src/index.ts'
import { createOracleBackend, type Mutation } from './oracle-backend.ts'

describe('runConformance()', () => {
  it('passes a backend that asks the oracle', async () => {
    const report = await runConformance(createOracleBackend(), { expect })
    expect(report.failed).toBe(0)
  })

  it('skips with a reason what a small backend does not serve', async () => {
    const backend = createOracleBackend({
      capabilities: {
        dtypes: ['f32'],
        maxBatchSize: 1,
        features: [],
        maxLogprobs: 0,
        sharded: false,
        noiseSchemes: ['flash'],
      },
    })
    const report = await runConformance(backend, { expect })
    expect(report.failed).toBe(0)
    expect(report.passed).toBeGreaterThan(20)
    const reasons = new Map(report.cases.map((result) => [result.name, result.reason]))
    expect(reasons.get('oracle: equals the oracle with topK')).toBe(
      'the backend does not serve topK',
    )
    expect(reasons.get('invariance: draws the same token from 1 to 8 shards (real)')).toBe(
      'the backend takes one shard',
    )
    expect(reasons.get('storage: equals the oracle with a q8_0 head of real values')).toBe(
      'the backend stores heads as f32',
    )
    for (const result of report.cases) {
      if (result.status === 'skipped') expect(result.reason).toMatch(/\w/)
    }
  })

  it('maps its heads to 16-bit storage where a backend has no other', async () => {
    const report = await runConformance(createOracleBackend(SIXTEEN_BITS), { expect })
    expect(report.failed).toBe(0)
    const skipped = report.cases.filter((result) => result.status === 'skipped')
    expect(skipped.length).toBeGreaterThan(0)
    for (const { reason } of skipped) {
      expect(reason).toBe('the backend stores heads as bf16, f16')
    }
  })

  it('compares what it can with a backend that stores heads as f16 alone', async () => {
    const backend = createOracleBackend({
      capabilities: { ...SIXTEEN_BITS.capabilities, dtypes: ['f16'] },
    })
    const report = await runConformance(backend, { expect, quick: true })
    expect(report.failed).toBe(0)
    const golden = report.cases.find((result) => result.name.startsWith('golden'))
    expect(golden?.reason).toBe('the backend stores heads as f16: exact logits need f32 or bf16')
    expect(report.passed).toBeGreaterThan(40)
  })

  it('fails through expect, and names every failed case', async () => {
    const backend = createOracleBackend({ result: shiftLogprobs })
    const failure = await runConformance(backend, { expect, filter: 'golden' }).catch(
      (error) => error,
    )
    expect(failure.message).toContain('conformance of backend oracle')
    expect(failure.actual.map((line: string) => line.split(': ', 2).join(': '))).toEqual([
      'golden: draws the contract tokens from rows of logits',
      'golden: draws the contract tokens from a product of small integers',
    ])
  })

  it('reports without expect, and calls back after every case', async () => {
    const seen: string[] = []
    const report = await runConformance(createOracleBackend({ result: shiftLogprobs }), {
      filter: 'golden',
      onCase: (result, done, total) => seen.push(`${done}/${total} ${result.status}`),
    })
    expect(seen).toEqual(['1/2 failed', '2/2 failed'])
    expect([report.passed, report.failed, report.skipped]).toEqual([0, 2, 0])
    expect(report.cases[0]?.detail).toMatch(/expected logprob .* got/)
  })
})

function shiftLogprobs(result: Parameters<NonNullable<Mutation['result']>>[0]) {
  return { ...result, logprobs: result.logprobs.map((logprob) => logprob - 1e-3) }
}

/** A backend that multiplies 16-bit values, as matrix units do. */
const SIXTEEN_BITS: Mutation = {
  capabilities: {
    dtypes: ['bf16', 'f16'],
    hiddenStatesDtype: 'head',
    accumulationError: 2 ** -23,
  },
}

let numRowsDrawn = 0
let sharedTokens = new Int32Array(0)

/** Deliberately wrong backends, each with a case that must catch it. */
const MUTANTS: Record<string, Mutation & { caughtBy: string }> = {
  'gives the highest id on ties': {
    logits: (logits) => logits.map((logit, tokenId) => logit + tokenId * 1e-9),
    caughtBy: 'ties: gives the lowest token id among equal logits at temperature 0',
  },
  'keeps one token more than topK': {
    params: (row) => ({ ...row, topK: row.topK > 0 ? row.topK + 1 : 0 }),
    caughtBy: 'oracle: equals the oracle with topK',
  },
  'cuts topP a percent too early': {
    params: (row) => ({ ...row, topP: row.topP * 0.99 }),
    caughtBy: 'filters: topP keeps a token while the mass strictly before it is below p',
  },
  'ignores minP': {
    params: (row) => ({ ...row, minP: 0 }),
    caughtBy: 'oracle: equals the oracle with minP',
  },
  'ignores the bias': {
    params: (row) => ({ ...row, edits: row.edits.map((edit) => ({ ...edit, bias: 0 })) }),
    caughtBy: 'oracle: equals the oracle with logitBias',
  },
  'shifts the mask by one token': {
    params: (row) => ({
      ...row,
      allowedMask: row.allowedMask?.map((word) => (word << 1) | 1) ?? null,
    }),
    caughtBy: 'oracle: equals the oracle with allowedTokens',
  },
  'counts presence as frequency': {
    params: (row) => ({
      ...row,
      edits: row.edits.map((edit) => ({ ...edit, penalty: edit.penalty * 2 })),
    }),
    caughtBy: 'oracle: equals the oracle with penalties',
  },
  'filters before the temperature': {
    params: (row) => (row.minP > 0 ? { ...row, minP: row.minP ** (1 / row.temperature) } : row),
    caughtBy: 'oracle: equals the oracle with minP',
  },
  'samples at temperature 0': {
    params: (row) => ({ ...row, temperature: Math.max(row.temperature, 0.5) }),
    caughtBy: 'oracle: takes the highest logit at temperature 0',
  },
  'rounds logits to bf16': {
    logits: (logits) => logits.map((logit) => bf16ToNumber(numberToBf16(logit))),
    caughtBy: 'storage: equals the oracle with a f32 head of real values',
  },
  'adds noise that is wrong by 2e-4': {
    logits: (logits) => logits.map((logit, tokenId) => (tokenId === 9 ? logit + 2e-4 : logit)),
    caughtBy: 'noise: tells scores 1e-4 apart in both tails',
  },
  'repeats the first draw': {
    result: (result) => ({
      ...result,
      tokenIds: result.tokenIds.map((_, i) => {
        const row = result.rowOffsets.findLastIndex((offset) => offset <= i)
        return result.tokenIds[result.rowOffsets[row] as number] as number
      }),
    }),
    caughtBy: 'oracle: draws numSamples tokens at consecutive draw indices',
  },
  'uses its own noise under the vllm scheme': {
    noiseScheme: 'flash',
    caughtBy: 'oracle: equals the oracle under the vllm noise scheme',
  },
  'reports log-probabilities after the filters': {
    result: shiftLogprobs,
    caughtBy: 'logprobs: reports the most likely tokens before the filters',
  },
  'reports transformed for raw log-probabilities': {
    params: (row) => ({ ...row, logprobsMode: 'transformed' }),
    caughtBy: 'logprobs: reports raw log-probabilities before every transform',
  },
  'lets the batch position into the noise': {
    params: (row, index) => ({ ...row, drawIndex: index }),
    caughtBy: 'invariance: draws the same token at every batch position (integers)',
  },
  'sums in another order in large batches': {
    logits: (logits, _, batchSize) =>
      batchSize > 40 ? logits.map((logit) => logit * 1.02) : logits,
    caughtBy: 'invariance: draws the same token in batches of 1 to 64 (real)',
  },
  'numbers tokens from the start of their shard': {
    shards: (shards) => {
      let vocabStart = 0
      return shards.map((shard) => {
        const moved = { ...shard, vocabStart }
        vocabStart += shard.vocabSize
        return moved
      })
    },
    caughtBy: 'invariance: keys the noise by the global token id of a shard',
  },
  'renormalises topP over all tokens': {
    params: (row) => (row.topK > 0 ? { ...row, topP: Math.min(1, row.topP * 1.143) } : row),
    caughtBy: 'filters: minP comes before topK, topK before topP, temperature before all',
  },
  'forgets the last token': {
    logits: (logits) =>
      logits.map((logit, tokenId) => (tokenId === logits.length - 1 ? -1e9 : logit)),
    caughtBy: 'edges: draws from vocabularies and widths that are no multiple of anything',
  },
  'ignores the upper half of the position': {
    params: (row) => ({ ...row, position: row.position & 0xffff_ffffn }),
    caughtBy: 'reproducible: draws other tokens for another seed, position or draw index',
  },
  'ignores the upper half of the seed': {
    params: (row) => ({ ...row, seed: row.seed & 0xffff_ffffn }),
    caughtBy: 'reproducible: draws other tokens for another seed, position or draw index',
  },
  'draws from other noise every time': {
    params: (row): RowParams => ({ ...row, seed: row.seed + BigInt(++numRowsDrawn) }),
    caughtBy: 'reproducible: draws the same tokens again, in a second sampler too',
  },
  'gives a token for a masked row': {
    hidesErrors: true,
    caughtBy: 'errors: names the rows whose tokens are all masked',
  },
  'gives a token for a row with NaN': {
    hidesErrors: true,
    caughtBy: 'errors: names every row when a weight is NaN',
  },
  'gives every call the same memory': {
    result: (result) => {
      if (sharedTokens.length !== result.tokenIds.length)
        sharedTokens = new Int32Array(result.tokenIds.length)
      sharedTokens.set(result.tokenIds)
      return { ...result, tokenIds: sharedTokens }
    },
    caughtBy: 'life cycle: leaves its inputs alone and its results to the caller',
  },
  'truncates hidden states': {
    ...SIXTEEN_BITS,
    round: (values, dtype) =>
      values.map((value) =>
        dtype === 'bf16' ? bf16ToNumber(numberToBf16(value)) : f16ToNumber(numberToF16(value)),
      ),
    caughtBy: 'storage: equals the oracle with a f16 head of real values',
  },
  'rounds hidden states of f16 heads to bf16': {
    ...SIXTEEN_BITS,
    round: (values) => roundToDType(values, 'bf16'),
    caughtBy: 'storage: equals the oracle with a f16 head of real values',
  },
  'keeps hidden states of f32 before a bf16 head': {
    ...SIXTEEN_BITS,
    round: (values) => values,
    caughtBy: 'oracle: equals the oracle at every temperature',
  },
  'reads the weights after the sampler was created': {
    keepsWeights: true,
    caughtBy: 'life cycle: does not need the weights once the sampler exists',
  },
}

describe('conformance cases', () => {
  it.each(Object.entries(MUTANTS))(
    'catch a backend that %s',
    async (_, { caughtBy, ...mutation }) => {
      const report = await runConformance(createOracleBackend(mutation), {
        filter: caughtBy,
        quick: true,
      })
      expect(report.cases.map((result) => [result.name, result.status])).toEqual([
        [caughtBy, 'failed'],
      ])
      const sound = await runConformance(
        createOracleBackend({ capabilities: mutation.capabilities ?? {} }),
        { filter: caughtBy, quick: true },
      )
      expect(sound.passed).toBe(1)
    },
  )
})
