/**
 * Opens the device of a benchmark.
 *
 * @module
 */
import type { DeviceClass } from './gpu.ts'
import type { AdapterFacts } from './messages.ts'

const FEATURES = ['subgroups', 'shader-f16', 'timestamp-query'] as const
const LIMITS = ['maxStorageBufferBindingSize', 'maxBufferSize'] as const

/**
 * Opens a device with the adapter's features and its highest limits for buffers.
 *
 * @param gpu - Entry point of WebGPU.
 * @returns The device.
 * @throws Error when there is no adapter.
 */
export async function openDevice(gpu: GPU): Promise<GPUDevice> {
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (adapter === null) throw new Error('WebGPU finds no adapter')
  // Dawn in Node may free it while its device works.
  Object.assign(globalThis, { adapter })
  return adapter.requestDevice({
    requiredFeatures: FEATURES.filter((name) => adapter.features.has(name)) as GPUFeatureName[],
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
  })
}

/**
 * Describes a device and its adapter.
 *
 * @param device - The device.
 * @returns The facts.
 */
export function describeDevice(device: GPUDevice): AdapterFacts {
  const info = device.adapterInfo
  const { vendor, architecture, description } = info
  const isSoftware = /swiftshader|llvmpipe|software|basic render/i.test(
    `${vendor} ${architecture} ${info.device} ${description}`,
  )
  return {
    ...{ vendor, architecture, description, isSoftware, name: nameOf(info) },
    features: FEATURES.filter((feature) => device.features.has(feature)),
    subgroupSizes: [info.subgroupMinSize ?? 1, info.subgroupMaxSize ?? 1],
    maxStorageBufferBindingSize: device.limits.maxStorageBufferBindingSize,
  }
}

/** Dawn names the device in lower case with hyphens and the driver as description; browsers may tell neither. */
function nameOf({ vendor, architecture, device, description }: GPUAdapterInfo): string {
  if (architecture === 'swiftshader') return 'SwiftShader'
  const isId = /^0x/.test(device)
  const parts = device === '' || isId ? [vendor, architecture] : [device]
  return parts.filter((part) => part !== '').join(' ') || description || 'unnamed adapter'
}

/**
 * Facts that kernels of the benchmark are cut by.
 *
 * @param facts - The adapter.
 * @returns Its class.
 */
export function classOf({ isSoftware, features, subgroupSizes }: AdapterFacts): DeviceClass {
  return { isSoftware, subgroup: features.includes('subgroups') ? subgroupSizes[0] : 1 }
}
