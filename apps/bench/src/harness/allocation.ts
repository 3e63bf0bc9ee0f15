/**
 * Measures what a draw allocates beside its inputs.
 *
 * @module
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** What draws allocated. */
export interface Allocation {
  /** Median over draws: JavaScript objects and array buffers that one draw allocated, bytes. */
  transientBytes: number
  /** Growth of memory in use over all draws, after a collection, bytes; >= 0. */
  retainedBytes: number
  /** Growth of the resident set over all draws, bytes; may be negative. For orientation: pages are counted, and others. */
  residentBytes: number
}

/**
 * Runs draws and watches the memory of the process.
 *
 * @param draw - One draw; must have run before, so that what it keeps exists already.
 * @param draws - How many.
 * @returns What they allocated.
 */
export async function measureAllocation(
  draw: () => Promise<unknown>,
  draws: number,
): Promise<Allocation> {
  const collect = garbageCollector()
  await collect()
  const before = process.memoryUsage()
  const growths: number[] = []
  for (let i = 0; i < draws; i++) {
    const start = inUse()
    await draw()
    // A collection in the middle of a draw would hide what it allocated: such a draw is left out.
    const growth = inUse() - start
    if (growth >= 0) growths.push(growth)
  }
  await collect()
  const after = process.memoryUsage()
  growths.sort((a, b) => a - b)
  return {
    transientBytes: growths[growths.length >> 1] ?? 0,
    retainedBytes: Math.max(0, after.heapUsed + after.external - before.heapUsed - before.external),
    residentBytes: after.rss - before.rss,
  }
}

/** Bytes of objects, array buffers included. */
function inUse(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Array buffers that one collection finds dead are freed beside it, and counted as free by the next. */
function garbageCollector(): () => Promise<void> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  return async () => {
    for (let i = 0; i < 3; i++) {
      collect()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}
