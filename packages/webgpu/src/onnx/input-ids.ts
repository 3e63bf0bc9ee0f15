/**
 * Tensors for the model's next step, over buffers that are used in turn.
 *
 * @module
 */
import { BUFFER_USAGE } from '../gpu-constants.ts'
import type { OrtModule } from './ort-tensors.ts'

/** A tensor and its buffer. */
interface InputIds<T> {
  batchSize: number
  buffer: GPUBuffer
  tensor: T
}

/** Two tensors in turn: the one of the last step stays readable while the next is drawn. */
export class InputIdsRing<T> {
  readonly #ort: OrtModule<T>
  readonly #device: GPUDevice
  readonly #slots: (InputIds<T> | undefined)[] = [undefined, undefined]
  #turn = 0

  constructor(ort: OrtModule<T>, device: GPUDevice) {
    this.#ort = ort
    this.#device = device
  }

  /**
   * The next tensor; what it held is to be overwritten.
   *
   * @param batchSize - Tokens.
   * @returns int64 `[batchSize, 1]` with its buffer.
   */
  next(batchSize: number): InputIds<T> {
    this.#turn ^= 1
    const found = this.#slots[this.#turn]
    if (found?.batchSize === batchSize) return found
    // Work in flight keeps what it uses.
    found?.buffer.destroy()
    const buffer = this.#device.createBuffer({
      label: 'flashsampling input ids',
      // onnxruntime binds whole groups of 16 bytes.
      size: Math.ceil((batchSize * 8) / 16) * 16,
      usage: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_SRC | BUFFER_USAGE.COPY_DST,
    })
    const dims = [batchSize, 1]
    const tensor = this.#ort.Tensor.fromGpuBuffer(buffer, { dataType: 'int64', dims })
    const made = { batchSize, buffer, tensor }
    this.#slots[this.#turn] = made
    return made
  }

  /**
   * Puts tokens that were read back into the next tensor.
   *
   * @param tokenIds - One for each sequence.
   * @returns The tensor.
   */
  write(tokenIds: Int32Array): T {
    const { buffer, tensor } = this.next(tokenIds.length)
    this.#device.queue.writeBuffer(buffer, 0, BigInt64Array.from(tokenIds, BigInt))
    return tensor
  }

  /** Frees the buffers. */
  destroy(): void {
    for (const slot of this.#slots) slot?.buffer.destroy()
    this.#slots.fill(undefined)
  }
}
