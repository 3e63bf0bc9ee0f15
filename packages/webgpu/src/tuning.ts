/**
 * Shapes of the kernels, by class of adapter.
 *
 * @module
 */

/** How a thread walks over the weights. */
export interface Walk {
  /** Threads of a workgroup. */
  workgroup: number
  /** Tokens that it works on at a time, at most: each hidden state that is loaded serves all of them. */
  tokens: number
  /** Rows that it works on at a time, at most, a power of two: each weight that is loaded serves all of them. */
  rows: number
  /** Sums that it holds, at most: for many rows it takes fewer tokens. */
  sums: number
  /** Loads of each token that are under way before it uses one. */
  unroll: number
}

/** How the tile kernel is cut. */
export interface Tuning {
  /** Name of the class, for reports. */
  name: string
  /** Threads of a workgroup, for kernels that multiply nothing. */
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
  /** How the kernel that merges the tiles' winners is cut: threads of a draw, loads of each under way at a time. */
  merge: { workgroup: number; unroll: number }
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
    dense: { workgroup: 4, tokens: 8, rows: 8, sums: 128, unroll: 1 },
    quantised: { workgroup: 4, tokens: 16, rows: 8, sums: 128, unroll: 1 },
    wideScales: true,
    merge: { workgroup: 4, unroll: 1 },
  },
  {
    name: 'nvidia',
    matches: /nvidia/,
    workgroup: 256,
    maxLanes: 32,
    tile: 64,
    // From an H100: docs/findings/webgpu-products.md.
    dense: { workgroup: 256, tokens: 8, rows: 8, sums: 32, unroll: 1 },
    quantised: { workgroup: 128, tokens: 8, rows: 4, sums: 32, unroll: 1 },
    wideScales: false,
    merge: { workgroup: 256, unroll: 4 },
  },
  {
    name: 'other',
    matches: /(?:)/,
    workgroup: 128,
    maxLanes: 32,
    tile: 64,
    dense: { workgroup: 128, tokens: 4, rows: 8, sums: 32, unroll: 1 },
    quantised: { workgroup: 128, tokens: 4, rows: 8, sums: 32, unroll: 1 },
    wideScales: false,
    merge: { workgroup: 256, unroll: 4 },
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
  const most = Math.min(maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX)
  const bounded = <T extends { workgroup: number }>(part: T): T => ({
    ...part,
    workgroup: Math.min(part.workgroup, most),
  })
  const hasSubgroups = device.features.has('subgroups')
  return {
    ...bounded(found),
    dense: bounded(found.dense),
    quantised: bounded(found.quantised),
    merge: bounded(found.merge),
    subgroup: hasSubgroups ? (info.subgroupMinSize ?? 1) : 1,
  }
}

/**
 * Threads that share one dot product: as many as the row keeps busy. Depends on nothing that a batch or shard changes,
 * as the order of a sum follows from it.
 *
 * @param tuning - Shapes of the device.
 * @param numLoads - Loads of weights in a row.
 * @returns A power of two.
 */
export function chooseLanes(tuning: Tuning, numLoads: number): number {
  let lanes = tuning.maxLanes
  while (lanes > 1 && (Math.ceil(numLoads / lanes) * lanes) / numLoads > 1.25) lanes /= 2
  return lanes
}
