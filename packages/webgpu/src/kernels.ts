/**
 * The kernels of a draw, as records, for a head's storage and a call's shape; `ranking/kernels.ts` has the others.
 *
 * @module
 */
import type { NoiseScheme } from '@flashsampling/core'
import type { Kernel } from './kernel.ts'
import {
  HIDDEN_F16,
  HIDDEN_F32,
  MERGE_SAMPLE,
  SOURCE_LOGITS,
  SOURCE_PRODUCT,
  SUBGROUPS_NONE,
  SUBGROUPS_SHUFFLE,
  TILE_SAMPLE,
} from './shaders.generated.ts'
import { chunksPerLoad, type StorageLayout } from './storage.ts'
import { chooseLanes, type Tuning, type Walk } from './tuning.ts'

/** Storage of hidden states or logits in GPU memory. */
export type HiddenFormat = 'f32' | 'f16'

/** Best tokens by logit that a tile lists for rows with filters. */
export const LIST_ENTRIES = 8

/** Words of a listed token: logit, token id, raw logit. */
export const ENTRY_WORDS = 3

/** Tokens of the ranking that the merge of lists holds. */
export const LIST_CAPACITY = 256

/** What a tile kernel is made for. */
export interface TileVariant {
  source: TileSource
  tuning: Tuning
  /** Storage of the weights; `logits` where these are in memory already. */
  layout: StorageLayout | 'logits'
  /** The file that reads the weights, behind its includes; empty for logits. */
  chunkSources: readonly string[]
  /** Storage of the hidden states or logits. */
  hidden: HiddenFormat
  /** Rows of a workgroup. */
  rows: number
  noiseScheme: NoiseScheme
  /** Whether any row wants its best tokens by logit. */
  isListed: boolean
}

/** Where the raw logits of a tile come from: the file that fills a tile, with what it needs. */
export type TileSource = (
  variant: TileVariant,
) => Pick<Kernel, 'sources' | 'constants' | 'usesSubgroups'>

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
    ...tileParts(variant, TILE_SAMPLE),
    bindings: ['read', 'uniform', 'read', 'read', 'read', 'read', 'write', 'write', 'write'],
  }
}

/**
 * The kernel that merges the tiles' winners of each draw.
 *
 * @param tuning - Shapes of the device.
 * @returns The kernel.
 */
export function mergeSampleKernel({ merge }: Tuning): Kernel {
  return {
    label: 'flashsampling merge_sample',
    sources: MERGE_SAMPLE,
    constants: { WORKGROUP: merge.workgroup, UNROLL: merge.unroll },
    bindings: ['read', 'read', 'read', 'write', 'write'],
  }
}

/**
 * What every kernel over tiles is made of.
 *
 * @param variant - Storage and shape.
 * @param main - The kernel and its includes.
 * @returns Its parts; the kernel adds its label and bindings.
 */
export function tileParts(
  variant: TileVariant,
  main: readonly string[],
): Pick<Kernel, 'sources' | 'constants' | 'usesSubgroups'> {
  const { tuning, rows, noiseScheme, isListed } = variant
  const source = variant.source(variant)
  const constants = {
    WORKGROUP: chooseWalk(tuning, variant.layout).workgroup,
    TILE: tuning.tile,
    ROWS: rows,
    NOISE_VLLM: noiseScheme === 'vllm',
    TOP: isListed ? LIST_ENTRIES : 0,
    ...source.constants,
  }
  return { ...source, sources: [...main, ...source.sources], constants }
}

/**
 * How threads walk over what a tile kernel reads.
 *
 * @param tuning - Shapes of the device.
 * @param layout - Storage of the weights; `logits` where these are in memory already.
 * @returns The walk.
 */
export function chooseWalk(tuning: Tuning, layout: StorageLayout | 'logits'): Walk {
  // Rows of logits share nothing, so that each has workgroups of its own.
  if (layout === 'logits') {
    return { workgroup: tuning.workgroup, tokens: 1, rows: 1, sums: 1, unroll: 1 }
  }
  return layout.numBlocks > 0 ? tuning.quantised : tuning.dense
}

/** Raw logits by products of hidden states and weights; the layout is that of the weights. */
export const productSource: TileSource = (variant) => {
  const { tuning, chunkSources, hidden, rows } = variant
  const layout = variant.layout as StorageLayout
  const { numChunks, scaleBytes, offset, zeroPoint } = layout
  const { tile, subgroup } = tuning
  const span = chunksPerLoad(layout)
  const lanes = chooseLanes(tuning, Math.ceil(numChunks / span))
  const walk = chooseWalk(tuning, layout)
  // As many tokens as a thread may take without idling a part of the workgroup.
  const most = Math.floor(Math.min(walk.sums / rows, (tile * lanes) / walk.workgroup))
  const tokens = Math.max(1, Math.min(walk.tokens, most))
  return {
    sources: [
      ...chunkSources,
      ...(hidden === 'f16' ? HIDDEN_F16 : HIDDEN_F32),
      ...(subgroup > 1 ? SUBGROUPS_SHUFFLE : SUBGROUPS_NONE),
      ...SOURCE_PRODUCT,
    ],
    usesSubgroups: subgroup > 1,
    constants: {
      LANES: lanes,
      TOKENS: tokens,
      ...planSums(lanes, tokens * rows, subgroup),
      UNROLL: walk.unroll,
      SPAN: span,
      NUM_CHUNKS: numChunks,
      SUBGROUP: subgroup,
      SCALE_F32: scaleBytes === 4,
      OFFSET_FORMAT: OFFSET_NUMBERS[offset],
      ZERO_POINT: zeroPoint,
    },
  }
}

/**
 * How sums are added up across the threads of a dot product. Where a subgroup holds these, threads give away half of
 * their sums at each step, so that 64 sums of 32 threads take 62 shuffles; elsewhere a loop adds up one after the other.
 */
function planSums(lanes: number, numSums: number, subgroup: number): Record<string, number> {
  const isLooped = lanes > subgroup || (numSums & (numSums - 1)) !== 0
  const constants: Record<string, number> = {
    NUM_SUMS: numSums,
    NUM_LOOPS: isLooped ? 1 : 0,
    NUM_STEPS: isLooped ? 0 : Math.log2(lanes),
    // What a thread has at the end, and threads that then have the same.
    NUM_KEPT: isLooped ? 0 : Math.max(1, numSums / lanes),
    SHARERS: Math.max(1, lanes / numSums),
  }
  for (let k = 0, held = numSums; k < (constants.NUM_STEPS as number); k++) {
    const given = Math.floor(held / 2)
    held = Math.max(1, given)
    Object.assign(constants, { [`KEPT_${k}`]: held, [`GIVEN_${k}`]: given })
    constants[`STEP_${k}`] = lanes >> (k + 1)
  }
  return constants
}

/** Raw logits that lie in memory. */
export const logitsSource: TileSource = ({ hidden }) => ({
  sources: SOURCE_LOGITS,
  constants: { LOGITS_F16: hidden === 'f16' },
})
