/**
 * `createWebGpuBackend()`: a `GPUDevice` as a backend of `@flashsampling/core`.
 *
 * @module
 */
import type {
  Backend,
  BackendCapabilities,
  BackendSession,
  SessionOptions,
} from '@flashsampling/core'
import { DeviceState } from './device-state.ts'
import { uploadHead } from './gpu-head.ts'
import { GpuSession } from './gpu-session.ts'
import { productSource } from './kernels.ts'

const CAPABILITIES: BackendCapabilities = {
  dtypes: ['f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_1', 'q6_k', 'nbits4', 'nbits8'],
  maxBatchSize: Infinity,
  features: ['topK', 'topP', 'minP', 'logitBias', 'allowedTokens', 'penalties', 'numSamples'],
  maxLogprobs: 1024,
  sharded: true,
  noiseSchemes: ['flash', 'vllm'],
}

/** A `GPUDevice` as a backend. */
export interface WebGpuBackend extends Backend {
  /** The caller's device. */
  readonly device: GPUDevice
}

/**
 * Makes a backend of a `GPUDevice`: heads live in its memory, and a draw is two dispatches that write no logits.
 *
 * The device stays the caller's: nothing is created on another, and it is never destroyed. Core limits of WebGPU are
 * enough; features such as `subgroups` are used where the device was created with them.
 *
 * @param device - The device to draw on.
 * @returns The backend; pass it to `createSampler()` of `@flashsampling/core`.
 * @throws {TypeError} when `device` is no `GPUDevice`.
 * @throws {DeviceLostError} when the device is lost already.
 * @see arXiv 2603.15854
 */
export function createWebGpuBackend(device: GPUDevice): WebGpuBackend {
  const state = DeviceState.of('create the WebGPU backend', device)
  state.checkAlive()
  return {
    name: 'webgpu',
    capabilities: CAPABILITIES,
    device,
    async createSession({ shards, noiseScheme }: SessionOptions): Promise<BackendSession> {
      state.checkAlive()
      const head = await uploadHead(state, shards)
      return new GpuSession(state, head, productSource, noiseScheme)
    },
  }
}
