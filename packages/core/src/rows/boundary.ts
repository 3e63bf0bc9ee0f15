/**
 * Exact boundary of a kept set without its logits: a search by counting passes.
 *
 * Every filter keeps a prefix of the rank order, so a kept set is its last token. Passes that count tokens and mass
 * between 255 pivots narrow that token down: at most four passes for the logit, three for the id among equal logits.
 *
 * @module
 */

import { MAX_VOCAB_SIZE } from '../lm-head.ts'
import { orderedKeyOf, valueOfOrderedKey } from './ordered-key.ts'
import { ALL_IDS, type RankPosition, type RankSum, type RowProcess, rankPass } from './passes.ts'

/** A kept set. */
export interface KeptSet extends RankSum {
  /** Its last token in rank order. */
  last: RankPosition
}

const NUM_PIVOTS = 255

/**
 * Finds the last token that a filter keeps.
 *
 * @param isKept - Whether a token with this much before it stays; true for the first token, and once false, false for
 *   all that rank later.
 * @param max - Highest transformed logit.
 * @param lowest - No token with a logit below this is kept.
 * @returns The kept set.
 */
export function* findBoundary(
  isKept: (before: RankSum, logit: number) => boolean,
  max: number,
  lowest: number,
): RowProcess<KeptSet> {
  let kept = orderedKeyOf(max)
  let notKept = orderedKeyOf(lowest) - 1
  let before: RankSum = { count: 0, mass: 0 }
  while (kept - notKept > 1) {
    const keys = spread(notKept, kept)
    // Pivot of key q: everything with a key above q, so its logit is that of q + 1 and it stands behind all ids.
    const pivots = keys.map((key) => ({ logit: valueOfOrderedKey(key + 1), tokenId: ALL_IDS }))
    const sums = yield* rankPass(pivots, max)
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] as number
      const sum = sums[i] as RankSum
      if (isKept(sum, valueOfOrderedKey(key))) {
        kept = key
        before = sum
      } else {
        notKept = key
        break
      }
    }
  }
  return yield* cutTies(isKept, valueOfOrderedKey(kept), before, max)
}

/** Among tokens of one logit the lowest ids stay: finds the last of them. */
function* cutTies(
  isKept: (before: RankSum, logit: number) => boolean,
  logit: number,
  before: RankSum,
  max: number,
): RowProcess<KeptSet> {
  const weight = Math.exp(logit - max)
  const [ties] = yield* rankPass([{ logit, tokenId: ALL_IDS }], max)
  const numTies = (ties as RankSum).count - before.count
  let numKept = 1
  while (
    numKept < numTies &&
    isKept({ count: before.count + numKept, mass: before.mass + numKept * weight }, logit)
  ) {
    numKept++
  }
  const sum = { count: before.count + numKept, mass: before.mass + numKept * weight }
  if (numKept === numTies) return { last: { logit, tokenId: ALL_IDS }, ...sum }
  let enough = MAX_VOCAB_SIZE
  let tooFew = -1
  while (enough - tooFew > 1) {
    // Spread counts down from the upper end; ids are searched upwards.
    const ids = spread(tooFew, enough).reverse()
    const pivots = ids.map((tokenId) => ({ logit, tokenId }))
    const sums = yield* rankPass(pivots, max)
    for (let i = 0; i < ids.length; i++) {
      if ((sums[i] as RankSum).count >= sum.count) {
        enough = ids[i] as number
        break
      }
      tooFew = ids[i] as number
    }
  }
  return { last: { logit, tokenId: enough }, ...sum }
}

/** Up to NUM_PIVOTS integers strictly between two others, evenly spread, descending. */
function spread(low: number, high: number): number[] {
  const gaps = Math.min(NUM_PIVOTS + 1, high - low)
  const values: number[] = []
  for (let i = gaps - 1; i > 0; i--) values.push(low + Math.floor(((high - low) * i) / gaps))
  return values
}
