import { describe, expect, it } from 'vitest'
import { bf16ToNumber, f16ToNumber } from '../half-floats.ts'
import { createGenerator } from './generator.ts'
import { nearestBf16, nearestF16, splitToBf16 } from './storage.ts'

const FORMATS = [
  { name: 'bf16', nearest: nearestBf16, widen: bf16ToNumber, infinity: 0x7f80 },
  { name: 'f16', nearest: nearestF16, widen: f16ToNumber, infinity: 0x7c00 },
] as const

describe.each(FORMATS)('rounding to $name', ({ nearest, widen, infinity }) => {
  it('keeps every value of the format, infinities included', () => {
    for (let bits = 0; bits <= infinity; bits++) {
      expect(nearest(widen(bits))).toBe(bits)
      if (bits > 0) expect(nearest(widen(bits | 0x8000))).toBe(bits | 0x8000)
    }
  })

  it('takes the nearer neighbour, and the even one on ties', () => {
    for (let bits = 0; bits < infinity - 1; bits += 7) {
      const low = widen(bits)
      const gap = widen(bits + 1) - low
      expect(nearest(low + gap * 0.25)).toBe(bits)
      expect(nearest(low + gap * 0.5)).toBe(bits % 2 === 0 ? bits : bits + 1)
      expect(nearest(low + gap * 0.75)).toBe(bits + 1)
      expect(nearest(-(low + gap * 0.75))).toBe((bits + 1) | 0x8000)
    }
  })
})

describe('nearestF16()', () => {
  it('gives infinity from half a step beyond the largest value on', () => {
    expect(nearestF16(65519.9)).toBe(0x7bff)
    expect(nearestF16(65520)).toBe(0x7c00)
    expect(nearestF16(-1e30)).toBe(0xfc00)
  })
})

describe('splitToBf16()', () => {
  it('gives three bfloat16 values whose every partial sum is exact in fp32', () => {
    const generator = createGenerator(11n)
    for (let i = 0; i < 10_000; i++) {
      const value = Math.fround(generator.normal() * 10 ** generator.integer(-20, 30))
      const [high, middle, low] = splitToBf16(value)
      for (const part of [high, middle, low]) expect(bf16ToNumber(nearestBf16(part))).toBe(part)
      expect(high + middle + low).toBe(value)
      for (const sum of [high + middle, high + low, middle + low]) {
        expect(Math.fround(sum)).toBe(sum)
      }
    }
    expect(splitToBf16(Number.NEGATIVE_INFINITY)).toEqual([Number.NEGATIVE_INFINITY, 0, 0])
    expect(splitToBf16(Number.NaN)).toEqual([Number.NaN, 0, 0])
  })
})
