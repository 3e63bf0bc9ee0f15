import { describe, expect, it } from 'vitest'
import { makeCase, splitHead } from '../conformance/index.ts'
import { OutOfMemoryError, RowError } from '../errors.ts'
import { createSampler } from '../sampler.ts'
import type { LmHead, LmHeadShard } from '../types.ts'
import { Arena } from './arena.ts'
import { createCpuBackend } from './cpu-backend.ts'

const test = makeCase({ seed: 4n, vocabSize: 300, hiddenSize: 132, batchSize: 3 })
const params = { seed: 9n, topP: 0.9, logprobs: 2 }

async function draw(
  lmHead: LmHead,
  options: Parameters<typeof createCpuBackend>[0] = {},
): Promise<unknown> {
  await using sampler = await createSampler({ lmHead, backend: createCpuBackend(options) })
  const { stats, ...result } = await sampler.sample({ hiddenStates: test.hiddenStates, params })
  expect(stats.workspaceBytes).toBeGreaterThan(0)
  return result
}

describe('createCpuBackend()', () => {
  it('gives the same bits from heads cut over many memories', async () => {
    const whole = await draw(test.lmHead)
    const rowBytes = 132 * 4
    for (const maxMemoryBytes of [1024, 10 * rowBytes, 100 * rowBytes, 299 * rowBytes + 64]) {
      expect(await draw(test.lmHead, { maxMemoryBytes })).toEqual(whole)
      expect(await draw({ shards: splitHead(test.lmHead, 3) }, { maxMemoryBytes })).toEqual(whole)
    }
  })

  it.each([1, 2])('draws from a head written into its own memory, %d threads', async (threads) => {
    const whole = await draw(test.lmHead)
    const data = test.lmHead.data as Float32Array
    for (const kernels of ['wasm', 'typescript'] as const) {
      const backend = createCpuBackend({ threads, kernels })
      const buffer = backend.allocate(data.byteLength)
      buffer.bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
      await using sampler = await createSampler({
        lmHead: { ...test.lmHead, data: buffer },
        backend,
      })
      const { stats: _, ...result } = await sampler.sample({
        hiddenStates: test.hiddenStates,
        params,
      })
      expect(result).toEqual(whole)
    }
  })

  it('draws from hidden sizes that are a multiple of nothing', async () => {
    for (const hiddenSize of [1, 2, 3, 5, 127, 129, 131, 258]) {
      const odd = makeCase({
        seed: 5n,
        vocabSize: 37,
        hiddenSize,
        batchSize: 5,
        values: 'integers',
      })
      const results: unknown[] = []
      for (const options of [
        { kernels: 'wasm', threads: 1 },
        { kernels: 'wasm', threads: 2 },
        { kernels: 'typescript' },
      ] as const) {
        await using sampler = await createSampler({
          lmHead: odd.lmHead,
          backend: createCpuBackend(options),
        })
        const { stats: _, ...result } = await sampler.sample({
          hiddenStates: odd.hiddenStates,
          params,
        })
        results.push(result)
        const greedy = await sampler.sample({
          hiddenStates: odd.hiddenStates,
          params: { seed: 0n, temperature: 0 },
        })
        greedy.tokenIds.forEach((tokenId, row) => {
          const logits = odd.logits[row] as Float64Array
          expect(tokenId).toBe(logits.indexOf(Math.max(...logits)))
        })
      }
      expect(results[1]).toEqual(results[0])
      expect(results[2]).toEqual(results[0])
    }
  })

  it('grows its workspace for larger batches and keeps the weights', async () => {
    await using sampler = await createSampler({
      lmHead: test.lmHead,
      backend: createCpuBackend({ threads: 2 }),
    })
    const one = await sampler.sample({ hiddenStates: test.hiddenStates.slice(0, 132), params })
    const many = await sampler.sample({
      hiddenStates: Float32Array.from(
        { length: 132 * 200 },
        (_, i) => test.hiddenStates[i % 132] as number,
      ),
      params: { ...params, logprobs: 1024, topP: 0.99 },
    })
    expect(many.stats.workspaceBytes).toBeGreaterThan(one.stats.workspaceBytes)
    const again = await sampler.sample({ hiddenStates: test.hiddenStates.slice(0, 132), params })
    expect({ ...again, stats: null }).toEqual({ ...one, stats: null })
  })

  it.each(['wasm', 'typescript'] as const)(
    'names the rows whose logits are not finite, %s',
    async (kernels) => {
      const data = Float32Array.from(test.lmHead.data as Float32Array)
      for (const [value, text] of [
        [NaN, 'NaN'],
        [Infinity, '+Infinity|NaN'],
      ] as const) {
        data[132 * 77 + 5] = value
        await using sampler = await createSampler({
          lmHead: { ...test.lmHead, data } as LmHeadShard,
          backend: createCpuBackend({ kernels, threads: 1 }),
        })
        const hiddenStates = Float32Array.from(test.hiddenStates)
        for (let row = 0; row < 3; row++) hiddenStates[row * 132 + 5] = 1
        const call = sampler.sample({ hiddenStates, params })
        await expect(call).rejects.toThrow(RowError)
        await expect(call).rejects.toMatchObject({ code: 'INVALID_LOGITS', rows: [0, 1, 2] })
        await expect(call).rejects.toThrow(new RegExp(text.replace('+', '\\+')))
      }
    },
  )

  it('names the rows whose tokens are all masked, and draws the next call', async () => {
    await using sampler = await createSampler({ lmHead: test.lmHead })
    const none = { ...params, allowedTokens: [] }
    await expect(
      sampler.sample({ hiddenStates: test.hiddenStates, params: [params, none, params] }),
    ).rejects.toMatchObject({ code: 'ALL_TOKENS_MASKED', rows: [1] })
    const { tokenIds } = await sampler.sample({ hiddenStates: test.hiddenStates, params })
    expect(tokenIds).toHaveLength(3)
  })

  it('says what is wrong with an option', () => {
    expect(() => createCpuBackend({ threads: 0 })).toThrow(
      'Cannot create the CPU backend as "threads" must be a whole number from 1 to 64: current value is 0',
    )
    expect(() => createCpuBackend({ tileVocab: 1.5 })).toThrow(RangeError)
    expect(() => createCpuBackend({ kernels: 'cuda' as 'wasm' })).toThrow(
      '"auto", "wasm" or "typescript"',
    )
  })

  it('says how much memory it wanted where there is none', () => {
    const arena = new Arena(100, false)
    expect(() => arena.ensureWorkspace(2 ** 33)).toThrow(OutOfMemoryError)
    expect(() => arena.ensureWorkspace(2 ** 33)).toThrow(/Cannot allocate 8589934592 bytes/)
  })
})

describe('CpuBackend.allocate()', () => {
  const data = test.lmHead.data as Float32Array

  it('lends its buffer to one sampler at a time, and again after that one is disposed', async () => {
    const backend = createCpuBackend({ threads: 2 })
    const buffer = backend.allocate(data.byteLength)
    buffer.bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    const lmHead = { ...test.lmHead, data: buffer }
    const first = await createSampler({ lmHead, backend })
    const { tokenIds } = await first.sample({ hiddenStates: test.hiddenStates, params })
    await expect(createSampler({ lmHead, backend })).rejects.toThrow(
      'Cannot load the LM head as its buffer belongs to another sampler: dispose that one first',
    )
    await first.dispose()
    await using second = await createSampler({ lmHead, backend })
    const again = await second.sample({ hiddenStates: test.hiddenStates, params })
    expect(again.tokenIds).toEqual(tokenIds)
  })
})
