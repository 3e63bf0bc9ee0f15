/**
 * What the package keeps about a caller's `GPUDevice`: whether it lives, its pipelines, its tuning.
 *
 * @module
 */
import { invalidType, OutOfMemoryError } from '@flashsampling/core'
import { DeviceLostError, WebGpuError } from './errors.ts'
import { PipelineCache } from './kernel.ts'
import { chooseTuning, type Tuning } from './tuning.ts'

/** State of one device; samplers on the same device share it. */
export class DeviceState {
  readonly device: GPUDevice
  readonly pipelines: PipelineCache
  readonly tuning: Tuning
  #lost: GPUDeviceLostInfo | null = null

  private constructor(device: GPUDevice) {
    this.device = device
    this.pipelines = new PipelineCache(device)
    this.tuning = chooseTuning(device)
    device.lost.then((info) => {
      this.#lost = info
    })
  }

  static readonly #states = new WeakMap<GPUDevice, DeviceState>()

  /**
   * The state of a device.
   *
   * @param action - What cannot be done without one, for messages.
   * @param device - The caller's device.
   * @returns The same state for the same device.
   * @throws {TypeError} when it is no `GPUDevice`.
   */
  static of(action: string, device: GPUDevice): DeviceState {
    if (
      typeof device !== 'object' ||
      device === null ||
      typeof device.createBuffer !== 'function'
    ) {
      throw invalidType(action, 'device', 'a GPUDevice', device)
    }
    let state = DeviceState.#states.get(device)
    if (state === undefined) {
      state = new DeviceState(device)
      DeviceState.#states.set(device, state)
    }
    return state
  }

  /** @throws {DeviceLostError} when the device is lost. */
  checkAlive(): void {
    if (this.#lost !== null) throw new DeviceLostError(this.#lost.reason, this.#lost.message)
  }

  /**
   * Runs synchronous WebGPU calls and turns what they report into errors.
   *
   * @param operation - What is being done, for messages.
   * @param work - Calls of WebGPU; must not wait.
   * @param requestedBytes - Memory that the calls allocate, for messages.
   * @returns What `work` returned, and a promise of the calls' errors: it settles once the device has checked them.
   */
  capture<T>(
    operation: string,
    work: () => T,
    requestedBytes = 0,
  ): { value: T; checked: Promise<void> } {
    this.checkAlive()
    const { device } = this
    const filters: GPUErrorFilter[] = ['validation', 'out-of-memory', 'internal']
    for (const filter of filters) device.pushErrorScope(filter)
    let value: T
    const scopes: Promise<GPUError | null>[] = []
    try {
      value = work()
    } catch (cause) {
      throw this.#translate(operation, cause, requestedBytes)
    } finally {
      for (const _ of filters) scopes.unshift(device.popErrorScope())
    }
    const checked = Promise.all(scopes).then(
      ([validation, outOfMemory, internal]) => {
        if (outOfMemory != null) throw outOfMemoryError(operation, outOfMemory, requestedBytes)
        const error = validation ?? internal
        if (error != null) throw new WebGpuError(operation, error.message, { cause: error })
      },
      (cause) => this.explain(operation, cause),
    )
    // Where the work's own failure comes first, nobody waits for this one.
    checked.catch(() => undefined)
    return { value, checked }
  }

  /**
   * Turns a rejection of WebGPU into an error of ours.
   *
   * @param operation - What was being done.
   * @param cause - What WebGPU rejected with.
   * @throws {DeviceLostError} when the device is lost.
   * @throws {WebGpuError} otherwise.
   */
  async explain(operation: string, cause: unknown): Promise<never> {
    // The news of the loss may come a moment after the rejection that it causes.
    const pause = new Promise<null>((resolve) => setTimeout(() => resolve(null), LOSS_NEWS_MS))
    this.#lost ??= await Promise.race([this.device.lost, pause])
    this.checkAlive()
    throw this.#translate(operation, cause, 0)
  }

  #translate(operation: string, cause: unknown, requestedBytes: number): Error {
    // Browsers throw a RangeError where a mapped buffer cannot be allocated.
    if (cause instanceof RangeError && requestedBytes > 0) {
      return outOfMemoryError(operation, cause, requestedBytes)
    }
    const message = cause instanceof Error ? cause.message : String(cause)
    return new WebGpuError(operation, message, { cause })
  }
}

/** How long a rejection waits for the news that the device is lost, milliseconds. */
const LOSS_NEWS_MS = 200

function outOfMemoryError(
  operation: string,
  cause: { message: string },
  requestedBytes: number,
): OutOfMemoryError {
  return new OutOfMemoryError(
    `Cannot ${operation} as the GPU has not enough memory (${requestedBytes} bytes wanted): ${cause.message}`,
    requestedBytes,
    { cause },
  )
}
