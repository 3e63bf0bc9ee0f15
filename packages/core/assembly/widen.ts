// Weight rows of every storage format as f32; twin of widenRow in src/cpu/typescript/weights.ts, same values bit for bit.
import {
  DTYPE_BF16,
  DTYPE_BLOCK_SHIFT,
  DTYPE_F16,
  DTYPE_NBITS4,
  DTYPE_Q4_0,
  DTYPE_Q4_1,
  DTYPE_Q6_K,
  DTYPE_Q8_0,
  NBITS_HEADER_BYTES,
} from '../src/cpu/layout'

/** Four half-precision patterns in the low halves of the lanes. */
// @ts-ignore: decorator
@inline
export function half4(bits: v128): v128 {
  const sign = i32x4.shl(v128.and(bits, i32x4.splat(0x8000)), 16)
  const magnitude = v128.and(bits, i32x4.splat(0x7fff))
  // Shifted into place the exponent is short by 112; the multiplication also normalises subnormals, exactly.
  const scaled = f32x4.mul(i32x4.shl(magnitude, 13), f32x4.splat(<f32>5.192296858534828e33))
  const special = v128.and(i32x4.gt_s(magnitude, i32x4.splat(0x7bff)), i32x4.splat(0x7f800000))
  return v128.or(v128.or(scaled, special), sign)
}

/** One half-precision number: as half4, in scalar registers. */
// @ts-ignore: decorator
@inline
export function half(at: usize): f32 {
  const bits = <u32>load<u16>(at)
  const magnitude = bits & 0x7fff
  const scaled = reinterpret<u32>(reinterpret<f32>(magnitude << 13) * <f32>5.192296858534828e33)
  const special: u32 = magnitude > 0x7bff ? 0x7f800000 : 0
  return reinterpret<f32>(scaled | special | ((bits & 0x8000) << 16))
}

// @ts-ignore: decorator
@inline
function scaleInts(ints: v128, d: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(ints), d)
}

/** Stores d * q of eight signed words. */
// @ts-ignore: decorator
@inline
function storeWords(out: usize, q: v128, d: v128): void {
  v128.store(out, scaleInts(i32x4.extend_low_i16x8_s(q), d))
  v128.store(out, scaleInts(i32x4.extend_high_i16x8_s(q), d), 16)
}

/** Stores d * q of 16 signed bytes. */
// @ts-ignore: decorator
@inline
function storeBytes(out: usize, q: v128, d: v128): void {
  const low = i16x8.extend_low_i8x16_s(q)
  const high = i16x8.extend_high_i8x16_s(q)
  v128.store(out, scaleInts(i32x4.extend_low_i16x8_s(low), d))
  v128.store(out, scaleInts(i32x4.extend_high_i16x8_s(low), d), 16)
  v128.store(out, scaleInts(i32x4.extend_low_i16x8_s(high), d), 32)
  v128.store(out, scaleInts(i32x4.extend_high_i16x8_s(high), d), 48)
}

/** Stores d * q + m of 16 signed bytes. */
// @ts-ignore: decorator
@inline
function storeBytesPlus(out: usize, q: v128, d: v128, m: v128): void {
  const low = i16x8.extend_low_i8x16_s(q)
  const high = i16x8.extend_high_i8x16_s(q)
  v128.store(out, f32x4.add(scaleInts(i32x4.extend_low_i16x8_s(low), d), m))
  v128.store(out, f32x4.add(scaleInts(i32x4.extend_high_i16x8_s(low), d), m), 16)
  v128.store(out, f32x4.add(scaleInts(i32x4.extend_low_i16x8_s(high), d), m), 32)
  v128.store(out, f32x4.add(scaleInts(i32x4.extend_high_i16x8_s(high), d), m), 48)
}

