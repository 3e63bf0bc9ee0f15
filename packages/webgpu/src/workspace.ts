/**
 * Buffers that calls use over and over: each grows to what the largest call needed.
 *
 * @module
 */
import { BUFFER_USAGE } from './gpu-constants.ts'

/** What a buffer is for. */
export type WorkspaceName =
  | 'call'
  | 'hidden'
  | 'candidates'
  | 'masses'
  | 'lists'
  | 'results'
  | 'reports'
  | 'unused'
  | 'counts'
  | 'readback'

const USAGES: Record<WorkspaceName, number> = {
  call: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_DST,
  hidden: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_DST,
  candidates: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_SRC,
  masses: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_SRC,
  lists: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_SRC,
  results: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_SRC,
  reports: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_SRC,
  unused: BUFFER_USAGE.STORAGE,
  counts: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_SRC | BUFFER_USAGE.COPY_DST,
  readback: BUFFER_USAGE.MAP_READ | BUFFER_USAGE.COPY_DST,
}

/** The buffers of one sampler. */
export class Workspace {
  readonly #device: GPUDevice
  readonly #buffers = new Map<WorkspaceName, GPUBuffer>()

  constructor(device: GPUDevice) {
    this.#device = device
  }

  /** Memory of all buffers. */
  get byteLength(): number {
    let sum = 0
    for (const buffer of this.#buffers.values()) sum += buffer.size
    return sum
  }

  /**
   * A buffer of at least a size. What it held is lost when it grows.
   *
   * @param name - What it is for.
   * @param byteLength - Bytes needed; 0 gives a small buffer to bind.
   * @returns The buffer.
   */
  get(name: WorkspaceName, byteLength: number): GPUBuffer {
    const found = this.#buffers.get(name)
    if (found !== undefined && found.size >= byteLength) return found
    // Work in flight keeps what it uses.
    found?.destroy()
    const buffer = this.#device.createBuffer({
      label: `flashsampling ${name}`,
      size: Math.max(256, Math.ceil(byteLength / 16) * 16),
      usage: USAGES[name],
    })
    this.#buffers.set(name, buffer)
    return buffer
  }

  /** Frees all buffers. */
  destroy(): void {
    for (const buffer of this.#buffers.values()) buffer.destroy()
    this.#buffers.clear()
  }
}
