// Dot products of f32 weight rows with f32 hidden states.
//
// Lane l of an accumulator sums the products of elements congruent to l modulo 4, each rounded; a dot product is
// (lane 0 + lane 2) + (lane 1 + lane 3). Blocks differ in how many rows they share loads between, never in that order.

/** Reduces four accumulators to one vector of dot products. */
// @ts-ignore: decorator
@inline
function reduce4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(i32x4.shuffle(a, b, 0, 4, 1, 5), i32x4.shuffle(a, b, 2, 6, 3, 7))
  const cd = f32x4.add(i32x4.shuffle(c, d, 0, 4, 1, 5), i32x4.shuffle(c, d, 2, 6, 3, 7))
  return f32x4.add(i32x4.shuffle(ab, cd, 0, 1, 4, 5), i32x4.shuffle(ab, cd, 2, 3, 6, 7))
}

// @ts-ignore: decorator
@inline
function mulAdd(sum: v128, a: v128, b: v128): v128 {
  return f32x4.add(sum, f32x4.mul(a, b))
}

/** Four weight rows, one row of the batch. */
export function dot4x1(w: usize, rowStride: usize, h: usize, bytes: usize, out: usize): void {
  const w1 = w + rowStride
  const w2 = w1 + rowStride
  const w3 = w2 + rowStride
  let a = f32x4.splat(0)
  let b = a
  let c = a
  let d = a
  for (let i: usize = 0; i < bytes; i += 16) {
    const x = v128.load(h + i)
    a = mulAdd(a, v128.load(w + i), x)
    b = mulAdd(b, v128.load(w1 + i), x)
    c = mulAdd(c, v128.load(w2 + i), x)
    d = mulAdd(d, v128.load(w3 + i), x)
  }
  v128.store(out, reduce4(a, b, c, d))
}

/** Four weight rows, two rows of the batch. */
export function dot4x2(
  w: usize,
  rowStride: usize,
  h: usize,
  bytes: usize,
  out: usize,
  outStride: usize,
): void {
  const w1 = w + rowStride
  const w2 = w1 + rowStride
  const w3 = w2 + rowStride
  const h1 = h + bytes
  let a0 = f32x4.splat(0)
  let b0 = a0
  let c0 = a0
  let d0 = a0
  let a1 = a0
  let b1 = a0
  let c1 = a0
  let d1 = a0
  for (let i: usize = 0; i < bytes; i += 16) {
    const x0 = v128.load(h + i)
    const x1 = v128.load(h1 + i)
    let y = v128.load(w + i)
    a0 = mulAdd(a0, y, x0)
    a1 = mulAdd(a1, y, x1)
    y = v128.load(w1 + i)
    b0 = mulAdd(b0, y, x0)
    b1 = mulAdd(b1, y, x1)
    y = v128.load(w2 + i)
    c0 = mulAdd(c0, y, x0)
    c1 = mulAdd(c1, y, x1)
    y = v128.load(w3 + i)
    d0 = mulAdd(d0, y, x0)
    d1 = mulAdd(d1, y, x1)
  }
  v128.store(out, reduce4(a0, b0, c0, d0))
  v128.store(out + outStride, reduce4(a1, b1, c1, d1))
}

/** Two weight rows, four rows of the batch. */
export function dot2x4(
  w: usize,
  rowStride: usize,
  h: usize,
  bytes: usize,
  out: usize,
  outStride: usize,
): void {
  const w1 = w + rowStride
  const h1 = h + bytes
  const h2 = h1 + bytes
  const h3 = h2 + bytes
  let a0 = f32x4.splat(0)
  let a1 = a0
  let a2 = a0
  let a3 = a0
  let b0 = a0
  let b1 = a0
  let b2 = a0
  let b3 = a0
  for (let i: usize = 0; i < bytes; i += 16) {
    const x = v128.load(w + i)
    const y = v128.load(w1 + i)
    let z = v128.load(h + i)
    a0 = mulAdd(a0, x, z)
    b0 = mulAdd(b0, y, z)
    z = v128.load(h1 + i)
    a1 = mulAdd(a1, x, z)
    b1 = mulAdd(b1, y, z)
    z = v128.load(h2 + i)
    a2 = mulAdd(a2, x, z)
    b2 = mulAdd(b2, y, z)
    z = v128.load(h3 + i)
    a3 = mulAdd(a3, x, z)
    b3 = mulAdd(b3, y, z)
  }
  const low = reduce4(a0, b0, a1, b1)
  const high = reduce4(a2, b2, a3, b3)
  v128.store64_lane(out, low, 0)
  v128.store64_lane(out + outStride, low, 1)
  v128.store64_lane(out + 2 * outStride, high, 0)
  v128.store64_lane(out + 3 * outStride, high, 1)
}

/** One weight row, one row of the batch. */
export function dot1x1(w: usize, h: usize, bytes: usize): f32 {
  let a = f32x4.splat(0)
  for (let i: usize = 0; i < bytes; i += 16) a = mulAdd(a, v128.load(w + i), v128.load(h + i))
  return (
    f32x4.extract_lane(a, 0) +
    f32x4.extract_lane(a, 2) +
    (f32x4.extract_lane(a, 1) + f32x4.extract_lane(a, 3))
  )
}

/** Any number of f32 weight rows against the whole batch. */
export function dotRows(
  w: usize,
  rowStride: usize,
  numRows: u32,
  h: usize,
  bytes: usize,
  batchSize: u32,
  out: usize,
  outStride: usize,
): void {
  let i: u32 = 0
  for (; i + 4 <= numRows; i += 4) {
    const rows = w + i * rowStride
    const to = out + (<usize>i << 2)
    let row: u32 = 0
    for (; row + 4 <= batchSize; row += 4) {
      const states = h + row * bytes
      const at = to + row * outStride
      dot2x4(rows, rowStride, states, bytes, at, outStride)
      dot2x4(rows + 2 * rowStride, rowStride, states, bytes, at + 8, outStride)
    }
    if (row + 2 <= batchSize) {
      dot4x2(rows, rowStride, h + row * bytes, bytes, to + row * outStride, outStride)
      row += 2
    }
    if (row < batchSize) dot4x1(rows, rowStride, h + row * bytes, bytes, to + row * outStride)
  }
  for (; i < numRows; i++) {
    for (let row: u32 = 0; row < batchSize; row++) {
      store<f32>(out + row * outStride + (<usize>i << 2), dot1x1(w + i * rowStride, h + row * bytes, bytes))
    }
  }
}
