import { afterAll, describe, expect, it } from 'vitest'
import { createOracleBackend } from '../test/oracle-backend.ts'
import type { Backend } from './backend.ts'
import { makeCase } from './conformance/heads.ts'
import { numberToBf16 } from './conformance/storage.ts'
import { createCpuBackend } from './cpu/cpu-backend.ts'
import { bf16ToNumber } from './half-floats.ts'
import { type CreateSamplerOptions, createSampler } from './sampler.ts'
import type { SampleOptions, SamplingParams } from './types.ts'

const testCase = makeCase({ seed: 1n, vocabSize: 20, hiddenSize: 8, batchSize: 3 })
const { lmHead, hiddenStates } = testCase

async function messageOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'no error',
    (error: Error) => `${error.name}: ${error.message}`,
  )
}

describe('createSampler()', () => {
  it('describes the head and the backend', async () => {
    for (const backend of [undefined, 'auto', 'cpu', createCpuBackend({ threads: 1 })] as const) {
      await using sampler = await createSampler({ lmHead, backend })
      expect(sampler).toMatchObject({
        vocabSize: 20,
        hiddenSize: 8,
        backend: 'cpu',
        noiseScheme: 'flash',
      })
    }
    await using other = await createSampler({
      lmHead: { ...lmHead, vocabStart: 100 },
      backend: createOracleBackend(),
      noiseScheme: 'vllm',
    })
    expect(other).toMatchObject({ vocabSize: 120, backend: 'oracle', noiseScheme: 'vllm' })
  })

  it.each(['cpu', createCpuBackend({ threads: 1 })] as const)(
    'refuses a head whose memory was taken away after the call (backend %#)',
    async (backend) => {
      const data = new Float32Array(64 * 8)
      const call = createSampler({
        lmHead: { dtype: 'f32', vocabSize: 64, hiddenSize: 8, data },
        backend,
      })
      structuredClone(data.buffer, { transfer: [data.buffer] })
      // A backend that is at hand has read the head by now; one that is loaded first must notice.
      if (backend === 'cpu') await expect(call).rejects.toThrow(RangeError)
      else await (await call).dispose()
    },
  )

  it.each<[string, unknown, string]>([
    [
      'no options',
      undefined,
      'TypeError: Cannot create a sampler as "options" must be an object with "lmHead": current value is undefined',
    ],
    [
      'no head',
      {},
      'TypeError: Cannot load the LM head as "lmHead" must be an object: current value is undefined',
    ],
    [
      'an unknown backend',
      { lmHead, backend: 'gpu' },
      'BackendUnavailableError: Cannot create a sampler as the backend is unknown\n' +
        '- gpu: not a backend object, "auto" or "cpu"\n' +
        'Possible solutions:\n- pass the object that a backend package makes, for example createCpuBackend()',
    ],
    [
      'an unknown noise scheme',
      { lmHead, noiseScheme: 'normal' },
      'RangeError: Cannot create a sampler as "noiseScheme" must be one of flash, vllm: current value is "normal"',
    ],
    [
      'shards that the backend does not take',
      {
        lmHead: { shards: [lmHead, { ...lmHead, vocabStart: 20 }] },
        backend: createOracleBackend({ capabilities: { sharded: false } }),
      },
      'UnsupportedFeatureError: Cannot create a sampler as backend oracle takes one shard: current value is 2',
    ],
    [
      'a storage format that the backend does not take',
      { lmHead, backend: createOracleBackend({ capabilities: { dtypes: ['f16', 'bf16'] } }) },
      'UnsupportedFeatureError: Cannot create a sampler as backend oracle stores heads as f16, bf16: ' +
        'current value is "f32"',
    ],
    [
      'memory of another backend',
      {
        lmHead: { ...lmHead, data: { backend: 'cuda', byteLength: 640 } },
        backend: createOracleBackend(),
      },
      'TypeError: Cannot create a sampler as the head lives in memory of backend cuda: current backend is oracle',
    ],
  ])('rejects %s', async (_, options, message) => {
    expect(await messageOf(createSampler(options as CreateSamplerOptions))).toBe(message)
  })
})

