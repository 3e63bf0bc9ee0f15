/**
 * Shapes of the kernels, by class of adapter.
 *
 * @module
 */

/** How a thread walks over the weights. */
export interface Walk {
  /** Tokens that it works on at a time, at most: each hidden state that is loaded serves all of them. */
  tokens: number
  /** Chunks of each token that it loads before it uses one. */
  unroll: number
}

/** How the tile kernel is cut. */
export interface Tuning {
  /** Name of the class, for reports. */
  name: string
  /** Threads of a workgroup. */
  workgroup: number
  /** Threads that share one dot product at most; a power of two. */
  maxLanes: number
  /** Tokens of a tile; a multiple of 8. */
  tile: number
  /** How a thread walks over dense weights. */
  dense: Walk
  /** How a thread walks over quantised weights. */
  quantised: Walk
  /** Whether scales of 16 bits are kept as 32: more to read, nothing to convert. */
  wideScales: boolean
  /** Rows that a thread works on at a time, at most: each weight that is loaded serves all of them. */
  maxRows: number
  /** Threads that can exchange values without memory; 1 without subgroups. */
  subgroup: number
}

/** Shapes by class of adapter; the first whose expression matches the adapter's description. */
export const TUNING_CLASSES: readonly (Omit<Tuning, 'subgroup'> & { matches: RegExp })[] = [
  // One core works on a workgroup, four threads at a time; what these exchange with others costs much:
  // docs/findings/webgpu-software.md.
  {
    name: 'software',
    matches: /swiftshader|llvmpipe|cpu/,
    workgroup: 4,
    maxLanes: 1,
    tile: 128,
    dense: { tokens: 8, unroll: 1 },
    quantised: { tokens: 16, unroll: 1 },
    wideScales: true,
    maxRows: 8,
  },
  {
    name: 'nvidia',
    matches: /nvidia/,
    workgroup: 128,
    maxLanes: 32,
    tile: 64,
    // From products alone on an H100: docs/findings/webgpu-products.md.
    dense: { tokens: 8, unroll: 1 },
    quantised: { tokens: 4, unroll: 1 },
    wideScales: false,
    maxRows: 8,
  },
  {
    name: 'other',
    matches: /(?:)/,
    workgroup: 128,
    maxLanes: 32,
    tile: 64,
    dense: { tokens: 4, unroll: 1 },
    quantised: { tokens: 4, unroll: 2 },
    wideScales: false,
    maxRows: 8,
  },
]

/**
 * Chooses the shapes for a device.
 *
 * @param device - The caller's device.
 * @returns Shapes that fit the device's limits.
 */
export function chooseTuning(device: GPUDevice): Tuning {
  const info: Partial<GPUAdapterInfo> = device.adapterInfo ?? {}
  const text = `${info.vendor} ${info.architecture} ${info.description}`.toLowerCase()
  const { matches: _, ...found } = TUNING_CLASSES.find(({ matches }) =>
    matches.test(text),
  ) as (typeof TUNING_CLASSES)[number]
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX } = device.limits
  const workgroup = Math.min(
    found.workgroup,
    maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupSizeX,
  )
  const hasSubgroups = device.features.has('subgroups')
  return { ...found, workgroup, subgroup: hasSubgroups ? (info.subgroupMinSize ?? 1) : 1 }
}

/**
 * Threads that share one dot product: as many as the row keeps busy. Depends on nothing that a batch or shard changes,
 * as the order of a sum follows from it.
 *
 * @param tuning - Shapes of the device.
 * @param numChunks - Chunks of eight elements in a row.
 * @returns A power of two.
 */
export function chooseLanes(tuning: Tuning, numChunks: number): number {
  let lanes = tuning.maxLanes
  while (lanes > 1 && (Math.ceil(numChunks / lanes) * lanes) / numChunks > 1.25) lanes /= 2
  return lanes
}
