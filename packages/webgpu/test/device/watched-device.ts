/** What a sampler did with a device. */
export interface DeviceLog {
  dispatches: number
  /** Bytes of every buffer made, with its label. */
  buffers: { label: string; size: number }[]
  /** Bytes that were mapped for reading. */
  readBytes: number
}

/**
 * A device that notes what is done with it, and may claim lower limits.
 *
 * @param device - The real device, which does everything.
 * @param limits - Limits to claim.
 */
export function watchDevice(
  device: GPUDevice,
  limits: Partial<Record<keyof GPUSupportedLimits, number>> = {},
): { device: GPUDevice; log: DeviceLog } {
  const log: DeviceLog = { dispatches: 0, buffers: [], readBytes: 0 }
  const claimed = through(device.limits, limits)
  const watched = through(device, {
    limits: claimed,
    createBuffer(descriptor: GPUBufferDescriptor) {
      const buffer = device.createBuffer(descriptor)
      log.buffers.push({ label: descriptor.label ?? '', size: descriptor.size })
      if ((descriptor.usage & 1) === 0) return buffer
      const mapAsync = buffer.mapAsync.bind(buffer)
      // On the object itself: encoders take nothing but real buffers.
      Object.defineProperty(buffer, 'mapAsync', {
        value(mode: number, offset?: number, size?: number) {
          log.readBytes += size ?? buffer.size - (offset ?? 0)
          return mapAsync(mode, offset, size)
        },
      })
      return buffer
    },
    createCommandEncoder(descriptor?: GPUCommandEncoderDescriptor) {
      const encoder = device.createCommandEncoder(descriptor)
      return through(encoder, {
        beginComputePass(passDescriptor?: GPUComputePassDescriptor) {
          const pass = encoder.beginComputePass(passDescriptor)
          return through(pass, {
            dispatchWorkgroups(x: number, y?: number, z?: number) {
              log.dispatches++
              pass.dispatchWorkgroups(x, y, z)
            },
          })
        },
      })
    },
  })
  return { device: watched, log }
}

/** The object with some members in place of its own. */
function through<T extends object>(target: T, members: object): T {
  return new Proxy(target, {
    get(_, name) {
      if (name in members) return members[name as keyof typeof members]
      const value = target[name as keyof T] as unknown
      return typeof value === 'function' ? value.bind(target) : value
    },
    has: (_, name) => name in target,
    set(_, name, value) {
      target[name as keyof T] = value
      return true
    },
  })
}
