/**
 * Watches a device: what a draw dispatches, reads back, and how long its compute passes run.
 *
 * The prototypes of the device's objects are changed, so one process or page should have one meter.
 *
 * @module
 */
import { readMapped, USAGE } from './gpu.ts'

/** `GPUMapMode.READ`. */
const MAP_READ = 1
/** Most passes of a draw that are timed. */
const MAX_PASSES = 128

/** What a draw did. */
export interface Metered {
  dispatches: number
  /** Bytes that were mapped for reading. */
  readbackBytes: number
  /** Sum of the durations of all compute passes, microseconds; `null` without timestamps. */
  gpuUs: number | null
}

/** Memory of the times of passes. */
interface Timestamps {
  set: GPUQuerySet
  resolved: GPUBuffer
  staging: GPUBuffer
}

/** Counts what happens on a device between `start()` and `stop()`. */
export class GpuMeter {
  readonly #device: GPUDevice
  readonly #timestamps: Timestamps | null
  #isOn = false
  #isTimed = false
  #passes = 0
  #dispatches = 0
  #readbackBytes = 0

  /**
   * @param device - The device.
   * @param options - `isTimed`: whether timestamps are wanted, where the device has them.
   */
  constructor(device: GPUDevice, { isTimed }: { isTimed: boolean }) {
    this.#device = device
    const isServed = isTimed && device.features.has('timestamp-query')
    this.#timestamps = isServed ? makeTimestamps(device) : null
    this.#watch()
  }

  /** Whether passes can be timed. */
  get hasTimestamps(): boolean {
    return this.#timestamps !== null
  }

  /**
   * Starts to count.
   *
   * @param isTimed - Whether passes are timed; where the device has timestamps.
   */
  start(isTimed: boolean): void {
    this.#isOn = true
    this.#isTimed = isTimed && this.#timestamps !== null
    this.#passes = 0
    this.#dispatches = 0
    this.#readbackBytes = 0
  }

  /**
   * Ends the count; the work that was started in between must be done.
   *
   * @returns What happened.
   */
  async stop(): Promise<Metered> {
    this.#isOn = false
    const counted = { dispatches: this.#dispatches, readbackBytes: this.#readbackBytes }
    return { ...counted, gpuUs: this.#isTimed ? await this.#sumPasses() : null }
  }

  async #sumPasses(): Promise<number | null> {
    const { set, resolved, staging } = this.#timestamps as Timestamps
    const passes = this.#passes
    if (passes === 0 || passes > MAX_PASSES) return null
    const encoder = this.#device.createCommandEncoder()
    encoder.resolveQuerySet(set, 0, passes * 2, resolved, 0)
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, passes * 16)
    this.#device.queue.submit([encoder.finish()])
    const times = new BigUint64Array(await readMapped(staging))
    let nanoseconds = 0n
    for (let pass = 0; pass < passes; pass++) {
      nanoseconds += (times[2 * pass + 1] as bigint) - (times[2 * pass] as bigint)
    }
    return Number(nanoseconds) / 1000
  }

  #watch(): void {
    const meter = this
    const device = this.#device
    const buffer = device.createBuffer({ size: 16, usage: USAGE.STORAGE })
    const encoder = device.createCommandEncoder()
    const pass = encoder.beginComputePass()
    const buffers = Object.getPrototypeOf(buffer) as GPUBuffer
    const encoders = Object.getPrototypeOf(encoder) as GPUCommandEncoder
    const passes = Object.getPrototypeOf(pass) as GPUComputePassEncoder
    pass.end()
    device.queue.submit([encoder.finish()])
    buffer.destroy()
    const { mapAsync } = buffers
    buffers.mapAsync = function (this: GPUBuffer, mode, offset = 0, size = this.size - offset) {
      if (meter.#isOn && (mode & MAP_READ) !== 0) meter.#readbackBytes += size
      return mapAsync.call(this, mode, offset, size)
    }
    const { beginComputePass } = encoders
    encoders.beginComputePass = function (descriptor) {
      return beginComputePass.call(this, meter.#timed(descriptor))
    }
    for (const name of ['dispatchWorkgroups', 'dispatchWorkgroupsIndirect'] as const) {
      const dispatch = passes[name] as (...args: number[]) => undefined
      Object.assign(passes, {
        [name]: function (this: GPUComputePassEncoder, ...args: number[]) {
          if (meter.#isOn) meter.#dispatches++
          return dispatch.apply(this, args)
        },
      })
    }
  }

  #timed(descriptor: GPUComputePassDescriptor | undefined): GPUComputePassDescriptor {
    if (!this.#isOn || !this.#isTimed || descriptor?.timestampWrites !== undefined) {
      return descriptor ?? {}
    }
    const pass = this.#passes++
    if (pass >= MAX_PASSES) return descriptor ?? {}
    return {
      ...descriptor,
      timestampWrites: {
        querySet: (this.#timestamps as Timestamps).set,
        beginningOfPassWriteIndex: pass * 2,
        endOfPassWriteIndex: pass * 2 + 1,
      },
    }
  }
}

function makeTimestamps(device: GPUDevice): Timestamps {
  const count = MAX_PASSES * 2
  const size = count * 8
  return {
    set: device.createQuerySet({ type: 'timestamp', count }),
    // `GPUBufferUsage.QUERY_RESOLVE`
    resolved: device.createBuffer({ size, usage: 512 | USAGE.COPY_SRC }),
    staging: device.createBuffer({ size, usage: USAGE.MAP_READ | USAGE.COPY_DST }),
  }
}
