/**
 * Exact sums of exponentials: the same bits in any order and any split.
 *
 * e^x is split into p * 2^n with p in fp32, and p * 2^(n mod 16) is added to the bin floor(n / 16). Terms of a bin are
 * multiples of 2^-24 below 2^17, so as 64-bit integers 2^22 of them add up without rounding or overflow; the sum does
 * not depend on order, tile, thread or shard. Four bins are kept: a term is dropped if it lies more than 48 powers of
 * two below the largest, by a rule that depends on the largest term alone.
 *
 * @module
 */
import { MASS_EMPTY_TOP, MASS_NUM_BINS } from './layout.ts'

const fround = Math.fround
const LOG2_E = 1.4426950408889634
const LN2 = 0.6931471805599453
const EXP_C6 = fround(1 / 720)
const EXP_C5 = fround(1 / 120)
const EXP_C4 = fround(1 / 24)
const EXP_C3 = fround(1 / 6)
const UNITS = 2 ** 24

/** Powers of two that share a bin. */
export const BIN_EXPONENTS = 16

/** Mantissa of e^x with x = n * ln 2 + r: e^r in fp32, between 0.7 and 1.5. */
export function expMantissaF32(r: number): number {
  let p = fround(fround(EXP_C6 * r) + EXP_C5)
  p = fround(fround(p * r) + EXP_C4)
  p = fround(fround(p * r) + EXP_C3)
  p = fround(fround(p * r) + 0.5)
  p = fround(fround(p * r) + 1)
  return fround(fround(p * r) + 1)
}

/** Rounds to the nearest integer, halves to even, as the WebAssembly instruction does. */
export function roundHalfEven(x: number): number {
  const MAGIC = 6755399441055744
  return Math.abs(x) < 4503599627370496 ? x + MAGIC - MAGIC : x
}

/** One term of a sum. */
export interface MassTerm {
  /** Bin that the term belongs to. */
  bin: number
  /** Its value in the bin: a multiple of 2^-24 below 2^17. */
  value: number
}

/**
 * Splits e^x.
 *
 * @param x - fp32 logit.
 * @param term - Receives bin and value.
 * @returns Whether there is a term: -Infinity, and values whose power of two does not fit an i32, have none.
 */
export function splitExp(x: number, term: MassTerm): boolean {
  const n = roundHalfEven(x * LOG2_E)
  if (!(n > -2147483648 && n < 2147483647)) return false
  term.bin = n >> 4
  term.value = expMantissaF32(fround(x - n * LN2)) * (1 << (n & (BIN_EXPONENTS - 1)))
  return true
}

/**
 * Adds to a ring of bins in place.
 *
 * @param top - Highest bin so far.
 * @param bins - The ring, in units of 2^-24; bin b is at `offset + b mod 4`.
 * @param offset - Index of the ring.
 * @param bin - Bin to add to.
 * @param units - What to add, in units of 2^-24.
 * @returns The highest bin now.
 */
export function addToBins(
  top: number,
  bins: BigInt64Array,
  offset: number,
  bin: number,
  units: bigint,
): number {
  if (bin <= top - MASS_NUM_BINS) return top
  for (let cleared = Math.max(top + 1, bin - MASS_NUM_BINS + 1); cleared <= bin; cleared++) {
    bins[offset + (cleared & (MASS_NUM_BINS - 1))] = 0n
  }
  const slot = offset + (bin & (MASS_NUM_BINS - 1))
  bins[slot] = (bins[slot] as bigint) + units
  return Math.max(top, bin)
}

/**
 * Converts a value of a bin to its units.
 *
 * @param value - A multiple of 2^-24 below 2^29.
 * @returns The value times 2^24.
 */
export function unitsOf(value: number): bigint {
  return BigInt(value * UNITS)
}

/** Exact sum of exponentials. */
export class ExactMass {
  /** Highest bin index so far. */
  top: number = MASS_EMPTY_TOP
  /** Ring of bins in units of 2^-24: bin b is at `b mod 4`. */
  readonly bins: BigInt64Array = new BigInt64Array(MASS_NUM_BINS)

  /**
   * Adds `e^x`.
   *
   * @param x - fp32 logit; -Infinity, and values whose power of two does not fit an i32, add nothing.
   */
  add(x: number): void {
    const term: MassTerm = { bin: 0, value: 0 }
    if (!splitExp(x, term)) return
    this.top = addToBins(this.top, this.bins, 0, term.bin, unitsOf(term.value))
  }

  /**
   * Adds another sum, exactly.
   *
   * @param top - Highest bin of the other sum.
   * @param bins - Its ring.
   */
  merge(top: number, bins: BigInt64Array): void {
    if (top === MASS_EMPTY_TOP) return
    for (let bin = top - MASS_NUM_BINS + 1; bin <= top; bin++) {
      const units = bins[bin & (MASS_NUM_BINS - 1)] as bigint
      if (units !== 0n) this.top = addToBins(this.top, this.bins, 0, bin, units)
    }
  }

  /**
   * Natural logarithm of the sum.
   *
   * @returns Nats, float64; -Infinity when empty.
   */
  logSumExp(): number {
    if (this.top === MASS_EMPTY_TOP) return -Infinity
    let sum = 0
    for (let bin = this.top - MASS_NUM_BINS + 1; bin <= this.top; bin++) {
      const units = Number(this.bins[bin & (MASS_NUM_BINS - 1)] as bigint)
      sum += (units / UNITS) * 2 ** (BIN_EXPONENTS * (bin - this.top))
    }
    return Math.log(sum) + BIN_EXPONENTS * this.top * LN2
  }
}
