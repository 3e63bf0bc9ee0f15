/**
 * The linear memory of one engine: control words, weights, then a workspace that grows.
 *
 * @module
 */
import { OutOfMemoryError } from '../errors.ts'
import type { BackendBuffer } from '../types.ts'
import { WEIGHTS_OFFSET } from './layout.ts'

const PAGE_BYTES = 65536
/** Room for the workspace to grow: engines reserve address space for it, so it is bounded. */
const MAX_WORKSPACE_PAGES = 4096
/** Largest WebAssembly memory: 4 GiB less one page, so that every address and size fits a u32. */
export const MAX_ARENA_BYTES: number = 65535 * PAGE_BYTES

/** Linear memory with weights at a fixed place and a workspace behind them. */
export class Arena {
  /** Bytes reserved for weights. */
  readonly weightBytes: number
  /** Where the workspace starts, a multiple of 64. */
  readonly workspaceOffset: number
  /** Whether an engine works on the memory: workspace and control words serve one at a time. */
  isInUse = false
  readonly #memory: WebAssembly.Memory | null
  #buffer: ArrayBuffer | null = null

  /**
   * @param weightBytes - Bytes to reserve for weights.
   * @param isShared - Whether worker threads will use the memory.
   * @throws {OutOfMemoryError} when the engine cannot reserve it.
   */
  constructor(weightBytes: number, isShared: boolean) {
    this.weightBytes = weightBytes
    this.workspaceOffset = WEIGHTS_OFFSET + Math.ceil(weightBytes / 64) * 64
    const pages = Math.ceil(this.workspaceOffset / PAGE_BYTES)
    try {
      if (typeof WebAssembly === 'object') {
        this.#memory = new WebAssembly.Memory({
          initial: pages,
          maximum: Math.min(MAX_ARENA_BYTES / PAGE_BYTES, pages + MAX_WORKSPACE_PAGES),
          shared: isShared,
        })
      } else {
        this.#memory = null
        this.#buffer = new ArrayBuffer(pages * PAGE_BYTES)
      }
    } catch (cause) {
      throw outOfMemory(weightBytes, cause)
    }
  }

  /** The memory's bytes now; replaced when the workspace grows. */
  get buffer(): ArrayBufferLike {
    return this.#memory?.buffer ?? (this.#buffer as ArrayBuffer)
  }

  /** The WebAssembly memory. */
  get memory(): WebAssembly.Memory {
    if (this.#memory === null) throw new TypeError('Cannot share memory as WebAssembly is missing')
    return this.#memory
  }

  /** Bytes of workspace that exist now. */
  get workspaceBytes(): number {
    return this.buffer.byteLength - this.workspaceOffset
  }

  /**
   * Makes the workspace at least this large. Its old content may be lost.
   *
   * @param bytes - Bytes wanted.
   * @throws {OutOfMemoryError} when the memory cannot grow.
   */
  ensureWorkspace(bytes: number): void {
    const missing = bytes - this.workspaceBytes
    if (missing <= 0) return
    try {
      if (this.#memory !== null) {
        this.#memory.grow(Math.ceil(missing / PAGE_BYTES))
      } else {
        const grown = new ArrayBuffer(this.workspaceOffset + bytes)
        new Uint8Array(grown).set(new Uint8Array(this.buffer, 0, this.workspaceOffset))
        this.#buffer = grown
      }
    } catch (cause) {
      throw outOfMemory(bytes, cause)
    }
  }
}

function outOfMemory(bytes: number, cause: unknown): OutOfMemoryError {
  return new OutOfMemoryError(
    `Cannot allocate ${bytes} bytes for the CPU backend: free memory, use a smaller dtype or a smaller batch`,
    bytes,
    { cause },
  )
}

/** Memory of the CPU backend that a head can be written into directly, so that no second copy exists. */
export class CpuBuffer implements BackendBuffer {
  /** Owning backend. */
  readonly backend = 'cpu'
  /** Size of the buffer. */
  readonly byteLength: number
  /** Memory that the buffer is part of. @internal */
  readonly arena: Arena

  /**
   * @param byteLength - Size of the buffer.
   * @param isShared - Whether worker threads will use the memory.
   */
  constructor(byteLength: number, isShared: boolean) {
    this.byteLength = byteLength
    this.arena = new Arena(byteLength, isShared)
  }

  /** The buffer's bytes, to write weights into. Take it anew after a draw: memory that grew replaces the view. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.arena.buffer, WEIGHTS_OFFSET, this.byteLength)
  }
}
