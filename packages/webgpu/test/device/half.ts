/** The half-precision pattern of a value that half precision holds. */
export function numberToF16(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const size = Math.abs(value)
  if (size === 0) return sign
  const exponent = Math.max(-14, Math.floor(Math.log2(size)))
  const mantissa = size / 2 ** exponent
  const bits = mantissa < 1 ? mantissa * 1024 : (exponent + 15) * 1024 + (mantissa - 1) * 1024
  return sign | bits
}
