/**
 * What the threads found for a row, folded into the answer that its process waits for.
 *
 * @module
 */

import type { ListEntry, PassAnswer, RankRequest, RankSum, SampleAnswer } from '../rows/passes.ts'
import { ExactMass } from './exact-mass.ts'
import { listBytes, numLists, type RowTask } from './job-rows.ts'
import * as layout from './layout.ts'
import type { MemoryViews } from './typescript/views.ts'

/** Answer to a sample request while threads and engines still add to it. */
export interface ExactSampleAnswer extends Omit<SampleAnswer, 'logMass' | 'rawLogMass'> {
  /** Mass of the transformed logits. */
  mass: ExactMass
  /** Mass of the raw logits, for `raw` rows. */
  rawMass: ExactMass
}

/** Answer to a rank request: interval i holds the tokens behind pivot i - 1 and not behind pivot i. */
export interface ExactRankAnswer {
  kind: 'rank'
  /** Unit of mass. */
  max: number
  /** One more than pivots. */
  intervals: { count: number; mass: ExactMass }[]
}

/** An answer while threads and engines still add to it: its masses are exact in any order. */
export type ExactAnswer = ExactSampleAnswer | ExactRankAnswer

/**
 * Makes the empty answers of a pass, for `Job.read()` to fill.
 *
 * @param tasks - Rows of the pass.
 * @returns One per task.
 */
export function emptyAnswers(tasks: readonly RowTask[]): ExactAnswer[] {
  return tasks.map(emptyAnswer)
}

/**
 * Rounds an answer's masses once all of them are in.
 *
 * @param answer - Nothing more is added to it.
 * @returns What the row's process waits for.
 */
export function finishAnswer(answer: ExactAnswer): PassAnswer {
  if (answer.kind === 'sample') {
    const { mass, rawMass, ...rest } = answer
    return { ...rest, logMass: mass.logSumExp(), rawLogMass: rawMass.logSumExp() }
  }
  const total = new ExactMass()
  let count = 0
  const sums = answer.intervals.slice(0, -1).map((interval): RankSum => {
    count += interval.count
    total.merge(interval.mass.top, interval.mass.bins)
    return { count, mass: Math.exp(total.logSumExp() - answer.max) }
  })
  return { kind: 'rank', sums }
}

function emptyAnswer(task: RowTask): ExactAnswer {
  if (task.request.kind === 'rank') return emptyRankAnswer(task.request)
  const draws = task.request.scoreCapacity === 0 ? 0 : numLists(task.params)
  return {
    kind: 'sample',
    max: -Infinity,
    mass: new ExactMass(),
    rawMass: new ExactMass(),
    top: [],
    rawTop: [],
    scores: Array.from({ length: draws }, () => []),
  }
}

function emptyRankAnswer(request: RankRequest): ExactRankAnswer {
  return {
    kind: 'rank',
    max: request.max,
    intervals: Array.from({ length: request.pivots.length + 1 }, () => ({
      count: 0,
      mass: new ExactMass(),
    })),
  }
}

function readMass(views: MemoryViews, address: number, into: ExactMass): void {
  const bins = (address + layout.MASS_BINS) >> 3
  const top = views.i32[(address + layout.MASS_TOP) >> 2] as number
  into.merge(top, views.i64.subarray(bins, bins + layout.MASS_NUM_BINS))
}

/** Adds one thread's intervals to an answer. */
export function readIntervals(views: MemoryViews, state: number, answer: ExactRankAnswer): void {
  answer.intervals.forEach((interval, i) => {
    const address = state + layout.STATE_LISTS + i * layout.INTERVAL_BYTES
    interval.count += views.f64[(address + layout.INTERVAL_COUNT) >> 3] as number
    readMass(views, address + layout.INTERVAL_MASS, interval.mass)
  })
}

/** Adds one thread's maximum, masses and lists to an answer. */
export function readLists(
  views: MemoryViews,
  state: number,
  answer: ExactSampleAnswer,
  isRaw: boolean,
): void {
  answer.max = Math.max(answer.max, views.f32[(state + layout.STATE_MAX) >> 2] as number)
  readMass(views, state + layout.STATE_MASS, answer.mass)
  readMass(views, state + layout.STATE_RAW_MASS, answer.rawMass)
  let list = state + layout.STATE_LISTS
  for (const entries of isRaw
    ? [answer.top, answer.rawTop, ...answer.scores]
    : [answer.top, ...answer.scores]) {
    list = readList(views, list, entries)
  }
}

/** Merges a list in memory into entries, best first; returns the address behind the list. */
function readList(views: MemoryViews, list: number, entries: ListEntry[]): number {
  const { f32, u32 } = views
  const count = u32[(list + layout.LIST_COUNT) >> 2] as number
  const capacity = u32[(list + layout.LIST_CAPACITY) >> 2] as number
  for (let i = 0; i < count; i++) {
    const word = (list + layout.LIST_ENTRIES + i * layout.ENTRY_BYTES) >> 2
    entries.push({
      key: f32[word] as number,
      tokenId: u32[word + 1] as number,
      logit: f32[word + 2] as number,
      rawLogit: f32[word + 3] as number,
    })
  }
  entries.sort((a, b) => b.key - a.key || a.tokenId - b.tokenId)
  entries.length = Math.min(entries.length, capacity)
  return list + listBytes(capacity)
}
