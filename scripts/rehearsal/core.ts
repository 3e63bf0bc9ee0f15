/** What a user of `@flashsampling/core` writes: draws on the CPU and compares with the float64 oracle. */
import {
  type Backend,
  createCpuBackend,
  createSampler,
  FlashSamplingError,
  type LmHead,
  type SampleResult,
  type Sampler,
  sampleFromLogits,
} from '@flashsampling/core'

const lmHead: LmHead = {
  dtype: 'f32',
  vocabSize: 5,
  hiddenSize: 2,
  data: Float32Array.of(1, 0, 0, 1, 1, 1, 2, -1, -1, 2),
}
const backends: (Backend | undefined)[] = [
  undefined,
  createCpuBackend({ threads: 2 }),
  createCpuBackend({ threads: 1, kernels: 'typescript' }),
]
for (const backend of backends) {
  const sampler: Sampler = await createSampler({ lmHead, backend })
  const drawn: number[] = []
  const expected: number[] = []
  for (let position = 0; position < 16; position++) {
    const params = { seed: 42n, position, temperature: 0.75, topP: 0.875 }
    const result: SampleResult = await sampler.sample({
      hiddenStates: Float32Array.of(1, 2),
      params,
    })
    drawn.push(...result.tokenIds)
    expected.push(sampleFromLogits([1, 2, 3, 0, 3], params).tokenId)
  }
  if (drawn.join() !== expected.join()) {
    throw new Error(`drew ${drawn.join()}, the oracle draws ${expected.join()}`)
  }
  await sampler.dispose()
  const afterwards = await sampler
    .sample({ hiddenStates: Float32Array.of(1, 2), params: { seed: 1n } })
    .catch((error: unknown) => error)
  if (!FlashSamplingError.isInstance(afterwards) || afterwards.code !== 'DISPOSED') {
    throw new Error('a disposed sampler still draws')
  }
}
