/**
 * Exact sampling of language-model tokens inside the LM-head matmul on NVIDIA GPUs: a backend of `@flashsampling/core`.
 *
 * @example
 * ```ts
 * import { createSampler } from '@flashsampling/core'
 * import { checkAvailability, createCudaBackend } from '@flashsampling/cuda'
 *
 * const { available, reason } = checkAvailability()
 * if (!available) console.log(`no CUDA here: ${reason}`)
 *
 * const sampler = await createSampler({
 *   // bf16 bit patterns: the identity of two tokens and two columns
 *   lmHead: { dtype: 'bf16', vocabSize: 2, hiddenSize: 2, data: Uint16Array.of(0x3f80, 0, 0, 0x3f80) },
 *   backend: available ? createCudaBackend() : 'cpu',
 * })
 * const { tokenIds } = await sampler.sample({
 *   hiddenStates: Float32Array.of(9, -9),
 *   params: { seed: 7n },
 * })
 * tokenIds[0] // => 0
 * await sampler.dispose()
 * ```
 *
 * @module
 */
export type { CudaDevice } from './addon-types.ts'
export { type CudaAvailability, checkAvailability, isAvailable } from './availability.ts'
export {
  type CudaBackend,
  type CudaBackendOptions,
  type CudaKernel,
  createCudaBackend,
} from './cuda-backend.ts'
export type { CudaBuffer } from './cuda-buffer.ts'
