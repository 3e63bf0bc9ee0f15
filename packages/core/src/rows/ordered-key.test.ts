import { describe, expect, it } from 'vitest'
import { orderedKeyOf, valueOfOrderedKey } from './ordered-key.ts'

describe('orderedKeyOf()', () => {
  const values = [
    -Infinity,
    -3.4e38,
    -1.5,
    -1e-45,
    0,
    1e-45,
    1,
    Math.fround(1 + 2 ** -23),
    3.4e38,
    Infinity,
  ].map(Math.fround)

  it('orders keys as the values are ordered', () => {
    const keys = values.map(orderedKeyOf)
    expect(keys).toEqual([...keys].sort((a, b) => a - b))
    expect(new Set(keys).size).toBe(values.length)
  })

  it('is undone by valueOfOrderedKey()', () => {
    for (const value of values) expect(valueOfOrderedKey(orderedKeyOf(value))).toBe(value)
  })

  it('takes both zeros for one', () => {
    expect(orderedKeyOf(-0)).toBe(orderedKeyOf(0))
  })

  it('gives neighbouring values neighbouring keys', () => {
    expect(valueOfOrderedKey(orderedKeyOf(1) + 1)).toBe(1 + 2 ** -23)
    expect(valueOfOrderedKey(orderedKeyOf(-1) + 1)).toBe(-(1 - 2 ** -24))
  })
})
