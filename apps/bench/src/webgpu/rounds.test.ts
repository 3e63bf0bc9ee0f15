import { describe, expect, it } from 'vitest'
import { timeRounds } from './rounds.ts'

const times = { warmUpMs: 0, totalMs: 0, minSamples: 40, maxSamples: 50, slowMs: Infinity }

describe('timeRounds()', () => {
  it('takes one sample of every entry a round, in orders that differ, after it has settled', async () => {
    const log: string[] = []
    const entry = (name: string): { run: () => Promise<void>; runOnGpu: null } => ({
      run: async () => void log.push(name),
      runOnGpu: null,
    })
    let calls = 0
    const summaries = await timeRounds([entry('a'), entry('b'), entry('c')], times, {
      settle: async () => void log.push('settle'),
      onCall: () => calls++,
    })
    expect(summaries.map(({ wall, gpu }) => [wall.count, gpu])).toEqual([
      [40, null],
      [40, null],
      [40, null],
    ])
    // Two rounds of warm-up come first, without settling.
    expect(log.slice(0, 6)).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
    const timed = log.slice(6)
    expect(timed.filter((_, i) => i % 2 === 0).every((name) => name === 'settle')).toBe(true)
    const order = timed.filter((_, i) => i % 2 === 1)
    const orders = Array.from({ length: 40 }, (_, i) => order.slice(3 * i, 3 * i + 3).join(''))
    expect(orders.every((round) => [...round].sort().join('') === 'abc')).toBe(true)
    expect(new Set(orders).size).toBe(6)
    expect(calls).toBe(3 * 42)
  })

  it('ends a slow entry with three samples', async () => {
    // Far apart, so that a fast call that waits for a processor is not slow.
    const slow = { run: () => new Promise((resolve) => setTimeout(resolve, 100)), runOnGpu: null }
    const fast = { run: () => Promise.resolve(), runOnGpu: null }
    const summaries = await timeRounds(
      [slow, fast],
      { ...times, slowMs: 250 },
      {
        settle: () => Promise.resolve(),
        onCall: () => undefined,
      },
    )
    expect(summaries.map(({ wall }) => wall.count)).toEqual([3, 40])
  })

  it('keeps times of the GPU apart', async () => {
    const entry = { run: () => Promise.resolve(), runOnGpu: () => Promise.resolve(1e9) }
    const [summary] = await timeRounds([entry], times, {
      settle: () => Promise.resolve(),
      onCall: () => undefined,
    })
    expect(summary!.gpu).toEqual({ median: 1e9, p10: 1e9, p90: 1e9, count: 40 })
    expect(summary!.wall.median).toBeLessThan(1e9)
  })
})
