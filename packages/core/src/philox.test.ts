import { describe, expect, it } from 'vitest'
import { philox2x32, philox4x32 } from './philox.ts'

// Known answers of Random123's kat_vectors: all zeros, all ones, digits of pi.
describe('philox4x32()', () => {
  it('gives the known answers of Random123', () => {
    const f = 0xffffffff
    expect([...philox4x32([0, 0, 0, 0], [0, 0])]).toEqual([
      0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8,
    ])
    expect([...philox4x32([f, f, f, f], [f, f])]).toEqual([
      0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd,
    ])
    expect([
      ...philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
    ]).toEqual([0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1])
  })

  it('takes its words modulo 2^32', () => {
    expect(philox4x32([-1, 2 ** 32 + 5, 0, 0], [0, -2])).toEqual(
      philox4x32([0xffffffff, 5, 0, 0], [0, 0xfffffffe]),
    )
  })
})

describe('philox2x32()', () => {
  it('gives the known answers of Random123', () => {
    const f = 0xffffffff
    expect([...philox2x32([0, 0], 0)]).toEqual([0xff1dae59, 0x6cd10df2])
    expect([...philox2x32([f, f], f)]).toEqual([0x2c3f628b, 0xab4fd7ad])
    expect([...philox2x32([0x243f6a88, 0x85a308d3], 0x13198a2e)]).toEqual([0xdd7ce038, 0xf62a4c12])
  })

  it('takes the key as a number or as an array', () => {
    expect(philox2x32([1, 2], [3])).toEqual(philox2x32([1, 2], 3))
  })
})
