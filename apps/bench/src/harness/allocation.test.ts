import { describe, expect, it } from 'vitest'
import { measureAllocation } from './allocation.ts'

// The process allocates and drops up to a few hundred kilobytes of its own meanwhile. So what is measured is megabytes,
// and the bounds leave out only what is no measurement: nothing, half of it, twice as much.
describe('measureAllocation()', () => {
  it('sees an array that a draw allocates and drops', async () => {
    const draw = async () => new Float32Array(500_000).fill(1)
    await draw()
    const { transientBytes } = await measureAllocation(draw, 15)
    expect(transientBytes).toBeGreaterThan(1_300_000)
    expect(transientBytes).toBeLessThan(3_000_000)
  })

  it('sees memory that draws keep', async () => {
    const kept: Uint8Array[] = []
    const { retainedBytes } = await measureAllocation(async () => {
      kept.push(new Uint8Array(1_000_000).fill(1))
    }, 15)
    expect(kept).toHaveLength(15)
    expect(retainedBytes).toBeGreaterThan(10_000_000)
    expect(retainedBytes).toBeLessThan(22_000_000)
  })

  it('finds little in a draw that allocates nothing', async () => {
    const { transientBytes } = await measureAllocation(async () => undefined, 15)
    expect(transientBytes).toBeLessThan(200_000)
  })
})
