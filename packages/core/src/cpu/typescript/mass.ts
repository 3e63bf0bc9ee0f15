import { MASS_BINS, MASS_NUM_BINS, MASS_TOP } from '../layout.ts'
import { expMantissaF32, roundHalfEven } from '../math.ts'
import type { MemoryViews } from './views.ts'

const LOG2_E = 1.4426950408889634
const LN2 = 0.6931471805599453
const fround = Math.fround

/**
 * Adds e^x to an exact sum in linear memory; the twin of `ExactMass.add`.
 *
 * @param views - Memory.
 * @param mass - Byte address of the sum.
 * @param x - fp32 logit; -Infinity, and values whose power of two does not fit an i32, add nothing.
 */
export function massAdd(views: MemoryViews, mass: number, x: number): void {
  const n = roundHalfEven(x * LOG2_E)
  if (!(n > -2147483648 && n < 2147483647)) return
  const bins = (mass + MASS_BINS) >> 3
  const bin = n >> 2
  const top = views.i32[(mass + MASS_TOP) >> 2] as number
  if (bin > top) {
    const first = Math.max(top + 1, bin - MASS_NUM_BINS + 1)
    for (let cleared = first; cleared <= bin; cleared++) {
      views.f64[bins + (cleared & (MASS_NUM_BINS - 1))] = 0
    }
    views.i32[(mass + MASS_TOP) >> 2] = bin
  } else if (bin <= top - MASS_NUM_BINS) {
    return
  }
  const slot = bins + (bin & (MASS_NUM_BINS - 1))
  const value = expMantissaF32(fround(x - n * LN2)) * (1 << (n & 3))
  views.f64[slot] = (views.f64[slot] as number) + value
}
