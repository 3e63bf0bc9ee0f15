/**
 * The logic of one row: which passes it needs, and what it draws from their answers.
 *
 * Filters without logits: tokens in descending score order are a draw without replacement, so the first of them that
 * lies in the kept set is an exact draw from the filtered distribution. The best tokens by logit, the exact mass and
 * the best few by score decide nearly every row after one pass; where they do not, further exact passes do.
 *
 * @module
 */

import { gumbelF32 } from '../cpu/math.ts'
import { flashBitsOf } from '../cpu/typescript/noise.ts'
import { deriveRowKey, type NoiseScheme, noiseBitsFromRowKey } from '../noise.ts'
import type { RowParams } from '../params.ts'
import { findBoundary } from './boundary.ts'
import { orderedKeyOf, valueOfOrderedKey } from './ordered-key.ts'
import {
  ALL_IDS,
  type ListEntry,
  type RankPosition,
  type RankSum,
  type RowProcess,
  rankPass,
  type SampleAnswer,
  samplePass,
} from './passes.ts'

/** What a row drew. */
export interface RowOutcome {
  /** One entry per draw. */
  tokenIds: number[]
  /** Natural log-probabilities, one per draw. */
  logprobs: number[]
  /** The most likely tokens; `null` when none were asked for. */
  top: { tokenIds: number[]; logprobs: number[] } | null
}

/** Longest list by logit that a row keeps. */
const MAX_LIST = 1024
/** List by logit of rows whose kept set has no known size. */
const OPEN_LIST = 256
/** Candidates by score of rows whose kept set may reach past the list. */
const NUM_CANDIDATES = 16
/** Most candidates that one counting pass places. */
const MAX_PIVOTS = 240
/** Beyond this logit neighbouring fp32 values are more than 64 nats apart: only equal logits share the mass. */
const HUGE_LOGIT = 2 ** 30

/**
 * Draws one row by as many passes as it needs.
 *
 * @param row - Normal form of its parameters.
 * @param scheme - Noise scheme.
 * @returns Tokens and log-probabilities; `null` when every token is masked.
 */
export function* processRow(row: RowParams, scheme: NoiseScheme): RowProcess<RowOutcome | null> {
  const isRaw = row.logprobsMode === 'raw'
  const isFiltered = row.temperature > 0 && (row.topK > 0 || row.topP < 1 || row.minP > 0)
  const isListed = isFiltered && row.topK > 0 && row.topK <= MAX_LIST
  const filterList = !isFiltered ? 0 : isListed ? row.topK : row.topK > 0 ? MAX_LIST : OPEN_LIST
  const topCapacity = Math.max(filterList, isRaw ? 0 : row.logprobs)
  const answer = yield* samplePass({
    topCapacity,
    rawTopCapacity: isRaw ? Math.max(1, row.logprobs) : 0,
    scoreCapacity: !isFiltered ? 1 : isListed ? 0 : NUM_CANDIDATES,
    boundary: null,
  })
  if (answer.max === -Infinity) return null
  const winners = isFiltered
    ? yield* drawFiltered(row, answer, topCapacity, scheme)
    : drawUnfiltered(row, answer)
  // Relative to the maximum, so that nothing is lost where logits are huge.
  const { max, logMass } = isRaw ? yield* rawReference(answer) : yield* reference(answer)
  const logprobOf = (entry: ListEntry): number =>
    (isRaw ? entry.rawLogit : entry.logit) - max - logMass
  const listed = (isRaw ? answer.rawTop : answer.top).slice(0, row.logprobs)
  return {
    tokenIds: winners.map((winner) => winner.tokenId),
    logprobs: winners.map(logprobOf),
    top:
      row.logprobs > 0
        ? { tokenIds: listed.map((entry) => entry.tokenId), logprobs: listed.map(logprobOf) }
        : null,
  }
}

function drawUnfiltered(row: RowParams, answer: SampleAnswer): ListEntry[] {
  // A greedy row has one list: without noise every draw is the same.
  if (row.temperature === 0)
    return new Array<ListEntry>(row.numSamples).fill(answer.scores[0]?.[0] as ListEntry)
  return answer.scores.map((list) => list[0] as ListEntry)
}

/** What log-probabilities refer to: a logit, and the natural logarithm of the sum of e^(logit - max). */
interface MassReference {
  max: number
  logMass: number
}