describe('Sampler.sample()', async () => {
  const sampler = await createSampler({ lmHead, backend: createCpuBackend({ threads: 1 }) })
  afterAll(() => sampler.dispose())

  it('lays draws out row by row', async () => {
    const { tokenIds, logprobs, rowOffsets, topLogprobs } = await sampler.sample({
      hiddenStates,
      params: [
        { seed: 1n, numSamples: 3 },
        { seed: 1n, logprobs: 2 },
        { seed: 1n, numSamples: 2, drawIndex: 7 },
      ],
    })
    expect([...rowOffsets]).toEqual([0, 3, 4, 6])
    expect([tokenIds.length, logprobs.length]).toEqual([6, 6])
    expect(topLogprobs.map((top) => top?.tokenIds.length ?? null)).toEqual([null, 2, null])
  })

  it('gives every row the noise of its own parameters, and one object to all rows', async () => {
    const shared = await sampler.sample({ hiddenStates, params: { seed: 4n, position: 2 } })
    const listed = await sampler.sample({
      hiddenStates,
      params: Array.from({ length: 3 }, () => ({ seed: 4n, position: 2n })),
    })
    expect(shared).toEqual(listed)
  })

  it('takes hidden states as a record of f32 or bf16', async () => {
    const params = { seed: 5n }
    const plain = await sampler.sample({ hiddenStates, params })
    const record = { data: hiddenStates, dtype: 'f32', batchSize: 3 } as const
    expect(await sampler.sample({ hiddenStates: record, params })).toEqual(plain)
    const data = Uint16Array.from(hiddenStates, numberToBf16)
    const widened = Float32Array.from(data, bf16ToNumber)
    const narrow = { data, dtype: 'bf16', batchSize: 3 } as const
    expect(await sampler.sample({ hiddenStates: narrow, params })).toEqual(
      await sampler.sample({ hiddenStates: widened, params }),
    )
  })

  const row = { seed: 1n }
  const nan = hiddenStates.slice()
  nan[9] = Number.NaN
  nan[20] = -Infinity

  it.each<[string, unknown, string]>([
    [
      'no options',
      null,
      'TypeError: Cannot sample tokens as "options" must be an object with "hiddenStates" and "params": ' +
        'current value is null',
    ],
    [
      'hidden states of a wrong type',
      { hiddenStates: [1, 2], params: row },
      'TypeError: Cannot sample tokens as "hiddenStates" must be a Float32Array or { data, dtype, batchSize }: ' +
        'current value is an array of length 2',
    ],
    [
      'a broken row',
      { hiddenStates: new Float32Array(9), params: row },
      'RangeError: Cannot sample tokens as "hiddenStates" must have batchSize * hiddenSize elements ' +
        '(hiddenSize = 8, batchSize >= 1): current length is 9',
    ],
    [
      'no row',
      { hiddenStates: new Float32Array(0), params: row },
      'RangeError: Cannot sample tokens as "hiddenStates" must have batchSize * hiddenSize elements ' +
        '(hiddenSize = 8, batchSize >= 1): current length is 0',
    ],
    [
      'a batch size that does not fit',
      { hiddenStates: { data: new Float32Array(16), dtype: 'f32', batchSize: 3 }, params: row },
      'RangeError: Cannot sample tokens as "hiddenStates" must have batchSize * hiddenSize elements ' +
        '(hiddenSize = 8, batchSize >= 1): current length is 16, current batchSize is 3',
    ],
    [
      'a dtype that does not fit the array',
      { hiddenStates: { data: new Float32Array(8), dtype: 'bf16', batchSize: 1 }, params: row },
      'TypeError: Cannot sample tokens as "hiddenStates" must be a Float32Array for "f32", or a Uint16Array for ' +
        '"f16" and "bf16": current value is a Float32Array of length 8',
    ],
    [
      'NaN and infinite hidden states',
      { hiddenStates: nan, params: row },
      'RowError: Cannot sample tokens as the hidden states of row 1, 2 contain NaN or infinite values: ' +
        'check the model output',
    ],
    [
      'a temperature of -1',
      { hiddenStates, params: { ...row, temperature: -1 } },
      'RangeError: Cannot sample tokens as "temperature" must be >= 0: current value is -1',
    ],
    [
      'too few parameters',
      { hiddenStates, params: [row] },
      'RangeError: Cannot sample tokens as "params" must be one object, or an array of 3 (one per row): ' +
        'current value is an array of length 1',
    ],
    [
      'no parameters',
      { hiddenStates },
      'TypeError: Cannot sample tokens as "params" must be an object with at least "seed": current value is undefined',
    ],
    [
      'a mask that forbids everything',
      { hiddenStates, params: [row, { ...row, allowedTokens: [] }, row] },
      'RowError: Cannot sample tokens as every token of row 1 is masked: allow at least one token',
    ],
  ])('rejects %s', async (_, options, message) => {
    expect(await messageOf(sampler.sample(options as SampleOptions))).toBe(message)
  })

  it('goes on after an error', async () => {
    const good = { hiddenStates, params: { seed: 3n } }
    const before = await sampler.sample(good)
    const calls = [
      sampler.sample({ hiddenStates, params: { seed: 3n, allowedTokens: [] } }).catch(() => null),
      sampler.sample(good),
      sampler.sample({ hiddenStates, params: { seed: 3n, temperature: -1 } }).catch(() => null),
      sampler.sample(good),
    ]
    expect(await Promise.all(calls)).toEqual([null, before, null, before])
  })

  it('draws from the hidden states as they were when it was called', async () => {
    await using sampler = await createSampler({ lmHead })
    const params = { seed: 1n, numSamples: 20 }
    const expected = await sampler.sample({ hiddenStates, params })
    const buffer = Float32Array.from(hiddenStates)
    const calls = [0, 1].map(() => sampler.sample({ hiddenStates: buffer, params }))
    buffer.fill(0)
    for (const { tokenIds } of await Promise.all(calls)) expect(tokenIds).toEqual(expected.tokenIds)
  })

  it('never overlaps two calls of one session', async () => {
    let running = 0
    let most = 0
    const oracle = createOracleBackend()
    const backend: Backend = {
      ...oracle,
      async createSession(options) {
        const session = await oracle.createSession(options)
        return {
          ...session,
          async sample(batch) {
            most = Math.max(most, ++running)
            await new Promise((resolve) => setTimeout(resolve, 1))
            running--
            return session.sample(batch)
          },
        }
      },
    }
    await using slow = await createSampler({ lmHead, backend })
    await Promise.all(
      Array.from({ length: 5 }, (_, position) =>
        slow.sample({ hiddenStates, params: { seed: 1n, position } }),
      ),
    )
    expect(most).toBe(1)
  })

  it.each<[string, Omit<SamplingParams, 'seed'>, string]>([
    [
      'topK',
      { topK: 3 },
      'Cannot sample tokens as backend oracle does not serve "topK": it serves topP',
    ],
    [
      'penalties',
      { presencePenalty: 1, outputTokenIds: [2] },
      'Cannot sample tokens as backend oracle does not serve "penalties": it serves topP',
    ],
    [
      'log-probabilities',
      { logprobs: 6 },
      'Cannot sample tokens as backend oracle reports at most 5 log-probabilities: current value is 6',
    ],
  ])('refuses %s that the backend does not serve', async (_, extra, message) => {
    const capabilities = { features: ['topP'], maxLogprobs: 5 } as const
    await using small = await createSampler({
      lmHead,
      backend: createOracleBackend({ capabilities }),
    })
    expect(await messageOf(small.sample({ hiddenStates, params: { seed: 1n, ...extra } }))).toBe(
      `UnsupportedFeatureError: ${message}`,
    )
    const served = { seed: 1n, topP: 0.5, logprobs: 5, topK: 0, minP: 0, promptTokenIds: [1] }
    expect((await small.sample({ hiddenStates, params: served })).tokenIds).toHaveLength(3)
  })

  it('refuses more rows than the backend takes', async () => {
    const backend = createOracleBackend({ capabilities: { maxBatchSize: 2 } })
    await using small = await createSampler({ lmHead, backend })
    expect(await messageOf(small.sample({ hiddenStates, params: { seed: 1n } }))).toBe(
      'RangeError: Cannot sample tokens as "batchSize" must be <= 2: current value is 3',
    )
  })

  it('is refused after disposal, which may be repeated', async () => {
    const short = await createSampler({ lmHead })
    await short.dispose()
    await short.dispose()
    expect(await messageOf(short.sample({ hiddenStates, params: { seed: 1n } }))).toBe(
      'DisposedError: Cannot use the sampler as it is disposed: create a new one',
    )
  })
})
