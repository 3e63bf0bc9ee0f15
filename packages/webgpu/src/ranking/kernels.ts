/**
 * The kernels of draws by rank, as records.
 *
 * @module
 */
import type { NoiseScheme } from '@flashsampling/core'
import type { Kernel } from '../kernel.ts'
import { LIST_CAPACITY, LIST_ENTRIES, type TileVariant, tileParts } from '../kernels.ts'
import type { Tuning } from '../tuning.ts'
import { MERGE_LISTS, TILE_GATHER, TILE_RANK } from './shaders.generated.ts'

/** Most positions of a rank pass, and words of the count between two of them. */
export const MAX_PIVOTS = 255
export const INTERVAL_WORDS = 5

/**
 * The kernel that decides filters from the tiles' lists and reports the most likely tokens.
 *
 * @param tuning - Shapes of the device.
 * @param noiseScheme - Noise of every draw.
 * @returns The kernel.
 */
export function mergeListsKernel({ workgroup, merge }: Tuning, noiseScheme: NoiseScheme): Kernel {
  return {
    label: 'flashsampling merge_lists',
    sources: MERGE_LISTS,
    constants: {
      WORKGROUP: workgroup,
      UNROLL: merge.unroll,
      NOISE_VLLM: noiseScheme === 'vllm',
      TOP: LIST_ENTRIES,
      CAPACITY: LIST_CAPACITY,
    },
    bindings: ['read', 'read', 'read', 'write', 'write', 'read', 'write'],
  }
}

/**
 * The kernel that counts tokens and mass between places in rank order.
 *
 * @param variant - Storage and shape.
 * @returns The kernel.
 */
export function tileRankKernel(variant: TileVariant): Kernel {
  return {
    label: 'flashsampling tile_rank',
    ...tileParts(variant, TILE_RANK),
    bindings: ['read', 'uniform', 'read', 'read', 'read', 'read', 'write'],
  }
}

/**
 * The kernel that gathers the tokens up to a place in rank order.
 *
 * @param variant - Storage and shape.
 * @param gathered - Most tokens of a row.
 * @returns The kernel.
 */
export function tileGatherKernel(variant: TileVariant, gathered: number): Kernel {
  const parts = tileParts(variant, TILE_GATHER)
  return {
    label: 'flashsampling tile_gather',
    ...parts,
    constants: { ...parts.constants, GATHERED: gathered },
    bindings: ['read', 'uniform', 'read', 'read', 'read', 'read', 'write'],
  }
}
