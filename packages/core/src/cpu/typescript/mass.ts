import { addToBins, type MassTerm, splitExp, unitsOf } from '../exact-mass.ts'
import { MASS_BINS, MASS_NUM_BINS, MASS_TOP } from '../layout.ts'
import type { MemoryViews } from './views.ts'

/** Terms that are added in float64, exactly, before they join the 64-bit bins: 2^12 at most. */
const BLOCK = 64

const term: MassTerm = { bin: 0, value: 0 }
const bins = new Int32Array(BLOCK)
const values = new Float64Array(BLOCK)

/**
 * Adds the exponentials of logits to an exact sum in linear memory.
 *
 * @param views - Memory.
 * @param mass - Byte address of the sum.
 * @param at - f32 index of the first logit.
 * @param length - Logits; -Infinity adds nothing.
 */
export function massAddRange(views: MemoryViews, mass: number, at: number, length: number): void {
  for (let start = 0; start < length; start += BLOCK) {
    const end = Math.min(start + BLOCK, length)
    let count = 0
    let top = -Infinity
    for (let i = start; i < end; i++) {
      if (!splitExp(views.f32[at + i] as number, term)) continue
      bins[count] = term.bin
      values[count++] = term.value
      top = Math.max(top, term.bin)
    }
    // Terms below these bins cannot count in the end, as the highest bin of all is at least this block's.
    for (let bin = top; count > 0 && bin > top - MASS_NUM_BINS; bin--) {
      let sum = 0
      for (let i = 0; i < count; i++) if (bins[i] === bin) sum += values[i] as number
      if (sum > 0) massAddToBin(views, mass, bin, sum)
    }
  }
}

/**
 * Adds e^x to an exact sum in linear memory.
 *
 * @param views - Memory.
 * @param mass - Byte address of the sum.
 * @param x - fp32 logit.
 */
export function massAdd(views: MemoryViews, mass: number, x: number): void {
  if (splitExp(x, term)) massAddToBin(views, mass, term.bin, term.value)
}

function massAddToBin(views: MemoryViews, mass: number, bin: number, value: number): void {
  const word = (mass + MASS_TOP) >> 2
  const top = views.i32[word] as number
  views.i32[word] = addToBins(top, views.i64, (mass + MASS_BINS) >> 3, bin, unitsOf(value))
}
