/**
 * What happens to one row's logits of one tile: transform, mass, lists, noise, winners.
 *
 * The tile is padded with -Infinity to whole groups of 16 tokens that start at a multiple of 16, the unit in which
 * noise is made.
 */
import * as layout from '../layout.ts'
import { crowdedLimit, gumbelF32, quotientF32 } from '../math.ts'
import { listInsert, listThreshold } from './list.ts'
import { massAdd, massAddRange } from './mass.ts'
import { fillFlashBits, fillVllmBits } from './noise.ts'
import type { MemoryViews } from './views.ts'

const fround = Math.fround
const LN2 = Math.LN2
const GROUP = 16
const bits = new Uint32Array(GROUP)

/** Logits of one row and tile in scratch, with their place in the vocabulary. */
export interface TileRow {
  /** f32 index of the first padded logit. */
  at: number
  /** f32 index of a copy of the raw logits (FLAG_RAW), same length. */
  rawAt: number
  /** Global token id of the first padded logit, a multiple of 16. */
  firstTokenId: number
  /** Padded logits, a multiple of 16. */
  length: number
  /** Global token ids of the tile proper: [start, end). */
  start: number
  end: number
}

/**
 * Folds one tile of one row into the row's state.
 *
 * @param views - Memory.
 * @param row - Byte address of the row record.
 * @param state - Byte address of the row's state.
 * @param scheme - 0 flash, 1 vllm.
 * @param tile - The logits.
 */
export function foldTile(
  views: MemoryViews,
  row: number,
  state: number,
  scheme: number,
  tile: TileRow,
): void {
  const { f32, u32 } = views
  const { at, rawAt, length } = tile
  const flags = u32[(row + layout.ROW_FLAGS) >> 2] as number
  // Checked before the mask can hide them: a NaN anywhere means that the row's products are not to be trusted.
  for (let i = 0; i < length; i++) {
    const logit = f32[at + i] as number
    if (Number.isNaN(logit)) addStatus(views, state, layout.STATUS_NAN)
    else if (logit === Infinity) addStatus(views, state, layout.STATUS_POSITIVE_INFINITY)
  }
  if (u32[(state + layout.STATE_STATUS) >> 2] !== 0) return
  if ((flags & layout.FLAG_RAW) !== 0) {
    f32.copyWithin(rawAt, at, at + length)
    massAddRange(views, state + layout.STATE_RAW_MASS, at, length)
  }
  applyEdits(views, row, tile)
  applyMask(views, row, tile)
  const temperature = f32[(row + layout.ROW_TEMPERATURE) >> 2] as number
  const limit = crowdedLimit(temperature)
  let max = f32[(state + layout.STATE_MAX) >> 2] as number
  for (let i = 0; i < length; i++) {
    const logit = quotientF32(f32[at + i] as number, temperature, limit)
    f32[at + i] = logit
    if (logit > max) max = logit
  }
  f32[(state + layout.STATE_MAX) >> 2] = max
  if (max === Infinity) {
    addStatus(views, state, layout.STATUS_POSITIVE_INFINITY)
    return
  }
  if ((flags & layout.FLAG_RANK) !== 0) {
    countIntervals(views, row, state, tile)
    return
  }
  if ((flags & layout.FLAG_RESTRICT) !== 0) restrict(views, row, tile)
  else massAddRange(views, state + layout.STATE_MASS, at, length)
  foldLists(views, row, state, scheme, tile, flags)
}

function addStatus(views: MemoryViews, state: number, status: number): void {
  const word = (state + layout.STATE_STATUS) >> 2
  views.u32[word] = (views.u32[word] as number) | status
}

/** Bias, then repetition penalty, then presence and frequency penalty, on the tokens that have any. */
function applyEdits(views: MemoryViews, row: number, tile: TileRow): void {
  const { f32, u32 } = views
  const numEdits = u32[(row + layout.ROW_NUM_EDITS) >> 2] as number
  if (numEdits === 0) return
  const edits = u32[(row + layout.ROW_EDITS) >> 2] as number
  const penalty = f32[(row + layout.ROW_REPETITION_PENALTY) >> 2] as number
  let low = 0
  let high = numEdits
  while (low < high) {
    const middle = (low + high) >> 1
    if ((u32[(edits + middle * layout.EDIT_BYTES) >> 2] as number) < tile.start) low = middle + 1
    else high = middle
  }
  for (; low < numEdits; low++) {
    const edit = (edits + low * layout.EDIT_BYTES) >> 2
    const tokenId = u32[edit] as number
    if (tokenId >= tile.end) return
    const slot = tile.at + tokenId - tile.firstTokenId
    let logit = fround((f32[slot] as number) + (f32[edit + 1] as number))
    if (u32[edit + 2] !== 0) logit = fround(logit > 0 ? logit / penalty : logit * penalty)
    f32[slot] = fround(logit - (f32[edit + 3] as number))
  }
}

function applyMask(views: MemoryViews, row: number, tile: TileRow): void {
  const mask = views.u32[(row + layout.ROW_MASK) >> 2] as number
  if (mask === 0) return
  for (let i = 0; i < tile.length; i++) {
    const tokenId = tile.firstTokenId + i
    // Ids past the end of the mask are padding and hold -Infinity already.
    if (tokenId >= tile.start && tokenId < tile.end) {
      const word = views.i32[(mask >> 2) + (tokenId >> 5)] as number
      if (((word >>> (tokenId & 31)) & 1) === 0) views.f32[tile.at + i] = -Infinity
    }
  }
}

