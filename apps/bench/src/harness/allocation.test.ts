import { describe, expect, it } from 'vitest'
import { measureAllocation } from './allocation.ts'

describe('measureAllocation()', () => {
  it('sees an array that a draw allocates and drops', async () => {
    const draw = async () => new Float32Array(500_000).fill(1)
    await draw()
    const { transientBytes } = await measureAllocation(draw, 15)
    expect(transientBytes).toBeGreaterThanOrEqual(1_990_000)
    expect(transientBytes).toBeLessThan(2_200_000)
  })

  it('sees memory that draws keep', async () => {
    const kept: Uint8Array[] = []
    const { retainedBytes } = await measureAllocation(async () => {
      kept.push(new Uint8Array(100_000).fill(1))
    }, 15)
    expect(kept).toHaveLength(15)
    // The process drops a few kilobytes of its own meanwhile, which count against the growth.
    expect(retainedBytes).toBeGreaterThanOrEqual(1_400_000)
    expect(retainedBytes).toBeLessThan(2_500_000)
  })

  it('finds little in a draw that allocates nothing', async () => {
    const { transientBytes } = await measureAllocation(async () => undefined, 15)
    expect(transientBytes).toBeLessThan(50_000)
  })
})
