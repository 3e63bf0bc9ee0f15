// fp32 logarithm, Gumbel noise and division by temperatures, four lanes at a time: the operations of src/cpu/math.ts in the same order.

// @ts-ignore: decorator
@inline const LN2: f32 = 0.6931471805599453
// @ts-ignore: decorator
@inline const VLLM_SCALE: f32 = <f32>4.6566127342e-10
// 1 - 2^31 * 4.6566127342e-10 written out: in an f32 context the compiler evaluates the expression in f32.
// @ts-ignore: decorator
@inline const VLLM_COMPLEMENT: f32 = 2.98236920e-8

// @ts-ignore: decorator
@inline
function splat(x: f32): v128 {
  return f32x4.splat(x)
}

// @ts-ignore: decorator
@inline
function mulAdd(a: v128, b: v128, c: f32): v128 {
  return f32x4.add(f32x4.mul(a, b), splat(c))
}

/** Natural logarithm of positive normal lanes. */
// @ts-ignore: decorator
@inline
export function log4(x: v128): v128 {
  const shifted = i32x4.sub(x, i32x4.splat(0x3f3504f3))
  const exponent = f32x4.convert_i32x4_s(i32x4.shr_s(shifted, 23))
  const mantissa = i32x4.add(v128.and(shifted, i32x4.splat(0x7fffff)), i32x4.splat(0x3f3504f3))
  const f = f32x4.sub(mantissa, splat(1))
  const z = f32x4.mul(f, f)
  let y = mulAdd(splat(7.0376836292e-2), f, -1.151461031e-1)
  y = mulAdd(y, f, 1.1676998740e-1)
  y = mulAdd(y, f, -1.2420140846e-1)
  y = mulAdd(y, f, 1.4249322787e-1)
  y = mulAdd(y, f, -1.6668057665e-1)
  y = mulAdd(y, f, 2.0000714765e-1)
  y = mulAdd(y, f, -2.4999993993e-1)
  y = mulAdd(y, f, 3.3333331174e-1)
  y = f32x4.mul(f32x4.mul(y, f), z)
  y = f32x4.sub(y, f32x4.mul(z, splat(0.5)))
  return f32x4.add(f32x4.add(f, y), f32x4.mul(exponent, splat(LN2)))
}

/** -log1p(-v) for v < 1/16 by its series. */
// @ts-ignore: decorator
@inline
function series4(v: v128): v128 {
  let s = f32x4.add(splat(<f32>0.2), f32x4.mul(v, splat(<f32>(1.0 / 6.0))))
  s = f32x4.add(splat(0.25), f32x4.mul(v, s))
  s = f32x4.add(splat(<f32>(1.0 / 3.0)), f32x4.mul(v, s))
  s = f32x4.add(splat(0.5), f32x4.mul(v, s))
  s = f32x4.add(splat(1), f32x4.mul(v, s))
  return f32x4.mul(v, s)
}

// @ts-ignore: decorator
@inline
function gumbelOf(v: v128, complement: v128): v128 {
  const tail = f32x4.neg(log4(complement))
  return f32x4.neg(log4(v128.bitselect(series4(v), tail, f32x4.lt(v, splat(0.0625)))))
}

/** Gumbel noise of four words of random bits; scheme 0 flash, 1 vllm. */
// @ts-ignore: decorator
@inline
export function gumbel4(bits: v128, scheme: u32): v128 {
  if (scheme == 0) {
    const scale = splat(<f32>2.3283064365386963e-10)
    const v = f32x4.mul(f32x4.add(f32x4.convert_i32x4_u(bits), splat(0.5)), scale)
    const complement = f32x4.mul(f32x4.add(f32x4.convert_i32x4_u(v128.not(bits)), splat(0.5)), scale)
    return gumbelOf(v, complement)
  }
  const x = i32x4.max_s(v128.xor(bits, i32x4.shr_s(bits, 31)), i32x4.splat(1))
  const v = f32x4.mul(f32x4.convert_i32x4_u(x), splat(VLLM_SCALE))
  const rest = i32x4.sub(i32x4.splat(<i32>0x80000000), x)
  const complement = f32x4.add(
    splat(VLLM_COMPLEMENT),
    f32x4.mul(f32x4.convert_i32x4_u(rest), splat(VLLM_SCALE)),
  )
  return gumbelOf(v, complement)
}

// @ts-ignore: decorator
@inline const INFINITY_BITS: u32 = 0x7f800000

/** Bits of the magnitude from which on logits are crowded when they are divided. */
export function crowdedLimitBits(temperature: f32): u32 {
  return temperature < 1 ? reinterpret<u32>(<f32>3.24518553658426727e32 * temperature) : INFINITY_BITS
}

/** Logits divided by the temperature. */
// @ts-ignore: decorator
@inline
export function quotient4(logits: v128, temperature: v128, limitBits: u32): v128 {
  const magnitudes = v128.and(logits, i32x4.splat(0x7fffffff))
  // Finite and at least the limit, in one comparison.
  const isCrowded = i32x4.lt_u(
    i32x4.sub(magnitudes, i32x4.splat(limitBits)),
    i32x4.splat(INFINITY_BITS - limitBits),
  )
  const quotients = f32x4.div(logits, temperature)
  if (!v128.any_true(isCrowded)) return quotients
  return v128.bitselect(crowd4(logits, magnitudes, temperature), quotients, isCrowded)
}

function crowd4(logits: v128, magnitudes: v128, temperature: v128): v128 {
  const scaled = f32x4.div(f32x4.mul(magnitudes, splat(<f32>5.421010862427522e-20)), temperature)
  const steps = i32x4.sub(scaled, i32x4.splat((127 + 108 - 64) << 23))
  const crowded = i32x4.add(
    i32x4.shr_u(i32x4.add(steps, i32x4.splat(2)), 2),
    i32x4.splat((127 + 108) << 23),
  )
  const sign = v128.and(logits, i32x4.splat(<i32>0x80000000))
  return v128.or(i32x4.min_u(crowded, i32x4.splat(0x7f7fffff)), sign)
}
