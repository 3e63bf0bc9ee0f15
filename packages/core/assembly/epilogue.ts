// What happens to one row's logits of one tile; twin of src/cpu/typescript/epilogue.ts.
import {
  EDIT_BYTES,
  FLAG_GREEDY,
  FLAG_RANK,
  FLAG_RAW,
  FLAG_RESTRICT,
  INTERVAL_BYTES,
  INTERVAL_COUNT,
  INTERVAL_MASS,
  ROW_BOUNDARY_LOGIT,
  ROW_BOUNDARY_TOKEN_ID,
  ROW_DRAW_KEYS,
  ROW_EDITS,
  ROW_FLAGS,
  ROW_MASK,
  ROW_NUM_DRAWS,
  ROW_NUM_EDITS,
  ROW_NUM_PIVOTS,
  ROW_PIVOTS,
  ROW_REPETITION_PENALTY,
  ROW_TEMPERATURE,
  STATE_LISTS,
  STATE_MASS,
  STATE_MAX,
  STATE_RAW_MASS,
  STATE_STATUS,
  STATUS_NAN,
  STATUS_POSITIVE_INFINITY,
} from '../src/cpu/layout'
import { listInsert, listThreshold, nextList } from './list'
import { massAdd, massAddRange } from './mass'
import { crowdedLimitBits, gumbel4, quotient4 } from './math'
import { flashBits, vllmBits } from './philox'

// @ts-ignore: decorator
@inline const MAX_NOISE: f32 = 23
// @ts-ignore: decorator
@inline const NEGATIVE_INFINITY: f32 = f32.NEGATIVE_INFINITY

// @ts-ignore: decorator
@inline
function maxLane(x: v128): f32 {
  const y = f32x4.max(x, i32x4.shuffle(x, x, 2, 3, 0, 1))
  return max(f32x4.extract_lane(y, 0), f32x4.extract_lane(y, 1))
}

// @ts-ignore: decorator
@inline
function max16(at: usize): v128 {
  return f32x4.max(
    f32x4.max(v128.load(at), v128.load(at, 16)),
    f32x4.max(v128.load(at, 32), v128.load(at, 48)),
  )
}

/**
 * Folds one tile of one row into the row's state.
 *
 * `at`: padded logits, `length` of them, a multiple of 16, the first of token firstTokenId (a multiple of 16);
 * `rawScratch`: room for as many; `scratch`: room for 512 bytes; [start, end): token ids of the tile proper.
 */
export function foldTile(
  row: usize,
  state: usize,
  scheme: u32,
  at: usize,
  rawScratch: usize,
  scratch: usize,
  firstTokenId: u32,
  length: u32,
  start: u32,
  end: u32,
): void {
  const flags = load<u32>(row + ROW_FLAGS)
  const bytes = <usize>length << 2
  // The WebAssembly maximum carries NaN through, so one comparison at the end finds any.
  let highest = f32x4.splat(NEGATIVE_INFINITY)
  for (let i: usize = 0; i < bytes; i += 64) highest = f32x4.max(highest, max16(at + i))
  let max = maxLane(highest)
  if (!(max < f32.POSITIVE_INFINITY)) {
    const status = max == f32.POSITIVE_INFINITY ? STATUS_POSITIVE_INFINITY : STATUS_NAN
    store<u32>(state + STATE_STATUS, load<u32>(state + STATE_STATUS) | status)
  }
  if (load<u32>(state + STATE_STATUS) != 0) return
  let rawAt = at
  if ((flags & FLAG_RAW) != 0) {
    rawAt = rawScratch
    memory.copy(rawAt, at, bytes)
    massAddRange(state + STATE_RAW_MASS, rawAt, length, scratch)
  }
  applyEdits(row, at, firstTokenId, start, end)
  applyMask(row, at, firstTokenId, length, start, end)
  const temperature = load<f32>(row + ROW_TEMPERATURE)
  const divisor = f32x4.splat(temperature)
  const limitBits = crowdedLimitBits(temperature)
  highest = f32x4.splat(load<f32>(state + STATE_MAX))
  for (let i: usize = 0; i < bytes; i += 16) {
    const logit = quotient4(v128.load(at + i), divisor, limitBits)
    v128.store(at + i, logit)
    highest = f32x4.max(highest, logit)
  }
  max = maxLane(highest)
  store<f32>(state + STATE_MAX, max)
  if (max == f32.POSITIVE_INFINITY) {
    store<u32>(state + STATE_STATUS, load<u32>(state + STATE_STATUS) | STATUS_POSITIVE_INFINITY)
    return
  }
  if ((flags & FLAG_RANK) != 0) {
    countIntervals(row, state, at, firstTokenId, length, scratch)
    return
  }
  if ((flags & FLAG_RESTRICT) != 0) restrict(row, at, firstTokenId, length)
  else massAddRange(state + STATE_MASS, at, length, scratch)
  foldLists(row, state, scheme, at, rawAt, scratch, firstTokenId, length, flags)
}

