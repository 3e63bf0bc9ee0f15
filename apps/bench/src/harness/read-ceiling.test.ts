import { describe, expect, it } from 'vitest'
import { openReadCeiling } from './read-ceiling.ts'

describe('openReadCeiling()', () => {
  it('reads the buffer by every method on one and two threads', async () => {
    const meter = openReadCeiling({ byteLength: 8 * 2 ** 20, maxThreads: 2 })
    const rates = [...meter.measure(1, 5), ...meter.measure(2, 5)]
    await meter.close()
    expect(rates).toHaveLength(8)
    for (const { gigabytesPerSecond, samples } of rates) {
      expect(samples).toBeGreaterThanOrEqual(3)
      // 8 MB in a cache: a rate outside of these bounds means that the bytes were not read, or not counted.
      expect(gigabytesPerSecond).toBeGreaterThan(0.1)
      expect(gigabytesPerSecond).toBeLessThan(2000)
    }
    const simd = rates.find(({ method, threads }) => method === 'wasm-forward' && threads === 1)
    const scalar = rates.find(({ method, threads }) => method === 'float64-array' && threads === 1)
    expect(simd?.gigabytesPerSecond).toBeGreaterThan(scalar?.gigabytesPerSecond ?? Infinity)
  })
})
