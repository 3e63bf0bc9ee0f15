// Dot products of q8_0, bf16 and f16 weight rows with one hidden state, widening in registers: what widenRow and dot.ts
// would give, bit for bit, without the way through memory. Two rows at a time, so that two chains of sums overlap.
import { DTYPE_F16, DTYPE_Q8_0 } from '../src/cpu/layout'
import { CHUNK_BYTES, mulAdd } from './dot'
import { half, half4 } from './widen'

// @ts-ignore: decorator
@inline
function sumLanes(a: v128): f32 {
  const b = f32x4.add(a, i32x4.shuffle(a, a, 2, 3, 0, 1))
  return f32x4.extract_lane(b, 0) + f32x4.extract_lane(b, 1)
}

// @ts-ignore: decorator
@inline
function scaled(ints: v128, d: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(ints), d)
}

/** Adds the products of 16 signed bytes, scaled by d, with 16 elements at h. */
// @ts-ignore: decorator
@inline
function addBytes(sum: v128, q: v128, d: v128, h: usize): v128 {
  const low = i16x8.extend_low_i8x16_s(q)
  const high = i16x8.extend_high_i8x16_s(q)
  sum = mulAdd(sum, scaled(i32x4.extend_low_i16x8_s(low), d), v128.load(h))
  sum = mulAdd(sum, scaled(i32x4.extend_high_i16x8_s(low), d), v128.load(h, 16))
  sum = mulAdd(sum, scaled(i32x4.extend_low_i16x8_s(high), d), v128.load(h, 32))
  return mulAdd(sum, scaled(i32x4.extend_high_i16x8_s(high), d), v128.load(h, 48))
}

function dotQ8Pair(w: usize, w1: usize, h: usize, bytes: usize, out: usize, out1: usize): void {
  let sum: f32 = 0
  let sum1: f32 = 0
  const end = h + bytes
  while (h < end) {
    const chunkEnd = min(h + CHUNK_BYTES, end)
    let a = f32x4.splat(0)
    let b = a
    for (; h < chunkEnd; h += 128, w += 34, w1 += 34) {
      const d = f32x4.splat(half(w))
      const d1 = f32x4.splat(half(w1))
      a = addBytes(a, v128.load(w, 2), d, h)
      b = addBytes(b, v128.load(w1, 2), d1, h)
      a = addBytes(a, v128.load(w, 18), d, h + 64)
      b = addBytes(b, v128.load(w1, 18), d1, h + 64)
    }
    sum += sumLanes(a)
    sum1 += sumLanes(b)
  }
  store<f32>(out, sum)
  store<f32>(out1, sum1)
}

// @ts-ignore: decorator
@inline
function dotDensePair(
  w: usize,
  w1: usize,
  h: usize,
  bytes: usize,
  out: usize,
  out1: usize,
  isHalf: bool,
): void {
  let sum: f32 = 0
  let sum1: f32 = 0
  const end = h + bytes
  while (h < end) {
    const chunkEnd = min(h + CHUNK_BYTES, end)
    let a = f32x4.splat(0)
    let b = a
    for (; h < chunkEnd; h += 16, w += 8, w1 += 8) {
      const bits = v128.load16x4_u(w)
      const bits1 = v128.load16x4_u(w1)
      const x = v128.load(h)
      a = mulAdd(a, isHalf ? half4(bits) : i32x4.shl(bits, 16), x)
      b = mulAdd(b, isHalf ? half4(bits1) : i32x4.shl(bits1, 16), x)
    }
    sum += sumLanes(a)
    sum1 += sumLanes(b)
  }
  store<f32>(out, sum)
  store<f32>(out1, sum1)
}

function dotF16Pair(w: usize, w1: usize, h: usize, bytes: usize, out: usize, out1: usize): void {
  dotDensePair(w, w1, h, bytes, out, out1, true)
}

function dotBf16Pair(w: usize, w1: usize, h: usize, bytes: usize, out: usize, out1: usize): void {
  dotDensePair(w, w1, h, bytes, out, out1, false)
}

/** Rows of a q8_0, f16 or bf16 block against a batch of one; an odd last row is computed twice. */
export function dotWidened(
  dtype: u32,
  w: usize,
  rowStride: usize,
  numRows: u32,
  h: usize,
  bytes: usize,
  out: usize,
): void {
  for (let i: u32 = 0; i < numRows; i += 2) {
    const last = min(i + 1, numRows - 1)
    const row = w + i * rowStride
    const row1 = w + last * rowStride
    const to = out + (<usize>i << 2)
    const to1 = out + (<usize>last << 2)
    if (dtype == DTYPE_Q8_0) dotQ8Pair(row, row1, h, bytes, to, to1)
    else if (dtype == DTYPE_F16) dotF16Pair(row, row1, h, bytes, to, to1)
    else dotBf16Pair(row, row1, h, bytes, to, to1)
  }
}
