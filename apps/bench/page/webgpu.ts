/**
 * WebGPU in the browser: adapter, device, and what is read back from it.
 *
 * @module
 */
import { messageOf } from '../src/ui/user-error.ts'
import type { WebGpuInfo } from './engine-types.ts'

/**
 * Looks for an adapter.
 *
 * @returns The adapter, or why there is none.
 */
export async function findAdapter(): Promise<{ adapter: GPUAdapter | null; reason: string }> {
  if (!globalThis.isSecureContext) {
    return { adapter: null, reason: 'the page is neither served by https nor by this machine' }
  }
  if (!('gpu' in navigator)) return { adapter: null, reason: 'this browser does not have it' }
  try {
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' })
    return { adapter, reason: adapter === null ? 'the browser finds no GPU that it can use' : '' }
  } catch (error) {
    return { adapter: null, reason: messageOf(error) }
  }
}

/**
 * Puts an adapter into words.
 *
 * @param adapter - The adapter.
 * @returns Its name, and whether it is software.
 */
export function describeAdapter({ info }: GPUAdapter): WebGpuInfo {
  const { vendor, architecture, device, description } = info
  const name = description || [vendor, architecture, device].filter((part) => part !== '').join(' ')
  const isSoftware =
    info.isFallbackAdapter || /swiftshader|llvmpipe|software|basic render/i.test(name)
  return { name: name || 'an adapter without a name', isSoftware }
}

/** `GPUMapMode.READ`. */
const MAP_MODE_READ = 1

/** Counts the bytes that code in this worker maps for reading: everything that comes back from a GPU. */
export class ReadBackMeter {
  #bytes = 0

  /** Starts to count; call it once. */
  constructor() {
    const count = (bytes: number): void => {
      this.#bytes += bytes
    }
    const { mapAsync } = GPUBuffer.prototype
    GPUBuffer.prototype.mapAsync = function (
      this: GPUBuffer,
      mode,
      offset = 0,
      size = this.size - offset,
    ) {
      if ((mode & MAP_MODE_READ) !== 0) count(size)
      return mapAsync.call(this, mode, offset, size)
    }
  }

  /** Gives the bytes since the last call. */
  take(): number {
    const bytes = this.#bytes
    this.#bytes = 0
    return bytes
  }
}
