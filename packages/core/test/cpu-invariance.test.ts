import { afterAll, describe, expect, it } from 'vitest'
import {
  type CpuBackendOptions,
  createCpuBackend,
  createSampler,
  type LmHead,
  makeCase,
  type SampleResult,
  type SamplingParams,
  STORAGE_FORMATS,
  splitHead,
} from '../src/index.ts'

const VOCAB_SIZE = 131
const BATCH_SIZE = 12

const cases = {
  integers: makeCase({
    seed: 21n,
    vocabSize: VOCAB_SIZE,
    hiddenSize: 40,
    batchSize: BATCH_SIZE,
    values: 'integers',
  }),
  real: makeCase({ seed: 22n, vocabSize: VOCAB_SIZE, hiddenSize: 40, batchSize: BATCH_SIZE }),
}

/** Every filter and several draws, so that both passes are met. */
const params = Array.from(
  { length: BATCH_SIZE },
  (_, row): SamplingParams => ({
    seed: 23n,
    position: BigInt(row),
    temperature: [1, 3, 0, 0.7][row % 4],
    topK: row % 3 === 1 ? 9 : 0,
    topP: row % 3 === 2 ? 0.9 : 1,
    minP: row % 5 === 4 ? 0.01 : 0,
    numSamples: 1 + (row % 3),
    logprobs: row % 4,
  }),
)

async function draw(
  kind: keyof typeof cases,
  options: CpuBackendOptions,
  lmHead: LmHead = cases[kind].lmHead,
): Promise<Omit<SampleResult, 'stats'>> {
  await using sampler = await createSampler({ lmHead, backend: createCpuBackend(options) })
  const { stats: _stats, ...result } = await sampler.sample({
    hiddenStates: cases[kind].hiddenStates,
    params,
  })
  return result
}

describe.each(['integers', 'real'] as const)('createCpuBackend() with %s', async (kind) => {
  // Tokens, log-probabilities and most likely tokens, compared bit for bit.
  const base = await draw(kind, { kernels: 'typescript', threads: 1 })

  it('gives the same bits from the wasm kernels', async () => {
    expect(await draw(kind, { kernels: 'wasm', threads: 1 })).toEqual(base)
  })

  it('gives the same bits for every tile size', async () => {
    for (const kernels of ['wasm', 'typescript'] as const) {
      for (let tileVocab = 1; tileVocab <= VOCAB_SIZE; tileVocab++) {
        expect(
          await draw(kind, { kernels, threads: 1, tileVocab }),
          `tileVocab ${tileVocab}`,
        ).toEqual(base)
      }
    }
  })

  it('gives the same bits from two threads', async () => {
    for (const kernels of ['wasm', 'typescript'] as const) {
      for (const tileVocab of [1, 3, 16, 65, 66, 131]) {
        expect(
          await draw(kind, { kernels, threads: 2, tileVocab }),
          `tileVocab ${tileVocab}`,
        ).toEqual(base)
      }
    }
  })

  it('gives the same bits from 1 to 8 shards', async () => {
    for (const kernels of ['wasm', 'typescript'] as const) {
      for (let numShards = 1; numShards <= 8; numShards++) {
        const lmHead = { shards: splitHead(cases[kind].lmHead, numShards) }
        for (const threads of [1, 2]) {
          expect(await draw(kind, { kernels, threads, tileVocab: 20 }, lmHead)).toEqual(base)
        }
      }
    }
  })
})

describe('createCpuBackend() in every storage format', () => {
  it.each(Object.keys(STORAGE_FORMATS) as (keyof typeof STORAGE_FORMATS)[])(
    'gives the same bits of a %s head from both kernels, any tile size and two threads',
    async (dtype) => {
      const shape = { vocabSize: 83, hiddenSize: 768, batchSize: BATCH_SIZE }
      const { lmHead, hiddenStates } = makeCase({ seed: 24n, ...shape, dtype })
      const results: SampleResult[] = []
      for (const options of [
        { kernels: 'typescript', threads: 1 },
        { kernels: 'wasm', threads: 1 },
        { kernels: 'wasm', threads: 2, tileVocab: 5 },
        { kernels: 'typescript', threads: 1, tileVocab: 11 },
      ] as const) {
        await using sampler = await createSampler({ lmHead, backend: createCpuBackend(options) })
        results.push(await sampler.sample({ hiddenStates, params }))
      }
      for (const result of results)
        expect({ ...result, stats: null }).toEqual({ ...results[0], stats: null })
    },
  )
})

describe('createCpuBackend() in batches', () => {
  const samplers = Promise.all(
    (['wasm', 'typescript'] as const).map((kernels) =>
      createSampler({
        lmHead: cases.real.lmHead,
        backend: createCpuBackend({ kernels, threads: 1 }),
      }),
    ),
  )
  afterAll(async () => {
    for (const sampler of await samplers) await sampler.dispose()
  })

  it('gives the bits of a row alone at every position of batches of 1 to 64', async () => {
    const { hiddenSize, hiddenStates } = cases.real
    const [wasm, typescript] = await samplers
    const one = { seed: 5n, position: 6n, topP: 0.9, logprobs: 3 }
    const alone = await wasm?.sample({
      hiddenStates: hiddenStates.slice(0, hiddenSize),
      params: one,
    })
    for (let batchSize = 1; batchSize <= 64; batchSize++) {
      const position = Math.floor(batchSize * 0.618)
      const batch = new Float32Array(batchSize * hiddenSize)
      for (let row = 0; row < batchSize; row++) {
        const from = row === position ? 0 : 1 + (row % (BATCH_SIZE - 1))
        batch.set(
          hiddenStates.subarray(from * hiddenSize, (from + 1) * hiddenSize),
          row * hiddenSize,
        )
      }
      for (const sampler of [wasm, typescript]) {
        const result = await sampler?.sample({ hiddenStates: batch, params: one })
        expect(result?.tokenIds[position]).toBe(alone?.tokenIds[0])
        expect(result?.logprobs[position]).toBe(alone?.logprobs[0])
        expect(result?.topLogprobs[position]).toEqual(alone?.topLogprobs[0])
      }
    }
  })
})
