import { describe, expect, it } from 'vitest'
import { caseFromLogits, createCpuBackend, createSampler } from '../src/index.ts'
import { readContractFixture } from './fixture.ts'

const fixture = readContractFixture()

describe.each([
  { kernels: 'wasm', threads: 1 },
  { kernels: 'wasm', threads: 2, tileVocab: 16 },
  { kernels: 'wasm', threads: 2, tileVocab: 5 },
  { kernels: 'wasm', threads: 1, tileVocab: 1 },
  { kernels: 'typescript', threads: 1 },
  { kernels: 'typescript', threads: 2, tileVocab: 64 },
  { kernels: 'typescript', threads: 1, tileVocab: 7 },
] as const)('createCpuBackend($kernels, $threads threads, tiles of $tileVocab)', (options) => {
  const backend = createCpuBackend(options)

  it.each(fixture.head.map((head, index) => ({ index, ...head })))(
    'draws the contract tokens of head $index',
    async ({ hiddenStates, weight, temperature, seeds, positions, tokenIds, logprobs }) => {
      const hiddenSize = hiddenStates[0]?.length ?? 0
      await using sampler = await createSampler({
        lmHead: {
          dtype: 'f32',
          vocabSize: weight.length,
          hiddenSize,
          data: Float32Array.from(weight.flat()),
        },
        backend,
      })
      const result = await sampler.sample({
        hiddenStates: Float32Array.from(hiddenStates.flat()),
        params: seeds.map((seed, row) => ({
          seed: BigInt(seed),
          position: BigInt(positions[row] as string),
          temperature,
        })),
      })
      expect([...result.tokenIds]).toEqual(tokenIds)
      for (const [row, logprob] of logprobs.entries()) {
        expect(Math.abs((result.logprobs[row] as number) - logprob)).toBeLessThanOrEqual(1e-5)
      }
    },
  )

  it('draws the contract tokens of every row of logits', async () => {
    for (const { logits, seed, position, params, tokenId, logprob } of fixture.sample) {
      const { lmHead, hiddenStates } = caseFromLogits(logits)
      await using sampler = await createSampler({ lmHead, backend })
      const result = await sampler.sample({
        hiddenStates,
        params: { ...params, seed: BigInt(seed), position: BigInt(position) },
      })
      expect(result.tokenIds[0]).toBe(tokenId)
      expect(Math.abs((result.logprobs[0] as number) - logprob)).toBeLessThanOrEqual(1e-5)
    }
  })
})