function* reference({ max, logMass }: SampleAnswer): RowProcess<MassReference> {
  if (Math.abs(max) < HUGE_LOGIT) return { max, logMass: logMass - max }
  const [ties] = yield* rankPass([{ logit: max, tokenId: ALL_IDS }], max)
  return { max, logMass: Math.log((ties as RankSum).count) }
}

/** The same of the raw logits. No pass counts those, so ties beyond a list's length do not count. */
function* rawReference({ rawTop, rawLogMass }: SampleAnswer): RowProcess<MassReference> {
  const max = rawTop[0]?.rawLogit ?? 0
  if (Math.abs(max) < HUGE_LOGIT) return { max: rawLogMass, logMass: 0 }
  const listed = yield* samplePass({
    ...{ topCapacity: 0, rawTopCapacity: MAX_LIST, scoreCapacity: 0 },
    boundary: null,
  })
  const numTies = listed.rawTop.filter(({ rawLogit }) => rawLogit === max).length
  return { max, logMass: Math.log(Math.max(1, numTies)) }
}

function* drawFiltered(
  row: RowParams,
  answer: SampleAnswer,
  topCapacity: number,
  scheme: NoiseScheme,
): RowProcess<ListEntry[]> {
  const { top, max } = answer
  const kept = { threshold: minPThreshold(row, max), limit: row.topK > 0 ? row.topK : Infinity }
  const list = measureList(top, max)
  let numKept = 0
  while (
    numKept < top.length &&
    numKept < kept.limit &&
    (top[numKept] as ListEntry).logit >= kept.threshold
  ) {
    numKept++
  }
  if (top.length < topCapacity || numKept < top.length || numKept === kept.limit) {
    if (row.topP < 1) numKept = countUnderTopP(list, numKept, list[numKept] as number, row.topP)
    return drawFromList(row, top.slice(0, numKept), scheme)
  }
  // The list ends inside what minP and topK keep. Its end is decided by topP alone if the total is known.
  const isOpen = kept.threshold === -Infinity && kept.limit === Infinity
  const total = Math.exp(answer.logMass - max)
  if (row.topP < 1 && isOpen && (list[top.length] as number) / total >= row.topP) {
    return drawFromList(
      row,
      top.slice(0, countUnderTopP(list, top.length, total, row.topP)),
      scheme,
    )
  }
  if (row.topP < 1) {
    // The total lies between the list's mass and all mass; where both cut alike inside the list, so does it.
    const fewest = countUnderTopP(list, top.length, list[top.length] as number, row.topP)
    const most = countUnderTopP(list, top.length, total, row.topP)
    if (fewest === most && most < top.length) return drawFromList(row, top.slice(0, most), scheme)
  }
  // All of the list is kept if its last token is, even where the total is no more than the list itself.
  const lowestTotal = isOpen ? total : (list[top.length] as number)
  const isListKept = row.topP === 1 || (list[top.length - 1] as number) / lowestTotal < row.topP
  const listedIds = new Set(top.map((entry) => entry.tokenId))
  const certify = (entry: ListEntry): boolean | undefined => {
    if (entry.logit < kept.threshold) return false
    if (isListKept && listedIds.has(entry.tokenId)) return true
    return row.topP === 1 && kept.limit === Infinity ? true : undefined
  }
  const winners = answer.scores.map((scores) => firstKept(scores, certify))
  if (winners.includes(null)) yield* drawByFurtherPasses(row, answer, kept, winners)
  return winners as ListEntry[]
}

/** First candidate in score order that is certainly kept; `null` when an undecided one comes before it. */
function firstKept(
  scores: readonly ListEntry[],
  certify: (entry: ListEntry) => boolean | undefined,
): ListEntry | null {
  for (const entry of scores) {
    const isKept = certify(entry)
    if (isKept === true) return entry
    if (isKept === undefined) return null
  }
  return null
}

/**
 * Places the undecided draws' candidates by a counting pass; where no candidate is kept, finds the kept set's end and
 * draws once more inside it. Fills the missing entries of `winners`.
 */
