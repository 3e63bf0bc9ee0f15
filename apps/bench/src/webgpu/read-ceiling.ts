/**
 * Plain reads on a device: how fast its memory can be read by WebGPU at all.
 *
 * @module
 */
import { type DeviceClass, Kernel, USAGE, upload } from './gpu.ts'
import FILL from './shaders/fill.wgsl'
import READ from './shaders/read.wgsl'

/** One way to read. */
export interface ReadMethod {
  name: string
  workgroups: number
  workgroup: number
  unroll: number
}

/** Piece of memory that one binding reaches. */
interface Piece {
  buffer: GPUBuffer
  byteLength: number
}

/** Reads of up to a number of bytes. */
export class ReadCeiling {
  readonly methods: readonly ReadMethod[]
  readonly #device: GPUDevice
  readonly #pieces: readonly Piece[]
  readonly #kernels: ReadonlyMap<ReadMethod, Kernel>
  readonly #sink: GPUBuffer
  readonly #lengths = new Map<number, GPUBuffer>()

  private constructor(
    device: GPUDevice,
    pieces: readonly Piece[],
    kernels: ReadonlyMap<ReadMethod, Kernel>,
  ) {
    this.#device = device
    this.#pieces = pieces
    this.#kernels = kernels
    this.methods = [...kernels.keys()]
    this.#sink = device.createBuffer({ size: 16, usage: USAGE.STORAGE })
  }

  /**
   * Allocates and fills memory.
   *
   * @param device - The device.
   * @param byteLength - Most bytes to read at a time.
   * @param deviceClass - Chooses the ways to read.
   * @returns The reads.
   */
  static async create(
    device: GPUDevice,
    byteLength: number,
    { isSoftware }: DeviceClass,
  ): Promise<ReadCeiling> {
    const { maxStorageBufferBindingSize, maxBufferSize } = device.limits
    const limit = Math.floor(Math.min(maxStorageBufferBindingSize, maxBufferSize) / 16) * 16
    const pieces: Piece[] = []
    const workgroup = isSoftware ? 64 : 256
    const fill = await Kernel.compile(device, 'fill', FILL, { WORKGROUP: workgroup })
    for (let left = Math.ceil(byteLength / 16) * 16; left > 0; ) {
      const size = Math.min(left, limit)
      const buffer = device.createBuffer({ size, usage: USAGE.STORAGE })
      const encoder = device.createCommandEncoder()
      const pass = encoder.beginComputePass()
      fill.dispatch(pass, fill.bind([buffer]), 4096)
      pass.end()
      device.queue.submit([encoder.finish()])
      await device.queue.onSubmittedWorkDone()
      pieces.push({ buffer, byteLength: size })
      left -= size
    }
    const kernels = new Map<ReadMethod, Kernel>()
    for (const workgroups of isSoftware ? [16, 256, 4096] : [528, 1056, 2112, 4224, 16_896]) {
      for (const unroll of isSoftware ? [1, 4] : [2, 4, 8]) {
        const method = {
          name: `${workgroups}x${workgroup}x${unroll}`,
          workgroups,
          workgroup,
          unroll,
        }
        const constants = { WORKGROUP: workgroup, UNROLL: unroll }
        kernels.set(method, await Kernel.compile(device, `read ${method.name}`, READ, constants))
      }
    }
    return new ReadCeiling(device, pieces, kernels)
  }

  /**
   * Prepares reads of a number of bytes.
   *
   * @param byteLength - At most what memory was made for.
   */
  async prepare(byteLength: number): Promise<void> {
    for (const { bytes } of this.#parts(byteLength)) {
      if (this.#lengths.has(bytes)) continue
      const words = Uint32Array.of(Math.ceil(bytes / 16), 0, 0, 0)
      this.#lengths.set(bytes, await upload(this.#device, words, USAGE.UNIFORM))
    }
  }

  /**
   * Reads, and waits for the end.
   *
   * @param method - One of `methods`.
   * @param byteLength - A length that was prepared.
   */
  async read(method: ReadMethod, byteLength: number): Promise<void> {
    const kernel = this.#kernels.get(method) as Kernel
    const encoder = this.#device.createCommandEncoder()
    const pass = encoder.beginComputePass()
    for (const { buffer, bytes } of this.#parts(byteLength)) {
      const length = this.#lengths.get(bytes) as GPUBuffer
      kernel.dispatch(pass, kernel.bind([buffer, this.#sink, length]), method.workgroups)
    }
    pass.end()
    this.#device.queue.submit([encoder.finish()])
    await this.#device.queue.onSubmittedWorkDone()
  }

  /** Frees the memory. */
  dispose(): void {
    for (const { buffer } of this.#pieces) buffer.destroy()
    for (const length of this.#lengths.values()) length.destroy()
    this.#sink.destroy()
  }

  #parts(byteLength: number): { buffer: GPUBuffer; bytes: number }[] {
    const parts: { buffer: GPUBuffer; bytes: number }[] = []
    let left = byteLength
    for (const piece of this.#pieces) {
      if (left <= 0) break
      const bytes = Math.min(left, piece.byteLength)
      parts.push({ buffer: piece.buffer, bytes })
      left -= bytes
    }
    return parts
  }
}
