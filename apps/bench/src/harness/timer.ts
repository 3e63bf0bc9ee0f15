/**
 * Times several entries against each other: interleaved, with a cold cache, after a warm-up by time.
 *
 * @module
 */
import { type Summary, summarize } from './stats.ts'

/** Something to time. */
export interface TimedEntry {
  /** Does the work once. */
  run(): Promise<unknown> | unknown
}

/** Options of {@link timeInterleaved}. */
export interface TimerOptions {
  /** Time to spend on each entry before samples count, ms; two calls at least. */
  warmUpMs: number
  /** Time to spend on the samples of each entry, ms. */
  minTimeMs: number
  /** Fewest samples of an entry; one that takes ten times `minTimeMs` may end with three. */
  minSamples: number
  /** Most samples of an entry. */
  maxSamples: number
  /** Runs before every sample, untimed: empties caches and lets threads of other entries fall asleep. */
  settle(): void
  /** Told after every call, for progress. */
  onCall?: (() => void) | undefined
}

/**
 * Times entries in rounds: each round takes one sample of every entry that needs more, in an order that rotates, so
 * that drift of the machine meets all of them alike.
 *
 * @param entries - What to time.
 * @param options - Times and counts.
 * @returns One summary per entry, microseconds.
 */
export async function timeInterleaved(
  entries: readonly TimedEntry[],
  options: TimerOptions,
): Promise<Summary[]> {
  for (const entry of entries) await warmUp(entry, options)
  const samples: number[][] = entries.map(() => [])
  const spentMs = entries.map(() => 0)
  for (let round = 0; ; round++) {
    let isDone = true
    for (let turn = 0; turn < entries.length; turn++) {
      const index = (turn + round) % entries.length
      const taken = samples[index] as number[]
      if (hasEnough(taken.length, spentMs[index] as number, options)) continue
      isDone = false
      options.settle()
      const elapsedMs = await timeOnce(entries[index] as TimedEntry)
      taken.push(elapsedMs * 1000)
      spentMs[index] = (spentMs[index] as number) + elapsedMs
      options.onCall?.()
    }
    if (isDone) return samples.map(summarize)
  }
}

async function warmUp(entry: TimedEntry, { warmUpMs, onCall }: TimerOptions): Promise<void> {
  let spentMs = 0
  for (let call = 0; call < 2 || spentMs < warmUpMs; call++) {
    spentMs += await timeOnce(entry)
    onCall?.()
  }
}

function hasEnough(count: number, spentMs: number, options: TimerOptions): boolean {
  const { minTimeMs, minSamples, maxSamples } = options
  if (count >= maxSamples) return true
  if (count >= minSamples && spentMs >= minTimeMs) return true
  return count >= 3 && spentMs >= 10 * minTimeMs
}

async function timeOnce(entry: TimedEntry): Promise<number> {
  const startedAt = performance.now()
  const pending = entry.run()
  // A result that is there already needs no turn of the event loop.
  if (pending instanceof Promise) await pending
  return performance.now() - startedAt
}