/** Takes tokens out that rank after the row's boundary. */
function restrict(views: MemoryViews, row: number, tile: TileRow): void {
  const { f32, u32 } = views
  const boundary = f32[(row + layout.ROW_BOUNDARY_LOGIT) >> 2] as number
  const lastId = u32[(row + layout.ROW_BOUNDARY_TOKEN_ID) >> 2] as number
  for (let i = 0; i < tile.length; i++) {
    const logit = f32[tile.at + i] as number
    if (logit < boundary || (logit === boundary && tile.firstTokenId + i > lastId)) {
      f32[tile.at + i] = -Infinity
    }
  }
}

function foldLists(
  views: MemoryViews,
  row: number,
  state: number,
  scheme: number,
  tile: TileRow,
  flags: number,
): void {
  const { f32, u32 } = views
  const { at, firstTokenId, length } = tile
  const rawAt = (flags & layout.FLAG_RAW) !== 0 ? tile.rawAt : at
  let list = state + layout.STATE_LISTS
  list = foldTopList(views, list, at, at, rawAt, firstTokenId, length)
  if (rawAt !== at) list = foldTopList(views, list, rawAt, at, rawAt, firstTokenId, length)
  const numDraws = u32[(row + layout.ROW_NUM_DRAWS) >> 2] as number
  const keys = (u32[(row + layout.ROW_DRAW_KEYS) >> 2] as number) >> 2
  for (let draw = 0; draw < numDraws; draw++) {
    if ((flags & layout.FLAG_GREEDY) !== 0) {
      list = foldTopList(views, list, at, at, rawAt, firstTokenId, length)
      continue
    }
    const key0 = u32[keys + draw * 2] as number
    const key1 = u32[keys + draw * 2 + 1] as number
    for (let group = 0; group < length; group += GROUP) {
      let threshold = listThreshold(views, list)
      if (!mayReach(f32, at + group, threshold, MAX_NOISE)) continue
      if (scheme === 0) fillFlashBits(bits, firstTokenId + group, key0, key1)
      else fillVllmBits(bits, firstTokenId + group, key0, key1)
      for (let i = 0; i < GROUP; i++) {
        const logit = f32[at + group + i] as number
        const tokenBits = bits[i] as number
        if (logit === -Infinity || logit + noiseBound(tokenBits, scheme) < threshold) continue
        const score = fround(logit + gumbelF32(tokenBits, scheme === 0 ? 'flash' : 'vllm'))
        if (score < threshold) continue
        listInsert(
          views,
          list,
          score,
          firstTokenId + group + i,
          logit,
          f32[rawAt + group + i] as number,
        )
        threshold = listThreshold(views, list)
      }
    }
    list = nextList(views, list)
  }
}

/** No noise value of either scheme exceeds this. */
const MAX_NOISE = 23

function mayReach(f32: Float32Array, at: number, threshold: number, maxNoise: number): boolean {
  for (let i = 0; i < GROUP; i++) if ((f32[at + i] as number) + maxNoise >= threshold) return true
  return false
}

/** Cheap upper bound of the noise: -log(-log1p(-v)) <= -log(v), and log2(v) from the leading zeros of the bits. */
function noiseBound(tokenBits: number, scheme: number): number {
  if (scheme === 0) return LN2 * (Math.clz32(tokenBits) + 1) + 0.001
  const x = (tokenBits | 0) < 0 ? ~tokenBits : tokenBits
  return LN2 * Math.clz32(x) + 0.001
}

function foldTopList(
  views: MemoryViews,
  list: number,
  keyAt: number,
  at: number,
  rawAt: number,
  firstTokenId: number,
  length: number,
): number {
  const { f32 } = views
  let threshold = listThreshold(views, list)
  for (let i = 0; i < length; i++) {
    const key = f32[keyAt + i] as number
    if (key < threshold || key === -Infinity) continue
    listInsert(views, list, key, firstTokenId + i, f32[at + i] as number, f32[rawAt + i] as number)
    threshold = listThreshold(views, list)
  }
  return nextList(views, list)
}

function nextList(views: MemoryViews, list: number): number {
  const capacity = views.u32[(list + layout.LIST_CAPACITY) >> 2] as number
  return list + layout.LIST_ENTRIES + capacity * layout.ENTRY_BYTES
}

/** Adds every token to the interval between the pivots that rank before it and those that do not. */
function countIntervals(views: MemoryViews, row: number, state: number, tile: TileRow): void {
  const { f32, f64, u32 } = views
  const pivots = (u32[(row + layout.ROW_PIVOTS) >> 2] as number) >> 2
  const numPivots = u32[(row + layout.ROW_NUM_PIVOTS) >> 2] as number
  for (let i = 0; i < tile.length; i++) {
    const logit = f32[tile.at + i] as number
    if (logit === -Infinity) continue
    const tokenId = tile.firstTokenId + i
    let low = 0
    let high = numPivots
    while (low < high) {
      const middle = (low + high) >> 1
      const pivotLogit = f32[pivots + middle * 2] as number
      const isBefore =
        pivotLogit > logit ||
        (pivotLogit === logit && (u32[pivots + middle * 2 + 1] as number) < tokenId)
      if (isBefore) low = middle + 1
      else high = middle
    }
    const interval = state + layout.STATE_LISTS + low * layout.INTERVAL_BYTES
    const count = (interval + layout.INTERVAL_COUNT) >> 3
    f64[count] = (f64[count] as number) + 1
    massAdd(views, interval + layout.INTERVAL_MASS, logit)
  }
}
