/**
 * Device memory that an LM head can live in.
 *
 * @module
 */
import {
  type BackendBuffer,
  DisposedError,
  invalidArgument,
  invalidType,
} from '@flashsampling/core'
import type { NativeBuffer } from './addon-types.ts'
import { translateErrors, translateRejections } from './native-error.ts'

/** Largest piece of one copy, bytes: two of them are page-locked while an upload lasts. */
const CHUNK_BYTES = 8 * 2 ** 20

/** Copies that wait for the device at a time: while one is sent, the next is filled. */
const MAX_IN_FLIGHT = 2

const nativeBuffers = new WeakMap<CudaBuffer, NativeBuffer>()

/**
 * Device memory owned by a CUDA backend; made by `CudaBackend.allocate()`.
 *
 * Several samplers of one backend may use a buffer at a time. It is freed by `dispose()`, once no sampler uses it.
 */
export class CudaBuffer implements BackendBuffer, Disposable {
  /** Name of the owning backend. */
  readonly backend = 'cuda'
  /** Size, bytes. */
  readonly byteLength: number
  /** CUDA ordinal of the GPU that holds the memory. */
  readonly deviceIndex: number
  #native: NativeBuffer | null

  /** @internal */
  constructor(native: NativeBuffer, deviceIndex: number) {
    this.#native = native
    this.byteLength = native.byteLength
    this.deviceIndex = deviceIndex
    nativeBuffers.set(this, native)
  }

  /**
   * Copies bytes to the device, piece by piece.
   *
   * @param source - Any typed array; read while the promise is pending.
   * @param byteOffset - Where the first byte goes. @defaultValue 0
   * @throws {TypeError} when `source` is no typed array, or its memory is detached meanwhile.
   * @throws {RangeError} when the bytes do not fit.
   * @throws {DisposedError} after disposal.
   * @throws {CudaError} when the device fails.
   */
  async write(source: ArrayBufferView, byteOffset = 0): Promise<void> {
    if (!ArrayBuffer.isView(source)) {
      throw invalidType('write to the device buffer', 'source', 'a typed array', source)
    }
    const room = this.byteLength - source.byteLength
    if (!Number.isSafeInteger(byteOffset) || byteOffset < 0 || byteOffset > room) {
      throw invalidArgument(
        'write to the device buffer',
        'byteOffset',
        `a whole number >= 0 such that ${source.byteLength} bytes fit ${this.byteLength}`,
        byteOffset,
      )
    }
    if (this.#native === null) throw new DisposedError('device buffer')
    await upload(this.#native, source, byteOffset, 1, 1)
  }

  /** Frees the memory once no sampler uses it. Further calls do nothing. */
  dispose(): void {
    this.#native?.dispose()
    this.#native = null
  }

  /** The same as `dispose()`. */
  [Symbol.dispose](): void {
    this.dispose()
  }
}

/**
 * The native side of a buffer.
 *
 * @param buffer - Made by a backend of this module.
 * @returns The native buffer, or undefined for an object of another origin.
 */
export function nativeBufferOf(buffer: BackendBuffer): NativeBuffer | undefined {
  return nativeBuffers.get(buffer as CudaBuffer)
}

/**
 * Copies rows to the device in pieces and fills each row up with zeros.
 *
 * @param native - Target.
 * @param source - Whole rows; its memory may be detached meanwhile, which makes the call fail.
 * @param byteOffset - Where the first row goes.
 * @param rowBytes - Size of a row in the source.
 * @param rowStrideBytes - Distance of rows on the device.
 */
export async function upload(
  native: NativeBuffer,
  source: ArrayBufferView,
  byteOffset: number,
  rowBytes: number,
  rowStrideBytes: number,
): Promise<void> {
  const numRows = source.byteLength / rowBytes
  const rowsPerChunk = Math.max(1, Math.floor(CHUNK_BYTES / rowStrideBytes))
  const inFlight: Promise<void>[] = []
  try {
    for (let row = 0; row < numRows; row += rowsPerChunk) {
      if (inFlight.length === MAX_IN_FLIGHT) await translateRejections(async () => inFlight.shift())
      const count = Math.min(rowsPerChunk, numRows - row)
      // A new view each time: its construction fails when the memory was detached while the last piece was sent.
      const piece = new Uint8Array(
        source.buffer,
        source.byteOffset + row * rowBytes,
        count * rowBytes,
      )
      const sent = translateErrors(() =>
        native.write(piece, byteOffset + row * rowStrideBytes, rowBytes, rowStrideBytes),
      )
      sent.catch(() => undefined)
      inFlight.push(sent)
    }
    await translateRejections(() => Promise.all(inFlight))
  } finally {
    await Promise.allSettled(inFlight)
  }
}
