// Exact sums of exponentials; twin of src/cpu/math.ts (ExactMass), which explains the bins.
import { MASS_BINS, MASS_NUM_BINS, MASS_TOP } from '../src/cpu/layout'

// @ts-ignore: decorator
@inline const LOG2_E: f64 = 1.4426950408889634
// @ts-ignore: decorator
@inline const LN2: f64 = 0.6931471805599453

// @ts-ignore: decorator
@inline
function mulAdd(a: v128, b: v128, c: f32): v128 {
  return f32x4.add(f32x4.mul(a, b), f32x4.splat(c))
}

// @ts-ignore: decorator
@inline
function addTerm(mass: usize, n: i32, p: f32): void {
  if (n == i32.MIN_VALUE || n == i32.MAX_VALUE) return
  const bin = n >> 2
  const top = load<i32>(mass + MASS_TOP)
  if (bin > top) {
    raiseTop(mass, top, bin)
  } else if (bin <= top - MASS_NUM_BINS) {
    return
  }
  const slot = mass + MASS_BINS + ((<usize>bin & (MASS_NUM_BINS - 1)) << 3)
  store<f64>(slot, load<f64>(slot) + <f64>p * <f64>(1 << (n & 3)))
}

function raiseTop(mass: usize, top: i32, bin: i32): void {
  for (let cleared = max(top + 1, bin - MASS_NUM_BINS + 1); cleared <= bin; cleared++) {
    store<f64>(mass + MASS_BINS + ((<usize>cleared & (MASS_NUM_BINS - 1)) << 3), 0)
  }
  store<i32>(mass + MASS_TOP, bin)
}

/** Adds e^x of four lanes. */
// @ts-ignore: decorator
@inline
export function massAdd4(mass: usize, x: v128): void {
  const xLow = f64x2.promote_low_f32x4(x)
  const xHigh = f64x2.promote_low_f32x4(i32x4.shuffle(x, x, 2, 3, 2, 3))
  const nLow = f64x2.nearest(f64x2.mul(xLow, f64x2.splat(LOG2_E)))
  const nHigh = f64x2.nearest(f64x2.mul(xHigh, f64x2.splat(LOG2_E)))
  const rLow = f32x4.demote_f64x2_zero(f64x2.sub(xLow, f64x2.mul(nLow, f64x2.splat(LN2))))
  const rHigh = f32x4.demote_f64x2_zero(f64x2.sub(xHigh, f64x2.mul(nHigh, f64x2.splat(LN2))))
  const r = i32x4.shuffle(rLow, rHigh, 0, 1, 4, 5)
  const n = i32x4.shuffle(i32x4.trunc_sat_f64x2_s_zero(nLow), i32x4.trunc_sat_f64x2_s_zero(nHigh), 0, 1, 4, 5)
  let p = mulAdd(f32x4.splat(<f32>(1.0 / 720.0)), r, <f32>(1.0 / 120.0))
  p = mulAdd(p, r, <f32>(1.0 / 24.0))
  p = mulAdd(p, r, <f32>(1.0 / 6.0))
  p = mulAdd(p, r, 0.5)
  p = mulAdd(p, r, 1)
  p = mulAdd(p, r, 1)
  addTerm(mass, i32x4.extract_lane(n, 0), f32x4.extract_lane(p, 0))
  addTerm(mass, i32x4.extract_lane(n, 1), f32x4.extract_lane(p, 1))
  addTerm(mass, i32x4.extract_lane(n, 2), f32x4.extract_lane(p, 2))
  addTerm(mass, i32x4.extract_lane(n, 3), f32x4.extract_lane(p, 3))
}

/** Adds e^x of padded logits. */
export function massAddRange(mass: usize, logits: usize, length: u32): void {
  for (let i: u32 = 0; i < length; i += 4) massAdd4(mass, v128.load(logits + (<usize>i << 2)))
}

/** Adds e^x. */
export function massAdd(mass: usize, x: f32): void {
  massAdd4(mass, f32x4.replace_lane(f32x4.splat(f32.NEGATIVE_INFINITY), 0, x))
}