function widenQ6K(at: usize, out: usize): void {
  const d = half(at + 208)
  const low4 = i8x16.splat(15)
  const bias = i8x16.splat(32)
  for (let part: usize = 0; part < 2; part++) {
    for (let side: usize = 0; side < 2; side++) {
      const a = v128.load(at + part * 64 + side * 16)
      const b = v128.load(at + part * 64 + 32 + side * 16)
      const c = v128.load(at + 128 + part * 32 + side * 16)
      const scales = at + 192 + part * 8 + side
      const to = out + (part * 128 + side * 16) * 4
      const q0 = v128.or(v128.and(a, low4), i8x16.shl(v128.and(c, i8x16.splat(3)), 4))
      const q1 = v128.or(v128.and(b, low4), i8x16.shl(v128.and(c, i8x16.splat(12)), 2))
      const q2 = v128.or(i8x16.shr_u(a, 4), v128.and(c, i8x16.splat(48)))
      const q3 = v128.or(i8x16.shr_u(b, 4), i8x16.shr_u(v128.and(c, i8x16.splat(<i8>192)), 2))
      storeBytes(to, i8x16.sub(q0, bias), f32x4.splat(d * <f32>load<i8>(scales)))
      storeBytes(to + 128, i8x16.sub(q1, bias), f32x4.splat(d * <f32>load<i8>(scales + 2)))
      storeBytes(to + 256, i8x16.sub(q2, bias), f32x4.splat(d * <f32>load<i8>(scales + 4)))
      storeBytes(to + 384, i8x16.sub(q3, bias), f32x4.splat(d * <f32>load<i8>(scales + 6)))
    }
  }
}

/** Rows as src/cpu/nbits-rows.ts packs them; blocks and their last, shorter one are whole groups of 16 weights. */
function widenNBits(isNibble: bool, blockSize: u32, at: usize, out: usize, end: usize): void {
  const blockBytes = <usize>blockSize << 2
  while (out < end) {
    const d = f32x4.splat(load<f32>(at))
    const zeroPoint = load<i32>(at, 4)
    at += NBITS_HEADER_BYTES
    const blockEnd = min(out + blockBytes, end)
    if (isNibble) {
      const bias = i8x16.splat(<i8>zeroPoint)
      for (; out < blockEnd; out += 64, at += 8) {
        const pairs = v128.load64_zero(at)
        const low = v128.and(pairs, i8x16.splat(15))
        const high = i8x16.shr_u(pairs, 4)
        const q = i8x16.shuffle(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
        storeBytes(out, i8x16.sub(q, bias), d)
      }
    } else {
      const bias = i16x8.splat(<i16>zeroPoint)
      for (; out < blockEnd; out += 64, at += 16) {
        storeWords(out, i16x8.sub(v128.load8x8_u(at), bias), d)
        storeWords(out + 32, i16x8.sub(v128.load8x8_u(at, 8), bias), d)
      }
    }
  }
}

/** Widens one row; `out` is f32 [hiddenSize]. */
export function widenRow(dtype: u32, at: usize, out: usize, hiddenSize: u32): void {
  const end = out + (<usize>hiddenSize << 2)
  if (dtype == DTYPE_F16) {
    for (; out < end; out += 16, at += 8) v128.store(out, half4(v128.load16x4_u(at)))
  } else if (dtype == DTYPE_BF16) {
    for (; out < end; out += 16, at += 8) v128.store(out, i32x4.shl(v128.load16x4_u(at), 16))
  } else if (dtype == DTYPE_Q8_0) {
    for (; out < end; out += 128, at += 34) {
      const d = f32x4.splat(half(at))
      storeWords(out, v128.load8x8_s(at, 2), d)
      storeWords(out + 32, v128.load8x8_s(at, 10), d)
      storeWords(out + 64, v128.load8x8_s(at, 18), d)
      storeWords(out + 96, v128.load8x8_s(at, 26), d)
    }
  } else if (dtype == DTYPE_Q4_0) {
    for (; out < end; out += 128, at += 18) {
      const d = f32x4.splat(half(at))
      const q = v128.load(at, 2)
      const bias = i8x16.splat(8)
      storeBytes(out, i8x16.sub(v128.and(q, i8x16.splat(15)), bias), d)
      storeBytes(out + 64, i8x16.sub(i8x16.shr_u(q, 4), bias), d)
    }
  } else if (dtype == DTYPE_Q4_1) {
    for (; out < end; out += 128, at += 20) {
      const d = f32x4.splat(half(at))
      const m = f32x4.splat(half(at + 2))
      const q = v128.load(at, 4)
      storeBytesPlus(out, v128.and(q, i8x16.splat(15)), d, m)
      storeBytesPlus(out + 64, i8x16.shr_u(q, 4), d, m)
    }
  } else if (dtype == DTYPE_Q6_K) {
    for (; out < end; out += 1024, at += 210) widenQ6K(at, out)
  } else {
    const isNibble = (dtype & ((1 << DTYPE_BLOCK_SHIFT) - 1)) == DTYPE_NBITS4
    widenNBits(isNibble, dtype >> DTYPE_BLOCK_SHIFT, at, out, end)
  }
}
