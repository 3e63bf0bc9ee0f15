/**
 * Exact sampling of language-model tokens inside the LM-head matmul on WebGPU: a backend of `@flashsampling/core`, and
 * samplers whose inputs and token ids may stay on the GPU.
 *
 * @example
 * ```ts
 * import { createLmHeadSampler } from '@flashsampling/webgpu'
 *
 * const adapter = await globalThis.navigator?.gpu?.requestAdapter()
 * if (adapter != null) {
 *   const sampler = await createLmHeadSampler({
 *     device: await adapter.requestDevice(),
 *     lmHead: { dtype: 'f32', vocabSize: 3, hiddenSize: 2, data: Float32Array.of(1, 0, 0, 1, 1, 1) },
 *   })
 *   const { tokenIds } = await sampler.sample({
 *     hiddenStates: Float32Array.of(0.5, -0.25),
 *     params: { seed: 42n, temperature: 0.8, topP: 0.95 },
 *   })
 *   console.log(tokenIds)
 *   await sampler.dispose()
 * }
 * ```
 *
 * @module
 */
export { DeviceLostError, ModuleLoadError, ShaderCompileError, WebGpuError } from './errors.ts'
export type { GpuRows } from './gpu-rows.ts'
export { type GpuWeight, gpuWeight } from './gpu-weight.ts'
export { type DeviceRequirements, deviceRequirements } from './requirements.ts'
export {
  createLmHeadSampler,
  createLogitsSampler,
  type GpuSampleOptions,
  type GpuSampler,
  type HiddenStatesInput,
  type LmHeadSampler,
  type LogitsInput,
  type LogitsSampler,
  type TokenDestination,
} from './samplers.ts'
export { createWebGpuBackend, type WebGpuBackend } from './webgpu-backend.ts'
