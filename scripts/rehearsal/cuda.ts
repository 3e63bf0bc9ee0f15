/** What a user of `@flashsampling/cuda` writes: draws on the GPU where there is one, else learns why there is none. */
import {
  BackendUnavailableError,
  createSampler,
  FlashSamplingError,
  type LmHead,
  sampleFromLogits,
} from '@flashsampling/core'
import {
  type CudaAvailability,
  type CudaBackend,
  checkAvailability,
  createCudaBackend,
  isAvailable,
} from '@flashsampling/cuda'

/** bf16 bit patterns of 0, 1, 2 and -1. */
const [ZERO, ONE, TWO, MINUS] = [0x0000, 0x3f80, 0x4000, 0xbf80] as const
const lmHead: LmHead = {
  dtype: 'bf16',
  vocabSize: 5,
  hiddenSize: 2,
  data: Uint16Array.of(ONE, ZERO, ZERO, ONE, ONE, ONE, TWO, MINUS, MINUS, TWO),
}

const availability: CudaAvailability = checkAvailability()
if (isAvailable() !== availability.available) throw new Error('two answers to one question')
if (availability.available) await draw(createCudaBackend())
else refuse(availability.reason)

async function draw(backend: CudaBackend): Promise<void> {
  const sampler = await createSampler({ lmHead, backend })
  for (let position = 0; position < 16; position++) {
    const params = { seed: 42n, position, temperature: 0.75 }
    const result = await sampler.sample({ hiddenStates: Float32Array.of(1, 2), params })
    const { tokenId } = sampleFromLogits([1, 2, 3, 0, 3], params)
    if (result.tokenIds[0] !== tokenId) {
      throw new Error(`drew ${result.tokenIds[0]}, the oracle draws ${tokenId}`)
    }
  }
  await sampler.dispose()
  backend.dispose()
}

/** The binary loads without a driver, so that the reason is the driver or the GPU, not the package. */
function refuse(reason: string): void {
  if (!/driver|compute capability/.test(reason)) throw new Error(`CUDA is missing as ${reason}`)
  let thrown: unknown
  try {
    createCudaBackend()
  } catch (error) {
    thrown = error
  }
  if (
    !(thrown instanceof BackendUnavailableError) ||
    !FlashSamplingError.isInstance(thrown) ||
    thrown.code !== 'BACKEND_UNAVAILABLE' ||
    !thrown.attempts.some((attempt) => /driver/.test(attempt.reason))
  ) {
    throw new Error(`createCudaBackend() answered with ${String(thrown)}`)
  }
}
