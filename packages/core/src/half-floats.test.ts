import { describe, expect, it } from 'vitest'
import { numberToBf16, numberToF16 } from './conformance/storage.ts'
import { bf16ToNumber, f16ToNumber } from './half-floats.ts'

describe('f16ToNumber()', () => {
  it('widens normal, subnormal and special patterns', () => {
    const table: [number, number][] = [
      [0x3c00, 1],
      [0xc000, -2],
      [0x3555, 0.333251953125],
      [0x7bff, 65504],
      [0x0400, 2 ** -14],
      [0x0001, 2 ** -24],
      [0x83ff, -1023 * 2 ** -24],
      [0x7c00, Infinity],
      [0xfc00, -Infinity],
      [0x7e00, Number.NaN],
      [0x8000, -0],
    ]
    for (const [bits, value] of table) expect(f16ToNumber(bits)).toBe(value)
  })

  it('is undone by the rounding of test inputs for every finite pattern', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = f16ToNumber(bits)
      if (Number.isFinite(value) && !Object.is(value, -0)) expect(numberToF16(value)).toBe(bits)
    }
  })
})

describe('bf16ToNumber()', () => {
  it('widens patterns to the upper half of an f32', () => {
    expect(bf16ToNumber(0x3f80)).toBe(1)
    expect(bf16ToNumber(0xc040)).toBe(-3)
    expect(bf16ToNumber(0x0001)).toBe(2 ** -133)
    expect(bf16ToNumber(0xff80)).toBe(-Infinity)
    expect(bf16ToNumber(0x7fc0)).toBeNaN()
    for (let bits = 0; bits < 0x10000; bits += 7) {
      const value = bf16ToNumber(bits)
      if (Number.isFinite(value)) expect(numberToBf16(value)).toBe(bits)
    }
  })
})
