import { describe, expect, it } from 'vitest'
import { GOLDEN_DRAWS, GOLDEN_HEAD } from '../src/conformance/golden.ts'
import {
  gumbelFromBits,
  philox2x32,
  philox4x32,
  sampleFromLogits,
  tokenNoiseBits,
} from '../src/index.ts'
import { readContractFixture } from './fixture.ts'

const fixture = readContractFixture()

describe('contract.json', () => {
  it('holds every family of cases', () => {
    const sizes = Object.fromEntries(
      Object.entries(fixture).map(([family, cases]) => [family, cases.length]),
    )
    expect(sizes).toEqual({
      philox4x32: 24,
      philox2x32: 24,
      noise: 64,
      gumbel: 51,
      sample: 42,
      head: 3,
    })
  })

  it.each(fixture.philox4x32)('philox4x32 $counter, $key', ({ counter, key, words }) => {
    expect([...philox4x32(counter, key)]).toEqual(words)
  })

  it.each(fixture.philox2x32)('philox2x32 $counter, $key', ({ counter, key, words }) => {
    expect([...philox2x32(counter, key)]).toEqual(words)
  })

  it.each(fixture.noise)(
    'noise of seed $seed, position $position, draw $draw, token $tokenId',
    (noise) => {
      const { draw, tokenId, bits, gumbel, vllmBits, vllmGumbel } = noise
      const key = { seed: BigInt(noise.seed), position: BigInt(noise.position), tokenId }
      expect(tokenNoiseBits({ ...key, drawIndex: draw })).toBe(bits)
      expect(Math.abs(gumbelFromBits(bits) - gumbel)).toBeLessThanOrEqual(1e-9)
      expect(tokenNoiseBits({ ...key, drawIndex: 0, scheme: 'vllm' })).toBe(vllmBits)
      expect(Math.abs(gumbelFromBits(vllmBits, 'vllm') - vllmGumbel)).toBeLessThanOrEqual(1e-9)
    },
  )

  it.each(fixture.gumbel)('gumbel of bits $bits', ({ bits, gumbel }) => {
    expect(Math.abs(gumbelFromBits(bits) - gumbel)).toBeLessThanOrEqual(1e-9)
  })

  it.each(fixture.sample.map((sample, index) => ({ index, ...sample })))(
    'sample $index: $params',
    ({ logits, seed, position, params, tokenId, logprob, margin, kept }) => {
      const result = sampleFromLogits(logits, {
        ...params,
        seed: BigInt(seed),
        position: BigInt(position),
      })
      expect([result.tokenId, result.keptCount]).toEqual([tokenId, kept])
      expect(Math.abs(result.logprob - logprob)).toBeLessThanOrEqual(1e-9)
      if (margin === null) expect(result.margin).toBe(Infinity)
      else expect(Math.abs(result.margin - margin)).toBeLessThanOrEqual(1e-9)
    },
  )

  it.each(fixture.head.map((head, index) => ({ index, ...head })))(
    'head $index by the oracle',
    ({ hiddenStates, weight, temperature, seeds, positions, tokenIds, logprobs }) => {
      for (const [row, hidden] of hiddenStates.entries()) {
        const logits = weight.map((column) =>
          column.reduce((sum, value, i) => sum + value * (hidden[i] as number), 0),
        )
        const result = sampleFromLogits(logits, {
          seed: BigInt(seeds[row] as string),
          position: BigInt(positions[row] as string),
          temperature,
        })
        expect(result.tokenId).toBe(tokenIds[row])
        expect(Math.abs(result.logprob - (logprobs[row] as number))).toBeLessThanOrEqual(1e-9)
      }
    },
  )
})

describe('golden cases of the conformance kit', () => {
  it('are cases of contract.json, unchanged', () => {
    for (const golden of GOLDEN_DRAWS) {
      const { sixtyFourths, seed, position, ...rest } = golden
      const original = fixture.sample.find((sample) => sample.seed === String(seed))
      const {
        kept: _kept,
        margin: _margin,
        logits,
        seed: _seed,
        position: at,
        ...expected
      } = original ?? {}
      expect(rest).toEqual(expected)
      expect(sixtyFourths.map((value) => value / 64)).toEqual(logits)
      expect(String(position)).toBe(at)
    }
    const head = fixture.head[0]
    expect({
      ...GOLDEN_HEAD,
      seeds: GOLDEN_HEAD.seeds.map(String),
      positions: GOLDEN_HEAD.positions.map(Number),
    }).toEqual({ ...head, positions: head?.positions.map(Number) })
  })
})
