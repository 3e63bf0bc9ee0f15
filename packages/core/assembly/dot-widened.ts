// Dot products of q8_0, bf16 and f16 weight rows with one hidden state, widening in registers: what widenRow and dot.ts
// would give, bit for bit, without the way through memory. One row at a time: a second one made V8 spill and took a
// third longer (docs/findings/wasm-dot-kernels.md).
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

function dotQ8(w: usize, h: usize, bytes: usize): f32 {
  let sum: f32 = 0
  const end = h + bytes
  while (h < end) {
    const chunkEnd = min(h + CHUNK_BYTES, end)
    let a = f32x4.splat(0)
    for (; h < chunkEnd; h += 128, w += 34) {
      const d = f32x4.splat(half(w))
      let q = v128.load8x8_s(w, 2)
      a = mulAdd(a, scaled(i32x4.extend_low_i16x8_s(q), d), v128.load(h))
      a = mulAdd(a, scaled(i32x4.extend_high_i16x8_s(q), d), v128.load(h, 16))
      q = v128.load8x8_s(w, 10)
      a = mulAdd(a, scaled(i32x4.extend_low_i16x8_s(q), d), v128.load(h, 32))
      a = mulAdd(a, scaled(i32x4.extend_high_i16x8_s(q), d), v128.load(h, 48))
      q = v128.load8x8_s(w, 18)
      a = mulAdd(a, scaled(i32x4.extend_low_i16x8_s(q), d), v128.load(h, 64))
      a = mulAdd(a, scaled(i32x4.extend_high_i16x8_s(q), d), v128.load(h, 80))
      q = v128.load8x8_s(w, 26)
      a = mulAdd(a, scaled(i32x4.extend_low_i16x8_s(q), d), v128.load(h, 96))
      a = mulAdd(a, scaled(i32x4.extend_high_i16x8_s(q), d), v128.load(h, 112))
    }
    sum += sumLanes(a)
  }
  return sum
}

// @ts-ignore: decorator
@inline
function dotDense(w: usize, h: usize, bytes: usize, isHalf: bool): f32 {
  let sum: f32 = 0
  const end = h + bytes
  while (h < end) {
    const chunkEnd = min(h + CHUNK_BYTES, end)
    let a = f32x4.splat(0)
    for (; h < chunkEnd; h += 16, w += 8) {
      const bits = v128.load16x4_u(w)
      a = mulAdd(a, isHalf ? half4(bits) : i32x4.shl(bits, 16), v128.load(h))
    }
    sum += sumLanes(a)
  }
  return sum
}

function dotF16(w: usize, h: usize, bytes: usize): f32 {
  return dotDense(w, h, bytes, true)
}

function dotBf16(w: usize, h: usize, bytes: usize): f32 {
  return dotDense(w, h, bytes, false)
}

/** Rows of q8_0, f16 or bf16 in place against a batch of one, in the order of memory. */
export function dotWidened(
  dtype: u32,
  w: usize,
  rowStride: usize,
  numRows: u32,
  h: usize,
  bytes: usize,
  out: usize,
): void {
  for (const end = out + (<usize>numRows << 2); out < end; out += 4, w += rowStride) {
    if (dtype == DTYPE_Q8_0) store<f32>(out, dotQ8(w, h, bytes))
    else if (dtype == DTYPE_F16) store<f32>(out, dotF16(w, h, bytes))
    else store<f32>(out, dotBf16(w, h, bytes))
  }
}