function applyEdits(row: usize, at: usize, firstTokenId: u32, start: u32, end: u32): void {
  const numEdits = load<u32>(row + ROW_NUM_EDITS)
  if (numEdits == 0) return
  const edits: usize = load<u32>(row + ROW_EDITS)
  const penalty = load<f32>(row + ROW_REPETITION_PENALTY)
  let low: u32 = 0
  let high = numEdits
  while (low < high) {
    const middle = (low + high) >> 1
    if (load<u32>(edits + middle * EDIT_BYTES) < start) low = middle + 1
    else high = middle
  }
  for (; low < numEdits; low++) {
    const edit = edits + low * EDIT_BYTES
    const tokenId = load<u32>(edit)
    if (tokenId >= end) return
    const slot = at + (<usize>(tokenId - firstTokenId) << 2)
    let logit = load<f32>(slot) + load<f32>(edit + 4)
    if (load<u32>(edit + 8) != 0) logit = logit > 0 ? logit / penalty : logit * penalty
    store<f32>(slot, logit - load<f32>(edit + 12))
  }
}

function applyMask(
  row: usize,
  at: usize,
  firstTokenId: u32,
  length: u32,
  start: u32,
  end: u32,
): void {
  const mask: usize = load<u32>(row + ROW_MASK)
  if (mask == 0) return
  const minusInfinity = f32x4.splat(NEGATIVE_INFINITY)
  const laneBits = i32x4(1, 2, 4, 8)
  for (let i: u32 = 0; i < length; i += 16) {
    const tokenId = firstTokenId + i
    // The 16 bits of a group; a group may reach past the mask's end only with padding.
    const word = load<u32>(mask + (<usize>(tokenId >> 5) << 2)) >> (tokenId & 31)
    if ((word & 0xffff) == 0xffff) continue
    for (let j: u32 = 0; j < 16; j += 4) {
      const slot = at + (<usize>(i + j) << 2)
      const isAllowed = i32x4.ne(v128.and(i32x4.splat(word >> j), laneBits), i32x4.splat(0))
      v128.store(slot, v128.bitselect(v128.load(slot), minusInfinity, isAllowed))
    }
  }
}

function restrict(row: usize, at: usize, firstTokenId: u32, length: u32): void {
  const boundary = load<f32>(row + ROW_BOUNDARY_LOGIT)
  const lastId = load<u32>(row + ROW_BOUNDARY_TOKEN_ID)
  for (let i: u32 = 0; i < length; i++) {
    const slot = at + (<usize>i << 2)
    const logit = load<f32>(slot)
    if (logit < boundary || (logit == boundary && firstTokenId + i > lastId)) {
      store<f32>(slot, NEGATIVE_INFINITY)
    }
  }
}

function foldLists(
  row: usize,
  state: usize,
  scheme: u32,
  at: usize,
  rawAt: usize,
  bits: usize,
  firstTokenId: u32,
  length: u32,
  flags: u32,
): void {
  let list = state + STATE_LISTS
  foldTopList(list, at, at, rawAt, firstTokenId, length)
  list = nextList(list)
  if (rawAt != at) {
    foldTopList(list, rawAt, at, rawAt, firstTokenId, length)
    list = nextList(list)
  }
  const numDraws = load<u32>(row + ROW_NUM_DRAWS)
  let key: usize = load<u32>(row + ROW_DRAW_KEYS)
  for (let draw: u32 = 0; draw < numDraws; draw++, key += 8, list = nextList(list)) {
    if ((flags & FLAG_GREEDY) != 0) {
      foldTopList(list, at, at, rawAt, firstTokenId, length)
      continue
    }
    const key0 = load<u32>(key)
    const key1 = load<u32>(key + 4)
    let threshold = listThreshold(list)
    for (let i: u32 = 0; i < length; i += 16) {
      const group = at + (<usize>i << 2)
      const groupMax = maxLane(max16(group))
      if (!(groupMax + MAX_NOISE >= threshold) || groupMax == NEGATIVE_INFINITY) continue
      if (scheme == 0) flashBits(bits, firstTokenId + i, key0, key1)
      else vllmBits(bits, firstTokenId + i, key0, key1)
      if (groupMax + noiseBound16(bits, scheme) < threshold) continue
      for (let j: u32 = 0; j < 16; j += 4) {
        const logits = v128.load(group + (<usize>j << 2))
        const scores = f32x4.add(logits, gumbel4(v128.load(bits + (<usize>j << 2)), scheme))
        if (!v128.any_true(f32x4.ge(scores, f32x4.splat(threshold)))) continue
        v128.store(bits + (<usize>j << 2), scores)
        for (let lane: u32 = j; lane < j + 4; lane++) {
          const offset = <usize>lane << 2
          const score = load<f32>(bits + offset)
          if (score < threshold || score == NEGATIVE_INFINITY) continue
          const rawLogit = load<f32>(rawAt + (<usize>i << 2) + offset)
          listInsert(list, score, firstTokenId + i + lane, load<f32>(group + offset), rawLogit)
          threshold = listThreshold(list)
        }
      }
    }
  }
}

