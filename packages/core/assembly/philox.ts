// Noise bits of 16 tokens at a time (Philox, Salmon et al., SC'11), four lanes wide; twin of src/cpu/typescript/noise.ts.

// High words of the products of eight lanes' u32: even and odd 64-bit products are interleaved back.
// @ts-ignore: decorator
@inline
function mulHigh(a: v128, b: v128): v128 {
  const low = i64x2.extmul_low_i32x4_u(a, b)
  const high = i64x2.extmul_high_i32x4_u(a, b)
  return i32x4.shuffle(low, high, 1, 3, 5, 7)
}

/** Writes u32 bits of tokens [firstTokenId, firstTokenId + 16) at `out`; firstTokenId is a multiple of 16. */
export function flashBits(out: usize, firstTokenId: u32, key0: u32, key1: u32): void {
  const m = i32x4.splat(<i32>0xd256d193)
  let a0 = i32x4.add(i32x4.splat(<i32>(firstTokenId >> 1)), i32x4(0, 1, 2, 3))
  let b0 = i32x4.add(a0, i32x4.splat(4))
  let a1 = i32x4.splat(<i32>key0)
  let b1 = a1
  let k = key1
  for (let round = 0; round < 10; round++) {
    const key = i32x4.splat(<i32>k)
    const aHigh = mulHigh(a0, m)
    const bHigh = mulHigh(b0, m)
    const aNext = v128.xor(v128.xor(aHigh, key), a1)
    const bNext = v128.xor(v128.xor(bHigh, key), b1)
    a1 = i32x4.mul(a0, m)
    b1 = i32x4.mul(b0, m)
    a0 = aNext
    b0 = bNext
    k += 0x9e3779b9
  }
  v128.store(out, a0)
  v128.store(out, b0, 16)
  v128.store(out, a1, 32)
  v128.store(out, b1, 48)
}

/** As flashBits, for the `vllm` scheme: one Philox4x32-10 call a token. */
export function vllmBits(out: usize, firstTokenId: u32, key0: u32, key1: u32): void {
  const m0 = i32x4.splat(<i32>0xd2511f53)
  const m1 = i32x4.splat(<i32>0xcd9e8d57)
  for (let group: u32 = 0; group < 16; group += 4) {
    let c0 = i32x4.add(i32x4.splat(<i32>(firstTokenId + group)), i32x4(0, 1, 2, 3))
    let c1 = i32x4.splat(0)
    let c2 = i32x4.splat(0)
    let c3 = i32x4.splat(0)
    let k0 = key0
    let k1 = key1
    for (let round = 0; round < 10; round++) {
      const high0 = mulHigh(c0, m0)
      const high1 = mulHigh(c2, m1)
      const low0 = i32x4.mul(c0, m0)
      const low1 = i32x4.mul(c2, m1)
      c0 = v128.xor(v128.xor(high1, c1), i32x4.splat(<i32>k0))
      c1 = low1
      c2 = v128.xor(v128.xor(high0, c3), i32x4.splat(<i32>k1))
      c3 = low0
      k0 += 0x9e3779b9
      k1 += 0xbb67ae85
    }
    v128.store(out + (<usize>group << 2), c0)
  }
}
