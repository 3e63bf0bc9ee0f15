import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { timeInterleaved } from './timer.ts'

// A clock that only the entries move, so that other work on the machine is never counted.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

function spin(ms: number): void {
  vi.advanceTimersByTime(ms)
}

const options = {
  warmUpMs: 0,
  minTimeMs: 0,
  minSamples: 4,
  maxSamples: 10,
  settle: () => undefined,
}

describe('timeInterleaved()', () => {
  it('measures how long an entry takes', async () => {
    const [short, long] = await timeInterleaved(
      [{ run: () => spin(2) }, { run: async () => spin(8) }],
      options,
    )
    expect([short?.median, short?.p10, short?.p90]).toEqual([2000, 2000, 2000])
    expect([long?.median, long?.p10, long?.p90]).toEqual([8000, 8000, 8000])
  })

  it('takes one sample of every entry in each round, the first one rotating', async () => {
    const order: string[] = []
    const entry = (name: string) => ({ run: () => order.push(name) })
    await timeInterleaved([entry('a'), entry('b'), entry('c')], options)
    // Two warm-up calls each, then rounds.
    expect(order.slice(0, 6).join('')).toBe('aabbcc')
    expect(order.slice(6).join('')).toBe('abcbcacab')
  })

  it('settles before every sample', async () => {
    const order: string[] = []
    await timeInterleaved([{ run: () => order.push('run') }], {
      ...options,
      settle: () => order.push('settle'),
    })
    expect(order.slice(2)).toEqual(new Array(3).fill(['settle', 'run']).flat())
  })

  it('stops at maxSamples where calls are quick and at three where they are very slow', async () => {
    const [quick, slow] = await timeInterleaved(
      [{ run: () => undefined }, { run: () => spin(20) }],
      {
        ...options,
        minTimeMs: 2,
        minSamples: 8,
      },
    )
    expect(quick?.count).toBe(10)
    expect(slow?.count).toBe(3)
  })
})
