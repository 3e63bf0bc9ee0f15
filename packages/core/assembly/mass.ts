// Exact sums of exponentials; src/cpu/exact-mass.ts explains the bins, src/cpu/typescript/mass.ts is the twin.
import { MASS_BINS, MASS_EMPTY_TOP, MASS_NUM_BINS, MASS_TOP } from '../src/cpu/layout'

// @ts-ignore: decorator
@inline const LOG2_E: f64 = 1.4426950408889634
// @ts-ignore: decorator
@inline const LN2: f64 = 0.6931471805599453
/** Bytes of a block of 64 logits. */
// @ts-ignore: decorator
@inline const BLOCK_BYTES: usize = 256

// @ts-ignore: decorator
@inline
function mulAdd(a: v128, b: v128, c: f32): v128 {
  return f32x4.add(f32x4.mul(a, b), f32x4.splat(c))
}

// @ts-ignore: decorator
@inline
function upperHalf(x: v128): v128 {
  return i32x4.shuffle(x, x, 2, 3, 2, 3)
}

/** Splits e^x of four lanes: bins at `at`, values in their bins (f32) at `at + 256`. Returns the bins. */
// @ts-ignore: decorator
@inline
function splitExp4(at: usize, x: v128): v128 {
  const xLow = f64x2.promote_low_f32x4(x)
  const xHigh = f64x2.promote_low_f32x4(upperHalf(x))
  const nLow = f64x2.nearest(f64x2.mul(xLow, f64x2.splat(LOG2_E)))
  const nHigh = f64x2.nearest(f64x2.mul(xHigh, f64x2.splat(LOG2_E)))
  const rLow = f32x4.demote_f64x2_zero(f64x2.sub(xLow, f64x2.mul(nLow, f64x2.splat(LN2))))
  const rHigh = f32x4.demote_f64x2_zero(f64x2.sub(xHigh, f64x2.mul(nHigh, f64x2.splat(LN2))))
  const r = i32x4.shuffle(rLow, rHigh, 0, 1, 4, 5)
  const n = i32x4.shuffle(
    i32x4.trunc_sat_f64x2_s_zero(nLow),
    i32x4.trunc_sat_f64x2_s_zero(nHigh),
    0,
    1,
    4,
    5,
  )
  let p = mulAdd(f32x4.splat(<f32>(1.0 / 720.0)), r, <f32>(1.0 / 120.0))
  p = mulAdd(p, r, <f32>(1.0 / 24.0))
  p = mulAdd(p, r, <f32>(1.0 / 6.0))
  p = mulAdd(p, r, 0.5)
  p = mulAdd(p, r, 1)
  p = mulAdd(p, r, 1)
  // Adding to the exponent field multiplies by 2^(n mod 16), exactly.
  v128.store(at + BLOCK_BYTES, i32x4.add(p, i32x4.shl(v128.and(n, i32x4.splat(15)), 23)))
  // Saturated powers have no term: their bin is one that is never summed.
  const isNone = v128.or(
    i32x4.eq(n, i32x4.splat(i32.MIN_VALUE)),
    i32x4.eq(n, i32x4.splat(i32.MAX_VALUE)),
  )
  const bin = v128.bitselect(i32x4.splat(MASS_EMPTY_TOP), i32x4.shr_s(n, 4), isNone)
  v128.store(at, bin)
  return bin
}

/** Adds a value, a multiple of 2^-24 below 2^29, to a bin. */
function addToBin(mass: usize, bin: i32, value: f64): void {
  const top = load<i32>(mass + MASS_TOP)
  if (bin <= top - MASS_NUM_BINS) return
  if (bin > top) {
    for (let cleared = max(top + 1, bin - MASS_NUM_BINS + 1); cleared <= bin; cleared++) {
      store<i64>(mass + MASS_BINS + ((<usize>cleared & (MASS_NUM_BINS - 1)) << 3), 0)
    }
    store<i32>(mass + MASS_TOP, bin)
  }
  const slot = mass + MASS_BINS + ((<usize>bin & (MASS_NUM_BINS - 1)) << 3)
  store<i64>(slot, load<i64>(slot) + <i64>(value * 16777216.0))
}

// @ts-ignore: decorator
@inline
function maxLane(x: v128): i32 {
  const y = i32x4.max_s(x, upperHalf(x))
  return max(i32x4.extract_lane(y, 0), i32x4.extract_lane(y, 1))
}

// @ts-ignore: decorator
@inline
function minLane(x: v128): i32 {
  const y = i32x4.min_s(x, upperHalf(x))
  return min(i32x4.extract_lane(y, 0), i32x4.extract_lane(y, 1))
}

/** Adds e^x of `length` logits, a multiple of 16; `scratch` has room for 512 bytes. */
export function massAddRange(mass: usize, logits: usize, length: u32, scratch: usize): void {
  const end = logits + (<usize>length << 2)
  while (logits < end) {
    const bytes = min(BLOCK_BYTES, end - logits)
    let highest = i32x4.splat(MASS_EMPTY_TOP)
    let lowest = i32x4.splat(i32.MAX_VALUE)
    for (let i: usize = 0; i < bytes; i += 16) {
      const bin = splitExp4(scratch + i, v128.load(logits + i))
      highest = i32x4.max_s(highest, bin)
      lowest = i32x4.min_s(lowest, bin)
    }
    const top = maxLane(highest)
    if (top > MASS_EMPTY_TOP) {
      // Terms below these bins cannot count in the end, as the highest bin of all is at least this block's.
      const bottom = max(minLane(lowest), top - MASS_NUM_BINS + 1)
      for (let bin = top; bin >= bottom; bin--) {
        const sum = sumBin(scratch, bytes, bin)
        if (sum > 0) addToBin(mass, bin, sum)
      }
    }
    logits += bytes
  }
}

/** Sum of a block's values in one bin: at most 64 multiples of 2^-24 below 2^17, exact in float64. */
// @ts-ignore: decorator
@inline
function sumBin(scratch: usize, bytes: usize, bin: i32): f64 {
  const wanted = i32x4.splat(bin)
  let low = f64x2.splat(0)
  let high = low
  for (let i: usize = 0; i < bytes; i += 16) {
    const isWanted = i32x4.eq(v128.load(scratch + i), wanted)
    const value = v128.and(v128.load(scratch + i + BLOCK_BYTES), isWanted)
    low = f64x2.add(low, f64x2.promote_low_f32x4(value))
    high = f64x2.add(high, f64x2.promote_low_f32x4(upperHalf(value)))
  }
  const sum = f64x2.add(low, high)
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1)
}

/** Adds e^x; `scratch` has room for 512 bytes. */
export function massAdd(mass: usize, x: f32, scratch: usize): void {
  const bin = i32x4.extract_lane(splitExp4(scratch, f32x4.splat(x)), 0)
  if (bin > MASS_EMPTY_TOP) addToBin(mass, bin, <f64>load<f32>(scratch + BLOCK_BYTES))
}
