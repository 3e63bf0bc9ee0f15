import { describe, expect, it } from 'vitest'
import { openReadCeiling } from './read-ceiling.ts'

describe('openReadCeiling()', () => {
  it('reads the buffer by every method on one and two threads', async () => {
    const meter = openReadCeiling({ byteLength: 8 * 2 ** 20, maxThreads: 2 })
    const rates = [...meter.measure(1, 40), ...meter.measure(2, 40)]
    // The best of three, so that a busy machine does not count.
    const repeated = [rates, meter.measure(1, 40), meter.measure(1, 40)].flat()
    const bestOf = (wanted: string): number =>
      Math.max(
        ...repeated
          .filter(({ method, threads }) => method === wanted && threads === 1)
          .map(({ gigabytesPerSecond }) => gigabytesPerSecond),
      )
    await meter.close()
    expect(rates).toHaveLength(8)
    for (const { gigabytesPerSecond, samples } of rates) {
      expect(samples).toBeGreaterThanOrEqual(3)
      // 8 MB in a cache: a rate outside of these bounds means that the bytes were not read, or not counted. A thread that
      // waits for a processor takes a tenth of a second at most.
      expect(gigabytesPerSecond).toBeGreaterThan(0.005)
      expect(gigabytesPerSecond).toBeLessThan(2000)
    }
    // Six times as fast.
    expect(bestOf('wasm-forward')).toBeGreaterThan(bestOf('float64-array'))
  })
})

describe('ReadCeiling.roundBytes()', () => {
  it('counts whole chunks of 2 MiB, also beyond the end of the buffer', async () => {
    const meter = openReadCeiling({ byteLength: 8 * 2 ** 20, maxThreads: 1 })
    expect(meter.roundBytes(1)).toBe(2 ** 21)
    expect(meter.roundBytes(5 * 2 ** 20)).toBe(6 * 2 ** 20)
    expect(meter.roundBytes(20 * 2 ** 20)).toBe(20 * 2 ** 20)
    // The best of several, so that a busy machine does not count.
    const timeOf = (byteLength: number): number =>
      Math.min(
        ...Array.from({ length: 15 }, () => {
          const startedAt = performance.now()
          meter.read('float64-array', 1, byteLength)
          return performance.now() - startedAt
        }),
      )
    // Forty times the bytes; a read that stopped at the end of the buffer would take four times as long.
    expect(timeOf(80 * 2 ** 20) / timeOf(2 ** 21)).toBeGreaterThan(10)
    await meter.close()
  })
})
