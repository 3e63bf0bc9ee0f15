/**
 * Plain reads of memory, as fast as WebAssembly can issue them: the ceiling that kernels are compared with.
 *
 * Every function reads each byte of `[start, start + length)` once, 16 bytes a load, and returns a value that depends
 * on all of them, so that no load can be left out. `length` is a multiple of 1024. Integer adds into eight independent
 * sums keep the arithmetic far below the cost of the loads.
 */

/** Reads one stream from front to back. */
export function readForward(start: usize, length: usize): i64 {
  return read(start, length)
}

/** Reads four quarters side by side: four streams for the hardware prefetchers. */
export function readQuarters(start: usize, length: usize): i64 {
  const quarter = length >> 2
  let a = i64x2.splat(0)
  let b = i64x2.splat(0)
  let c = i64x2.splat(0)
  let d = i64x2.splat(0)
  const end = start + quarter
  for (let at = start; at < end; at += 64) {
    a = sumLine(a, at)
    b = sumLine(b, at + quarter)
    c = sumLine(c, at + 2 * quarter)
    d = sumLine(d, at + 3 * quarter)
  }
  return total(i64x2.add(i64x2.add(a, b), i64x2.add(c, d)))
}

function read(start: usize, length: usize): i64 {
  let s0 = i64x2.splat(0)
  let s1 = i64x2.splat(0)
  let s2 = i64x2.splat(0)
  let s3 = i64x2.splat(0)
  let s4 = i64x2.splat(0)
  let s5 = i64x2.splat(0)
  let s6 = i64x2.splat(0)
  let s7 = i64x2.splat(0)
  const end = start + length
  for (let at = start; at < end; at += 128) {
    s0 = i64x2.add(s0, v128.load(at))
    s1 = i64x2.add(s1, v128.load(at, 16))
    s2 = i64x2.add(s2, v128.load(at, 32))
    s3 = i64x2.add(s3, v128.load(at, 48))
    s4 = i64x2.add(s4, v128.load(at, 64))
    s5 = i64x2.add(s5, v128.load(at, 80))
    s6 = i64x2.add(s6, v128.load(at, 96))
    s7 = i64x2.add(s7, v128.load(at, 112))
  }
  s0 = i64x2.add(i64x2.add(s0, s1), i64x2.add(s2, s3))
  s4 = i64x2.add(i64x2.add(s4, s5), i64x2.add(s6, s7))
  return total(i64x2.add(s0, s4))
}

// @ts-ignore: decorators are AssemblyScript's
@inline
function sumLine(sum: v128, at: usize): v128 {
  const low = i64x2.add(v128.load(at), v128.load(at, 16))
  const high = i64x2.add(v128.load(at, 32), v128.load(at, 48))
  return i64x2.add(sum, i64x2.add(low, high))
}

function total(sum: v128): i64 {
  return i64x2.extract_lane(sum, 0) + i64x2.extract_lane(sum, 1)
}
