/**
 * The kernels of the package, as records, for a head's storage and a call's shape.
 *
 * @module
 */
import type { NoiseScheme } from '@flashsampling/core'
import type { Kernel } from './kernel.ts'
import {
  CHUNKS_BF16,
  CHUNKS_F16,
  CHUNKS_F32,
  CHUNKS_INT4,
  CHUNKS_INT8,
  HIDDEN_F16,
  HIDDEN_F32,
  MERGE_SAMPLE,
  SUBGROUPS_NONE,
  SUBGROUPS_SHUFFLE,
  TILE_SAMPLE,
} from './shaders.generated.ts'
import type { ChunkFormat, StorageLayout } from './storage.ts'
import { chooseLanes, type Tuning } from './tuning.ts'

/** Storage of hidden states in GPU memory. */
export type HiddenFormat = 'f32' | 'f16'

/** Best tokens by logit that a tile lists for rows with filters. */
export const LIST_ENTRIES = 8

/** What a tile kernel is made for. */
export interface TileVariant {
  tuning: Tuning
  layout: StorageLayout
  hidden: HiddenFormat
  /** Rows of a workgroup. */
  rows: number
  noiseScheme: NoiseScheme
  /** Whether any row wants its best tokens by logit. */
  isListed: boolean
}

const CHUNKS: Record<ChunkFormat, string> = {
  f32: CHUNKS_F32,
  f16: CHUNKS_F16,
  bf16: CHUNKS_BF16,
  int8: CHUNKS_INT8,
  int4: CHUNKS_INT4,
}

const OFFSET_NUMBERS = { constant: 0, packed: 1, float: 2 } as const

/**
 * The kernel that multiplies, transforms, adds noise and keeps each tile's winners.
 *
 * @param variant - Storage and shape.
 * @returns The kernel.
 */
export function tileSampleKernel(variant: TileVariant): Kernel {
  return {
    label: 'flashsampling tile_sample',
    ...productParts(variant, TILE_SAMPLE),
    bindings: ['read', 'uniform', 'read', 'read', 'read', 'read', 'write', 'write', 'write'],
  }
}

/**
 * The kernel that merges the tiles' winners of each draw.
 *
 * @param tuning - Shapes of the device.
 * @returns The kernel.
 */
export function mergeSampleKernel({ workgroup }: Tuning): Kernel {
  return {
    label: 'flashsampling merge_sample',
    sources: [MERGE_SAMPLE],
    constants: { WORKGROUP: workgroup },
    bindings: ['read', 'read', 'read', 'write', 'write'],
  }
}

/** What every kernel that multiplies is made of. */
function productParts(
  { tuning, layout, hidden, rows, noiseScheme, isListed }: TileVariant,
  main: string,
): Pick<Kernel, 'sources' | 'constants' | 'usesSubgroups'> {
  const { workgroup, tile, subgroup } = tuning
  const lanes = chooseLanes(tuning, layout.numChunks)
  // As many tokens as a thread may take without idling a part of the workgroup.
  const tokens = Math.max(1, Math.min(tuning.tokens, Math.floor((tile * lanes) / workgroup)))
  return {
    sources: [
      CHUNKS[layout.chunk],
      hidden === 'f16' ? HIDDEN_F16 : HIDDEN_F32,
      subgroup > 1 ? SUBGROUPS_SHUFFLE : SUBGROUPS_NONE,
      main,
    ],
    usesSubgroups: subgroup > 1,
    constants: {
      WORKGROUP: workgroup,
      TILE: tile,
      LANES: lanes,
      TOKENS: tokens,
      ROWS: rows,
      SUBGROUP: subgroup,
      SCALE_F32: layout.scaleBytes === 4,
      OFFSET_FORMAT: OFFSET_NUMBERS[layout.offset],
      ZERO_POINT: layout.zeroPoint,
      NOISE_VLLM: noiseScheme === 'vllm',
      TOP: isListed ? LIST_ENTRIES : 0,
    },
  }
}