function* drawByFurtherPasses(
  row: RowParams,
  answer: SampleAnswer,
  kept: { threshold: number; limit: number },
  winners: (ListEntry | null)[],
): RowProcess<void> {
  const { max } = answer
  const open = winners.flatMap((winner, draw) => (winner === null ? [draw] : []))
  const perDraw = Math.max(1, Math.min(NUM_CANDIDATES, Math.floor(MAX_PIVOTS / open.length)))
  const candidates = new Map<number, ListEntry>()
  for (const draw of open.slice(0, MAX_PIVOTS)) {
    for (const entry of (answer.scores[draw] as ListEntry[]).slice(0, perDraw)) {
      candidates.set(entry.tokenId, entry)
    }
  }
  const thresholdPivot: RankPosition = {
    logit: Math.max(kept.threshold, -MAX_F32),
    tokenId: ALL_IDS,
  }
  const pivots: RankPosition[] = [...candidates.values(), thresholdPivot].sort(
    (a, b) => b.logit - a.logit || a.tokenId - b.tokenId,
  )
  const sums = yield* rankPass(pivots, max)
  const above = sums[pivots.indexOf(thresholdPivot)] as RankSum
  let total = above.mass
  if (row.topP < 1 && above.count > kept.limit) {
    total = (yield* findBoundary(
      (before, logit) => before.count < kept.limit && logit >= kept.threshold,
      max,
      Math.max(kept.threshold, -MAX_F32),
    )).mass
  }
  const isKept = (before: RankSum, logit: number): boolean =>
    logit >= kept.threshold &&
    before.count < kept.limit &&
    (row.topP === 1 || before.count === 0 || before.mass / total < row.topP)

  const placed = new Map<number, boolean>()
  pivots.forEach((pivot, i) => {
    const sum = sums[i] as RankSum
    const before = { count: sum.count - 1, mass: sum.mass - Math.exp(pivot.logit - max) }
    if (pivot !== thresholdPivot) placed.set(pivot.tokenId, isKept(before, pivot.logit))
  })
  for (const draw of open) {
    winners[draw] = firstKept(answer.scores[draw] as ListEntry[], (entry) =>
      entry.logit < kept.threshold ? false : placed.get(entry.tokenId),
    )
  }
  if (!winners.includes(null)) return
  const { last } = yield* findBoundary(isKept, max, Math.max(kept.threshold, -MAX_F32))
  const restricted = yield* samplePass({
    topCapacity: 0,
    rawTopCapacity: 0,
    scoreCapacity: 1,
    boundary: last,
  })
  for (const draw of open) winners[draw] ??= restricted.scores[draw]?.[0] as ListEntry
}

const MAX_F32 = 3.4028234663852886e38

/** Lowest fp32 logit that minP keeps; the maximum itself always stays. */
function minPThreshold(row: RowParams, max: number): number {
  if (row.minP === 0) return -Infinity
  const threshold = max + Math.log(row.minP)
  const rounded = Math.fround(threshold)
  const up = rounded < threshold ? valueOfOrderedKey(orderedKeyOf(rounded) + 1) : rounded
  return Math.min(up, max)
}

/** Mass before each entry and, last, of the whole list; unit e^max. */
function measureList(list: readonly ListEntry[], max: number): number[] {
  const sums = [0]
  for (const entry of list) sums.push((sums.at(-1) as number) + Math.exp(entry.logit - max))
  return sums
}

function countUnderTopP(
  sums: readonly number[],
  limit: number,
  total: number,
  topP: number,
): number {
  let count = 1
  while (count < limit && (sums[count] as number) / total < topP) count++
  return count
}

/** Gumbel-max over a kept set that is listed in full. */
function drawFromList(
  row: RowParams,
  kept: readonly ListEntry[],
  scheme: NoiseScheme,
): ListEntry[] {
  const winners: ListEntry[] = []
  for (let draw = 0; draw < row.numSamples; draw++) {
    const rowKey = deriveRowKey({ ...row, drawIndex: row.drawIndex + draw }, 0, scheme)
    let best: ListEntry | null = null
    let bestScore = -Infinity
    for (const entry of kept) {
      const bits =
        scheme === 'flash'
          ? flashBitsOf(entry.tokenId, rowKey[0], rowKey[1])
          : noiseBitsFromRowKey(rowKey, entry.tokenId, scheme)
      const noise = gumbelF32(bits, scheme)
      const score = Math.fround(entry.logit + noise)
      const isBetter =
        best === null || score > bestScore || (score === bestScore && entry.tokenId < best.tokenId)
      if (isBetter) {
        best = entry
        bestScore = score
      }
    }
    winners.push(best as ListEntry)
  }
  return winners
}
