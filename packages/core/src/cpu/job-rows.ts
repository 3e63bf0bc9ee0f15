/**
 * One row of a job in linear memory: its record, what the record points to, and its state before a pass.
 *
 * @module
 */
import { deriveRowKey, type NoiseScheme } from '../noise.ts'
import type { RowParams } from '../params.ts'
import type { PassRequest, SampleRequest } from '../rows/passes.ts'
import * as layout from './layout.ts'
import type { MemoryViews } from './typescript/views.ts'

/** One row's part of a pass. */
export interface RowTask {
  /** Row of the caller's batch. */
  row: number
  params: RowParams
  request: PassRequest
}

/** Rounds up to a multiple of 64. */
export function align(bytes: number): number {
  return Math.ceil(bytes / 64) * 64
}

/** Score lists of a row: a greedy row has one, whatever its number of draws. */
export function numLists(params: RowParams): number {
  return params.temperature === 0 ? 1 : params.numSamples
}

export function listBytes(capacity: number): number {
  return layout.LIST_ENTRIES + capacity * layout.ENTRY_BYTES
}

export function rowStateBytes(request: PassRequest, draws: number): number {
  if (request.kind === 'rank') {
    return align(layout.STATE_LISTS + (request.pivots.length + 1) * layout.INTERVAL_BYTES)
  }
  const scores = request.scoreCapacity === 0 ? 0 : draws * listBytes(request.scoreCapacity)
  return align(
    layout.STATE_LISTS +
      listBytes(request.topCapacity) +
      listBytes(request.rawTopCapacity) +
      scores,
  )
}

/** Bytes of keys, pivots, edits and mask; rows that share a parameter object share its edits and mask. */
export function extraBytes({ params, request }: RowTask, seen: Set<unknown>): number {
  let bytes = align(numLists(params) * 8)
  if (request.kind === 'rank') bytes += align(request.pivots.length * 8)
  for (const part of [params.edits, params.allowedMask]) {
    if (part === null || seen.has(part)) continue
    seen.add(part)
    bytes += align(part.length * (part === params.edits ? layout.EDIT_BYTES : 4))
  }
  return bytes
}

export function writeRow(
  views: MemoryViews,
  record: number,
  { params, request }: RowTask,
  stateOffset: number,
  scheme: NoiseScheme,
  extras: number,
  places: Map<object, number>,
): number {
  const { f32, u32 } = views
  const at = record >> 2
  const isGreedy = params.temperature === 0
  let flags = isGreedy ? layout.FLAG_GREEDY : 0
  u32.fill(0, at, at + layout.ROW_BYTES / 4)
  // Below 2^-60 the division could overflow; logits that differ are as far apart as noise can tell long before.
  f32[at + layout.ROW_TEMPERATURE / 4] = isGreedy ? 1 : Math.max(params.temperature, 2 ** -60)
  f32[at + layout.ROW_REPETITION_PENALTY / 4] = params.repetitionPenalty
  u32[at + layout.ROW_STATE_OFFSET / 4] = stateOffset
  if (request.kind === 'rank') {
    flags |= layout.FLAG_RANK
    u32[at + layout.ROW_PIVOTS / 4] = extras
    u32[at + layout.ROW_NUM_PIVOTS / 4] = request.pivots.length
    request.pivots.forEach((pivot, i) => {
      f32[(extras >> 2) + i * 2] = pivot.logit
      u32[(extras >> 2) + i * 2 + 1] = pivot.tokenId
    })
    extras += align(request.pivots.length * 8)
  } else {
    if (params.logprobsMode === 'raw') flags |= layout.FLAG_RAW
    if (request.boundary !== null) {
      flags |= layout.FLAG_RESTRICT
      f32[at + layout.ROW_BOUNDARY_LOGIT / 4] = request.boundary.logit
      u32[at + layout.ROW_BOUNDARY_TOKEN_ID / 4] = request.boundary.tokenId
    }
    if (request.scoreCapacity > 0) {
      const draws = numLists(params)
      u32[at + layout.ROW_NUM_DRAWS / 4] = draws
      u32[at + layout.ROW_DRAW_KEYS / 4] = extras
      for (let draw = 0; draw < draws && !isGreedy; draw++) {
        const key = deriveRowKey({ ...params, drawIndex: params.drawIndex + draw }, 0, scheme)
        u32.set(key, (extras >> 2) + draw * 2)
      }
    }
  }
  extras += align(numLists(params) * 8)
  u32[at + layout.ROW_FLAGS / 4] = flags
  const share = (part: object, bytes: number, fill: (word: number) => void): number => {
    const known = places.get(part)
    if (known !== undefined) return known
    const place = extras
    fill(place >> 2)
    places.set(part, place)
    extras += align(bytes)
    return place
  }
  if (params.edits.length > 0) {
    u32[at + layout.ROW_NUM_EDITS / 4] = params.edits.length
    u32[at + layout.ROW_EDITS / 4] = share(
      params.edits,
      params.edits.length * layout.EDIT_BYTES,
      (word) => {
        for (const edit of params.edits) {
          u32[word++] = edit.tokenId
          f32[word++] = edit.bias
          u32[word++] = edit.repeated ? 1 : 0
          f32[word++] = edit.penalty
        }
      },
    )
  }
  const mask = params.allowedMask
  if (mask !== null) {
    u32[at + layout.ROW_MASK / 4] = share(mask, mask.byteLength, (word) =>
      views.i32.set(mask, word),
    )
  }
  return extras
}

/** Zeroes a state and writes the capacities of its lists. */
export function initState(views: MemoryViews, state: number, { params, request }: RowTask): void {
  const { f32, i32, u32 } = views
  const bytes = rowStateBytes(request, numLists(params))
  u32.fill(0, state >> 2, (state + bytes) >> 2)
  f32[(state + layout.STATE_MAX) >> 2] = -Infinity
  i32[(state + layout.STATE_MASS + layout.MASS_TOP) >> 2] = layout.MASS_EMPTY_TOP
  i32[(state + layout.STATE_RAW_MASS + layout.MASS_TOP) >> 2] = layout.MASS_EMPTY_TOP
  if (request.kind === 'rank') {
    for (let i = 0; i <= request.pivots.length; i++) {
      const interval = state + layout.STATE_LISTS + i * layout.INTERVAL_BYTES
      i32[(interval + layout.INTERVAL_MASS + layout.MASS_TOP) >> 2] = layout.MASS_EMPTY_TOP
    }
    return
  }
  let list = state + layout.STATE_LISTS
  for (const capacity of listCapacities(params, request)) {
    u32[(list + layout.LIST_CAPACITY) >> 2] = capacity
    list += listBytes(capacity)
  }
}

/** Capacities of a row's lists in the order of memory. */
function listCapacities(params: RowParams, request: SampleRequest): number[] {
  const capacities = [request.topCapacity]
  if (params.logprobsMode === 'raw') capacities.push(request.rawTopCapacity)
  if (request.scoreCapacity > 0) {
    for (let draw = 0; draw < numLists(params); draw++) capacities.push(request.scoreCapacity)
  }
  return capacities
}
