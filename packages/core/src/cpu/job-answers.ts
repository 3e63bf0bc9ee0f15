/**
 * What the threads found for a row, folded into the answer that its process waits for.
 *
 * @module
 */
import { ExactMass } from './exact-mass.ts'
import { listBytes, numLists, type RowTask } from './job-rows.ts'
import * as layout from './layout.ts'
import type { ListEntry, PassAnswer, RankAnswer, RankRequest, SampleAnswer } from './passes.ts'
import type { MemoryViews } from './typescript/views.ts'

/**
 * Makes the empty answers of a pass, for `Job.read()` to fill.
 *
 * @param tasks - Rows of the pass.
 * @returns One per task.
 */
export function emptyAnswers(tasks: readonly RowTask[]): PassAnswer[] {
  return tasks.map(emptyAnswer)
}

function emptyAnswer(task: RowTask): PassAnswer {
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

function emptyRankAnswer(request: RankRequest): RankAnswer {
  return {
    kind: 'rank',
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
export function readIntervals(views: MemoryViews, state: number, answer: RankAnswer): void {
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
  answer: SampleAnswer,
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
