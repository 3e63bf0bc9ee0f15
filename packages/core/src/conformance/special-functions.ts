/**
 * The two special functions behind the p-values: log-gamma and the regularised incomplete gamma function.
 *
 * @module
 */
import { invalidArgument } from '../errors.ts'

const MAX_ITERATIONS = 100_000
const PRECISION = 1e-15
const TINY = 1e-300

/** Coefficients B_2k / (2k (2k - 1)) of Stirling's series. */
const STIRLING: readonly number[] = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360]

/**
 * Natural logarithm of the gamma function, to about 1e-14 relative.
 *
 * @param x - > 0.
 * @returns `ln(Gamma(x))`.
 * @throws {RangeError} when `x` is not > 0.
 * @see NIST DLMF 5.11.1 (Stirling's series), 5.5.1 (recurrence)
 */
export function logGamma(x: number): number {
  if (!(x > 0)) throw invalidArgument('compute logGamma', 'x', '> 0', x)
  // The series is accurate from 16 on; smaller arguments climb there by Gamma(x + 1) = x Gamma(x).
  let product = 1
  let z = x
  while (z < 16) {
    product *= z
    z += 1
  }
  let series = 0
  for (let k = STIRLING.length - 1; k >= 0; k--) series = series / (z * z) + (STIRLING[k] as number)
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series / z - Math.log(product)
}

/**
 * Upper regularised incomplete gamma function: the survival function of a gamma variable of shape `a`.
 *
 * @param a - Shape, > 0.
 * @param x - >= 0.
 * @returns `Q(a, x) = Gamma(a, x) / Gamma(a)`, from 0 to 1.
 * @throws {RangeError} when an argument is out of range.
 * @see NIST DLMF 8.2.4; 8.7.1 (series, used below a + 1), 8.9.2 (continued fraction, used above)
 */
export function regularizedGammaQ(a: number, x: number): number {
  checkArguments(a, x)
  if (x === 0) return 1
  if (x === Infinity) return 0
  return x < a + 1 ? 1 - lowerSeries(a, x) : upperFraction(a, x)
}

/**
 * Lower regularised incomplete gamma function: the distribution function of a gamma variable of shape `a`.
 *
 * @param a - Shape, > 0.
 * @param x - >= 0.
 * @returns `P(a, x) = 1 - Q(a, x)`, from 0 to 1, without cancellation where it is small.
 * @throws {RangeError} when an argument is out of range.
 * @see NIST DLMF 8.2.4
 */
export function regularizedGammaP(a: number, x: number): number {
  checkArguments(a, x)
  if (x === 0) return 0
  if (x === Infinity) return 1
  return x < a + 1 ? lowerSeries(a, x) : 1 - upperFraction(a, x)
}

function checkArguments(a: number, x: number): void {
  const action = 'compute the incomplete gamma function'
  if (!(a > 0 && a < Infinity)) throw invalidArgument(action, 'a', 'finite and > 0', a)
  if (!(x >= 0)) throw invalidArgument(action, 'x', '>= 0', x)
}

/** `x^a e^-x / Gamma(a)`, the factor that both expansions share. */
function prefactor(a: number, x: number): number {
  return Math.exp(a * Math.log(x) - x - logGamma(a))
}

function lowerSeries(a: number, x: number): number {
  let term = 1 / a
  let sum = term
  for (let n = 1; n < MAX_ITERATIONS && term > sum * PRECISION; n++) {
    term *= x / (a + n)
    sum += term
  }
  return sum * prefactor(a, x)
}

/** The continued fraction by the modified Lentz method. */
function upperFraction(a: number, x: number): number {
  let b = x + 1 - a
  let c = 1 / TINY
  let d = 1 / b
  let value = d
  for (let n = 1; n < MAX_ITERATIONS; n++) {
    const numerator = n * (a - n)
    b += 2
    d = 1 / awayFromZero(numerator * d + b)
    c = awayFromZero(b + numerator / c)
    const factor = c * d
    value *= factor
    if (Math.abs(factor - 1) < PRECISION) break
  }
  return value * prefactor(a, x)
}

function awayFromZero(value: number): number {
  return Math.abs(value) < TINY ? TINY : value
}
