// Dot products of f32 weight rows with f32 hidden states.
//
// The order of every sum is fixed: hiddenSize is cut into chunks of 256 elements; inside a chunk lane l of four sums
// the products of elements congruent to l modulo 4, each rounded; a chunk is (lane 0 + lane 2) + (lane 1 + lane 3);
// chunks add up in order. Blocks differ in how many rows they share loads between, never in that order.
//
// Hidden states are packed so that one pointer walks them (see packHiddenStates in src/cpu/job.ts): chunk by chunk, in
// a chunk two rows at a time, of these four elements in turn; an odd last row stands alone.

/** Bytes of a chunk of one row. */
// @ts-ignore: decorator
@inline export const CHUNK_BYTES: usize = 1024

/** Reduces four accumulators to one vector of sums. */
// @ts-ignore: decorator
@inline
function reduce4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(i32x4.shuffle(a, b, 0, 4, 1, 5), i32x4.shuffle(a, b, 2, 6, 3, 7))
  const cd = f32x4.add(i32x4.shuffle(c, d, 0, 4, 1, 5), i32x4.shuffle(c, d, 2, 6, 3, 7))
  return f32x4.add(i32x4.shuffle(ab, cd, 0, 1, 4, 5), i32x4.shuffle(ab, cd, 2, 3, 6, 7))
}

// @ts-ignore: decorator
@inline
export function mulAdd(sum: v128, a: v128, b: v128): v128 {
  return f32x4.add(sum, f32x4.mul(a, b))
}

// @ts-ignore: decorator
@inline
function addTo(out: usize, sums: v128, isFirst: bool): void {
  v128.store(out, isFirst ? sums : f32x4.add(v128.load(out), sums))
}

/** One chunk of four weight rows, two rows of the batch. */
function chunk4x2(
  w: usize,
  rowStride: usize,
  h: usize,
  bytes: usize,
  out: usize,
  outStride: usize,
  isFirst: bool,
): void {
  const end = w + bytes
  let w1 = w + rowStride
  let w2 = w1 + rowStride
  let w3 = w2 + rowStride
  let a0 = f32x4.splat(0)
  let b0 = a0
  let c0 = a0
  let d0 = a0
  let a1 = a0
  let b1 = a0
  let c1 = a0
  let d1 = a0
  // NOTE: unrolling this loop made V8 spill accumulators and cost a third of the speed; one pointer for both rows of
  // the batch, in place of two with an index, gained a sixth (docs/findings/wasm-dot-kernels.md).
  while (w < end) {
    const wa = v128.load(w)
    const wb = v128.load(w1)
    const wc = v128.load(w2)
    const wd = v128.load(w3)
    let x = v128.load(h)
    a0 = mulAdd(a0, wa, x)
    b0 = mulAdd(b0, wb, x)
    c0 = mulAdd(c0, wc, x)
    d0 = mulAdd(d0, wd, x)
    x = v128.load(h, 16)
    a1 = mulAdd(a1, wa, x)
    b1 = mulAdd(b1, wb, x)
    c1 = mulAdd(c1, wc, x)
    d1 = mulAdd(d1, wd, x)
    w += 16
    w1 += 16
    w2 += 16
    w3 += 16
    h += 32
  }
  addTo(out, reduce4(a0, b0, c0, d0), isFirst)
  addTo(out + outStride, reduce4(a1, b1, c1, d1), isFirst)
}

/** One chunk of four weight rows, one row of the batch. */
function chunk4x1(
  w: usize,
  rowStride: usize,
  h: usize,
  bytes: usize,
  out: usize,
  isFirst: bool,
): void {
  const end = w + bytes
  let w1 = w + rowStride
  let w2 = w1 + rowStride
  let w3 = w2 + rowStride
  let a = f32x4.splat(0)
  let b = a
  let c = a
  let d = a
  while (w < end) {
    const x = v128.load(h)
    a = mulAdd(a, v128.load(w), x)
    b = mulAdd(b, v128.load(w1), x)
    c = mulAdd(c, v128.load(w2), x)
    d = mulAdd(d, v128.load(w3), x)
    w += 16
    w1 += 16
    w2 += 16
    w3 += 16
    h += 16
  }
  addTo(out, reduce4(a, b, c, d), isFirst)
}

/** One weight row, one row of the batch: reads memory strictly forwards. */
// @ts-ignore: decorator
@inline
function dotForwards(w: usize, h: usize, bytes: usize): f32 {
  let sum: f32 = 0
  const end = w + bytes
  while (w < end) {
    let a = f32x4.splat(0)
    const chunkEnd = min(w + CHUNK_BYTES, end)
    for (; w + 64 <= chunkEnd; w += 64, h += 64) {
      a = mulAdd(a, v128.load(w), v128.load(h))
      a = mulAdd(a, v128.load(w, 16), v128.load(h, 16))
      a = mulAdd(a, v128.load(w, 32), v128.load(h, 32))
      a = mulAdd(a, v128.load(w, 48), v128.load(h, 48))
    }
    for (; w < chunkEnd; w += 16, h += 16) a = mulAdd(a, v128.load(w), v128.load(h))
    a = f32x4.add(a, i32x4.shuffle(a, a, 2, 3, 0, 1))
    sum += f32x4.extract_lane(a, 0) + f32x4.extract_lane(a, 1)
  }
  return sum
}

/** Weight rows in place against a batch of one, in the order of memory. */
export function dotStream(
  w: usize,
  rowStride: usize,
  numRows: u32,
  h: usize,
  bytes: usize,
  out: usize,
): void {
  for (const end = out + (<usize>numRows << 2); out < end; out += 4, w += rowStride) {
    store<f32>(out, dotForwards(w, h, bytes))
  }
}

/**
 * A block of f32 weight rows in cache against the whole batch. `numRows` is rounded up to a multiple of 4: the block
 * and every row of `out` have room for that.
 */
export function dotBlock(
  w: usize,
  bytes: usize,
  numRows: u32,
  h: usize,
  batchSize: u32,
  out: usize,
  outStride: usize,
): void {
  for (let offset: usize = 0; offset < bytes; offset += CHUNK_BYTES) {
    const chunkBytes = min(CHUNK_BYTES, bytes - offset)
    const isFirst = offset == 0
    for (let i: usize = 0; i < numRows; i += 4) {
      const rows = w + i * bytes + offset
      let states = h
      let at = out + (i << 2)
      let row: u32 = 0
      for (; row + 2 <= batchSize; row += 2) {
        chunk4x2(rows, bytes, states, chunkBytes, at, outStride, isFirst)
        states += 2 * chunkBytes
        at += 2 * outStride
      }
      if (row < batchSize) chunk4x1(rows, bytes, states, chunkBytes, at, isFirst)
    }
    h += batchSize * chunkBytes
  }
}
