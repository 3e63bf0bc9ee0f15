/**
 * The LM head and its draw: a sampler on WebGPU, or on the CPU where there is none.
 *
 * @module
 */
import {
  createCpuBackend,
  createSampler,
  type LmHeadShard,
  type Sampler,
} from '@flashsampling/core'
import type { BackendKind, Environment, HeadInfo } from './engine-types.ts'

/** A sampler and what there is to say about it. */
export interface Head {
  /** Draws. */
  readonly sampler: Sampler
  /** The backend that was asked for. */
  readonly wanted: BackendKind
  /** The backend that draws. */
  readonly info: HeadInfo
  /** Whether the device was lost since, so that the head has to be opened anew. */
  readonly isLost: boolean
  /** Gives the bytes read back from the GPU since the last call. */
  takeReadBackBytes(): number
  /** Frees sampler and device. */
  close(): Promise<void>
}

/**
 * Looks for WebGPU.
 *
 * @returns The adapter in words, or why there is none.
 */
export async function describeWebGpu(): Promise<Pick<Environment, 'webgpu' | 'webgpuReason'>> {
  return { webgpu: null, webgpuReason: 'this browser has no WebGPU' }
}

/**
 * Opens a head on the wanted backend.
 *
 * @param wanted - The backend; the CPU takes its place where it cannot be had.
 * @param lmHead - The head.
 * @returns The open head, owned by the caller.
 * @throws {FlashSamplingError} when not even the CPU can draw from it.
 */
export async function openHead(wanted: BackendKind, lmHead: LmHeadShard): Promise<Head> {
  return openCpuHead(wanted, lmHead, '')
}

async function openCpuHead(
  wanted: BackendKind,
  lmHead: LmHeadShard,
  notice: string,
): Promise<Head> {
  const backend = createCpuBackend()
  const sampler = await createSampler({ lmHead, backend })
  const kernels = backend.kernels === 'wasm' ? 'WebAssembly SIMD' : 'plain TypeScript'
  return {
    sampler,
    wanted,
    info: { backend: 'cpu', description: `CPU, ${kernels}`, notice },
    isLost: false,
    takeReadBackBytes: () => 0,
    close: () => sampler.dispose(),
  }
}