/**
 * Upper bound of the noise of 16 words: -log(-log1p(-v)) <= -log(v), and log2(v) from the leading zeros of the
 * smallest word.
 */
// @ts-ignore: decorator
@inline
function noiseBound16(bits: usize, scheme: u32): f32 {
  let a = v128.load(bits)
  let b = v128.load(bits, 16)
  let c = v128.load(bits, 32)
  let d = v128.load(bits, 48)
  let extra: f32 = 1
  if (scheme != 0) {
    a = v128.xor(a, i32x4.shr_s(a, 31))
    b = v128.xor(b, i32x4.shr_s(b, 31))
    c = v128.xor(c, i32x4.shr_s(c, 31))
    d = v128.xor(d, i32x4.shr_s(d, 31))
    extra = 0
  }
  let least = i32x4.min_u(i32x4.min_u(a, b), i32x4.min_u(c, d))
  least = i32x4.min_u(least, i32x4.shuffle(least, least, 2, 3, 0, 1))
  least = i32x4.min_u(least, i32x4.shuffle(least, least, 1, 0, 1, 0))
  const zeros = <f32>clz<u32>(i32x4.extract_lane(least, 0))
  return <f32>0.6931472 * (zeros + extra) + <f32>0.001
}

function foldTopList(
  list: usize,
  keyAt: usize,
  at: usize,
  rawAt: usize,
  firstTokenId: u32,
  length: u32,
): void {
  let threshold = listThreshold(list)
  if (threshold == f32.POSITIVE_INFINITY) return
  for (let i: u32 = 0; i < length; i += 4) {
    const offset = <usize>i << 2
    if (!v128.any_true(f32x4.ge(v128.load(keyAt + offset), f32x4.splat(threshold)))) continue
    for (let lane: u32 = i; lane < i + 4; lane++) {
      const slot = <usize>lane << 2
      const key = load<f32>(keyAt + slot)
      if (key < threshold || key == NEGATIVE_INFINITY) continue
      listInsert(list, key, firstTokenId + lane, load<f32>(at + slot), load<f32>(rawAt + slot))
      threshold = listThreshold(list)
    }
  }
}

function countIntervals(
  row: usize,
  state: usize,
  at: usize,
  firstTokenId: u32,
  length: u32,
  scratch: usize,
): void {
  const pivots: usize = load<u32>(row + ROW_PIVOTS)
  const numPivots = load<u32>(row + ROW_NUM_PIVOTS)
  for (let i: u32 = 0; i < length; i++) {
    const logit = load<f32>(at + (<usize>i << 2))
    if (logit == NEGATIVE_INFINITY) continue
    const tokenId = firstTokenId + i
    let low: u32 = 0
    let high = numPivots
    while (low < high) {
      const middle = (low + high) >> 1
      const pivot = pivots + (<usize>middle << 3)
      const pivotLogit = load<f32>(pivot)
      const isBefore = pivotLogit > logit || (pivotLogit == logit && load<u32>(pivot + 4) < tokenId)
      if (isBefore) low = middle + 1
      else high = middle
    }
    const interval = state + STATE_LISTS + low * INTERVAL_BYTES
    store<f64>(interval + INTERVAL_COUNT, load<f64>(interval + INTERVAL_COUNT) + 1)
    massAdd(interval + INTERVAL_MASS, logit, scratch)
  }
}
