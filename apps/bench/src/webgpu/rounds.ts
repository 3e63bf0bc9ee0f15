/**
 * Times contenders in rounds of random order.
 *
 * @module
 */
import { type Summary, summarize } from '../harness/stats.ts'

/** Times and counts. */
export interface RoundTimes {
  /** Rounds before samples count go on for this long, ms; two at least. */
  warmUpMs: number
  /** Time of the samples of all contenders together, ms. */
  totalMs: number
  /** Fewest and most samples of a contender. */
  minSamples: number
  maxSamples: number
  /** A contender whose samples have taken this long ends with three, ms. */
  slowMs: number
}

/** What is timed. */
export interface RoundEntry {
  /** One call, from JavaScript to the tokens in JavaScript. */
  run(): Promise<unknown>
  /** The same, watched by the device's timestamps; microseconds, or `null` without them. */
  runOnGpu: (() => Promise<number | null>) | null
}

/** What was found. */
export interface RoundSummary {
  /** Of calls, microseconds. */
  wall: Summary
  /** Of compute passes, microseconds; `null` without timestamps. */
  gpu: Summary | null
}

/** What happens around samples. */
export interface RoundHooks {
  /** Runs before every sample, untimed: empties caches. */
  settle(): Promise<void>
  /** Runs after every call: a sign of life. */
  onCall(): void
}

/**
 * Times entries: each round takes one sample of every entry, in a new random order, so that drift of the machine and
 * what an entry leaves in caches meet all of them alike.
 *
 * @param entries - What to time.
 * @param times - Times and counts.
 * @param hooks - What happens around samples.
 * @returns One summary an entry.
 */
export async function timeRounds(
  entries: readonly RoundEntry[],
  times: RoundTimes,
  { settle, onCall }: RoundHooks,
): Promise<RoundSummary[]> {
  const random = seededRandom(1)
  const warmUpEnd = performance.now() + times.warmUpMs
  for (let round = 0; round < 2 || performance.now() < warmUpEnd; round++) {
    for (const { run, runOnGpu } of entries) {
      await run()
      if (round === 0) await runOnGpu?.()
      onCall()
    }
  }
  const wall: number[][] = entries.map(() => [])
  const gpu: number[][] = entries.map(() => [])
  const spentMs = entries.map(() => 0)
  const startedAt = performance.now()
  for (let round = 0; round < times.maxSamples; round++) {
    if (round >= times.minSamples && performance.now() - startedAt > times.totalMs) break
    for (const index of shuffled(entries.length, random)) {
      const { run, runOnGpu } = entries[index] as RoundEntry
      const taken = wall[index] as number[]
      if (taken.length >= 3 && (spentMs[index] as number) >= times.slowMs) continue
      await settle()
      const calledAt = performance.now()
      await run()
      const elapsedMs = performance.now() - calledAt
      taken.push(elapsedMs * 1000)
      spentMs[index] = (spentMs[index] as number) + elapsedMs
      onCall()
      if (runOnGpu === null) continue
      await settle()
      const us = await runOnGpu()
      if (us !== null) gpu[index]?.push(us)
    }
  }
  return entries.map((_, i) => ({
    wall: summarize(wall[i] as number[]),
    gpu: (gpu[i] as number[]).length === 0 ? null : summarize(gpu[i] as number[]),
  }))
}

/**
 * Uniform numbers of a seed: mulberry32.
 *
 * @param seed - Any integer.
 * @returns A generator of numbers from 0 to below 1.
 */
export function seededRandom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b_79f5) | 0
    let word = Math.imul(state ^ (state >>> 15), 1 | state)
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32
  }
}

function shuffled(length: number, random: () => number): number[] {
  const order = Array.from({ length }, (_, i) => i)
  for (let i = length - 1; i > 0; i--) {
    const other = Math.floor(random() * (i + 1))
    const kept = order[i] as number
    order[i] = order[other] as number
    order[other] = kept
  }
  return order
}
