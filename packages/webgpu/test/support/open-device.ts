/**
 * A WebGPU device for tests: through Dawn in Node, through the browser elsewhere.
 */

/** A device with what tests say about it. */
export interface TestDevice {
  device: GPUDevice
  adapter: GPUAdapter
}

/** Which device a test wants. */
export interface DeviceWish {
  /** Features to leave out though the adapter has them. */
  without?: readonly string[]
  /** Whether to ask for the adapter's highest limits, in place of the defaults. */
  highLimits?: boolean
}

let gpu: GPU | undefined

/** The entry point of WebGPU: that of the browser, or Dawn's. */
export async function openGpu(): Promise<GPU> {
  if (gpu === undefined) {
    gpu = globalThis.navigator?.gpu
    if (gpu === undefined) {
      const module = process.env.FLASHSAMPLING_DAWN ?? 'webgpu'
      const { create } = (await import(/* @vite-ignore */ module)) as {
        create(flags: string[]): GPU
      }
      // Without the flag Dawn keeps 16-bit floats from NVIDIA adapters; others do not know it.
      gpu = create(['enable-dawn-features=vulkan_enable_f16_on_nvidia'])
    }
  }
  return gpu
}

/**
 * Opens a device of its own.
 *
 * @param wish - Features and limits.
 * @returns The device.
 * @throws Error when there is no adapter.
 */
export async function openDevice(wish: DeviceWish = {}): Promise<TestDevice> {
  const adapter = await (await openGpu()).requestAdapter({ powerPreference: 'high-performance' })
  if (adapter === null) throw new Error('no WebGPU adapter')
  const wanted = ['subgroups', 'shader-f16', 'timestamp-query'].filter(
    (name) => adapter.features.has(name) && !(wish.without ?? []).includes(name),
  )
  const requiredLimits: Record<string, number> = {}
  if (wish.highLimits === true) {
    for (const name of ['maxStorageBufferBindingSize', 'maxBufferSize'] as const) {
      requiredLimits[name] = adapter.limits[name]
    }
  }
  const device = await adapter.requestDevice({
    requiredFeatures: wanted as GPUFeatureName[],
    requiredLimits,
  })
  return { device, adapter }
}
