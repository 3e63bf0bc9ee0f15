import { describe, expect, it } from 'vitest'
import {
  deriveRowKey,
  gumbelFromBits,
  type NoiseDomain,
  noiseBitsFromRowKey,
  tokenNoiseBits,
  uniformFromBits,
} from './noise.ts'
import { philox2x32, philox4x32 } from './philox.ts'

describe('tokenNoiseBits()', () => {
  it('serves tokens t and t + 8 from the two words of one Philox call', () => {
    const rowKey = philox4x32([5, 6, 7, 0], [8, 9])
    const key = { seed: (9n << 32n) | 8n, position: (6n << 32n) | 5n, drawIndex: 7 }
    for (let tokenId = 0; tokenId < 200; tokenId++) {
      const pair = Math.floor(tokenId / 16) * 8 + (tokenId % 8)
      const words = philox2x32([pair, rowKey[0] as number], rowKey[1] as number)
      expect(tokenNoiseBits({ ...key, tokenId })).toBe(words[tokenId % 16 < 8 ? 0 : 1])
    }
  })

  it('gives 100,000 consecutive tokens different counters', () => {
    const pairs = new Set<string>()
    for (let tokenId = 0; tokenId < 100_000; tokenId++) {
      pairs.add(`${((tokenId >>> 4) << 3) | (tokenId & 7)}:${(tokenId >>> 3) & 1}`)
    }
    expect(pairs.size).toBe(100_000)
  })

  it('takes all 64 bits of seed and position, the draw index and the domain into account', () => {
    const base = { seed: 1n, position: 1n, drawIndex: 1, tokenId: 1 }
    const bits = new Set([
      tokenNoiseBits(base),
      tokenNoiseBits({ ...base, seed: 1n + (1n << 63n) }),
      tokenNoiseBits({ ...base, position: 1n + (1n << 63n) }),
      tokenNoiseBits({ ...base, drawIndex: 0x80000001 }),
      tokenNoiseBits({ ...base, tokenId: 0x80000001 }),
      ...([1, 2, 3] as NoiseDomain[]).map((domain) => tokenNoiseBits({ ...base, domain })),
      tokenNoiseBits({ ...base, scheme: 'vllm' }),
    ])
    expect(bits.size).toBe(9)
  })

  it('takes the position as a number or as a bigint', () => {
    for (const position of [0, 1, 2 ** 32 + 3, 2 ** 53 - 1]) {
      expect(deriveRowKey({ seed: 3n, position })).toEqual(
        deriveRowKey({ seed: 3n, position: BigInt(position) }),
      )
    }
    expect(deriveRowKey({ seed: 3n })).toEqual(
      deriveRowKey({ seed: 3n, position: 0, drawIndex: 0 }),
    )
  })

  it('rejects what is not a u64, a u32 or a bigint', () => {
    const message = (call: () => unknown): string => {
      try {
        call()
      } catch (error) {
        return `${(error as Error).name}: ${(error as Error).message}`
      }
      return 'no error'
    }
    const base = { seed: 1n, tokenId: 0 }
    expect(message(() => tokenNoiseBits({ ...base, seed: 7 as unknown as bigint }))).toBe(
      'TypeError: Cannot derive noise as "seed" must be a bigint: current value is 7 (number)',
    )
    expect(message(() => tokenNoiseBits({ ...base, seed: -1n }))).toBe(
      'RangeError: Cannot derive noise as "seed" must be from 0 to 2^64 - 1: current value is -1n',
    )
    expect(message(() => tokenNoiseBits({ ...base, seed: 1n << 64n }))).toContain(
      'from 0 to 2^64 - 1',
    )
    expect(message(() => tokenNoiseBits({ ...base, position: 1.5 }))).toBe(
      'RangeError: Cannot derive noise as "position" must be a whole number from 0 to 2^53 - 1, or a bigint: ' +
        'current value is 1.5',
    )
    expect(message(() => tokenNoiseBits({ ...base, drawIndex: -1 }))).toContain('"drawIndex"')
    expect(message(() => tokenNoiseBits({ ...base, tokenId: 2 ** 32 }))).toContain('"tokenId"')
  })
})

describe('noiseBitsFromRowKey()', () => {
  it('reproduces the two steps of the vllm scheme', () => {
    const gumbelSeed = philox4x32([4, 0, 0, 0], [77, 0])[0] as number
    expect(deriveRowKey({ seed: 77n, position: 4 }, 0, 'vllm')).toEqual([gumbelSeed, 0])
    expect(noiseBitsFromRowKey([gumbelSeed, 0], 1234, 'vllm')).toBe(
      philox4x32([1234, 0, 0, 0], [gumbelSeed, 0])[0],
    )
  })
})

describe('uniformFromBits()', () => {
  it('stays strictly inside (0, 1), symmetric about one half', () => {
    expect(uniformFromBits(0)).toBe(2 ** -33)
    expect(uniformFromBits(0xffffffff)).toBe(1 - 2 ** -33)
    for (const bits of [0, 1, 12345, 0x7fffffff]) {
      expect(uniformFromBits(bits) + uniformFromBits(~bits)).toBe(1)
    }
  })

  it('folds the sign and clamps zero in the vllm scheme', () => {
    expect(uniformFromBits(0, 'vllm')).toBe(4.6566127342e-10)
    expect(uniformFromBits(0xffffffff, 'vllm')).toBe(4.6566127342e-10)
    expect(uniformFromBits(0x80000000, 'vllm')).toBe(uniformFromBits(0x7fffffff, 'vllm'))
    expect(uniformFromBits(0x7fffffff, 'vllm')).toBeLessThan(1)
  })
})

describe('gumbelFromBits()', () => {
  it('falls strictly with the bits, from 22.87 to -3.14', () => {
    expect(gumbelFromBits(0)).toBeCloseTo(33 * Math.LN2, 9)
    expect(gumbelFromBits(0xffffffff)).toBeCloseTo(-Math.log(33 * Math.LN2), 9)
    let last = Infinity
    for (let bits = 0; bits <= 0xffffffff; bits += 65_537) {
      const noise = gumbelFromBits(bits)
      expect(noise).toBeLessThan(last)
      last = noise
    }
  })
})
