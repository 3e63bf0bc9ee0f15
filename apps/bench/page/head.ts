/**
 * The LM head and its draw: a sampler on WebGPU, or on the CPU where there is none.
 *
 * @module
 */
import {
  type Backend,
  type BackendCapabilities,
  type BackendFeature,
  createCpuBackend,
  createSampler,
  type LmHeadShard,
  type Sampler,
} from '@flashsampling/core'
import { messageOf } from '../src/ui/user-error.ts'
import type { BackendKind, HeadInfo } from './engine-types.ts'
import { describeAdapter, findAdapter, ReadBackMeter } from './webgpu.ts'

/** A sampler and what there is to say about it. */
export interface Head {
  /** Draws. */
  readonly sampler: Sampler
  /** The backend that draws. */
  readonly info: HeadInfo
  /** What it can do. */
  readonly capabilities: BackendCapabilities
  /** Whether the device was lost since, so that the head has to be opened anew. */
  readonly isLost: boolean
  /** Gives the bytes read back from the GPU since the last call. */
  takeReadBackBytes(): number
  /** Frees sampler and device. */
  close(): Promise<void>
}

/**
 * Opens a head on the wanted backend.
 *
 * @param wanted - The backend; the CPU takes its place where it cannot be had.
 * @param lmHead - The head.
 * @param features - What the draws need.
 * @returns The open head, owned by the caller.
 * @throws {FlashSamplingError} when not even the CPU can draw from it.
 */
export async function openHead(
  wanted: BackendKind,
  lmHead: LmHeadShard,
  features: readonly BackendFeature[],
): Promise<Head> {
  if (wanted === 'cpu') return openCpuHead(lmHead, '')
  try {
    return await openWebGpuHead(lmHead, features)
  } catch (error) {
    return openCpuHead(lmHead, `Going on with the CPU. ${messageOf(error)}`)
  }
}

async function openCpuHead(lmHead: LmHeadShard, notice: string): Promise<Head> {
  const backend = createCpuBackend()
  const sampler = await createSampler({ lmHead, backend })
  const kernels = backend.kernels === 'wasm' ? 'WebAssembly SIMD' : 'plain TypeScript'
  return {
    sampler,
    capabilities: backend.capabilities,
    info: { backend: 'cpu', description: `CPU, ${kernels}`, notice },
    isLost: false,
    takeReadBackBytes: () => 0,
    close: () => sampler.dispose(),
  }
}

let meter: ReadBackMeter | null = null

async function openWebGpuHead(
  lmHead: LmHeadShard,
  features: readonly BackendFeature[],
): Promise<Head> {
  const { adapter, reason } = await findAdapter()
  if (adapter === null) throw new Error(`WebGPU is missing: ${reason}`)
  // Loaded on demand: a page that draws on the CPU needs none of it.
  const { createWebGpuBackend, deviceRequirements } = await import('./webgpu-backend.ts')
  meter ??= new ReadBackMeter()
  const { requiredFeatures, requiredLimits } = deviceRequirements(adapter, lmHead)
  const device = await adapter.requestDevice({ requiredFeatures, requiredLimits })
  let isLost = false
  void device.lost.then(() => {
    isLost = true
  })
  try {
    const backend: Backend = createWebGpuBackend(device)
    const missing = features.filter((feature) => !backend.capabilities.features.includes(feature))
    if (missing.length > 0)
      throw new Error(`The WebGPU backend does not serve ${missing.join(', ')}.`)
    const sampler = await createSampler({ lmHead, backend })
    const readBack = meter
    return {
      sampler,
      capabilities: backend.capabilities,
      info: {
        backend: 'webgpu',
        description: `WebGPU, ${describeAdapter(adapter).name}`,
        notice: '',
      },
      get isLost() {
        return isLost
      },
      takeReadBackBytes: () => readBack.take(),
      close: async () => {
        await sampler.dispose().catch(() => {})
        device.destroy()
      },
    }
  } catch (error) {
    device.destroy()
    throw error
  }
}
