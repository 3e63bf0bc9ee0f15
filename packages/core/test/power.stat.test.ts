import { describe, expect, it } from 'vitest'
import { DRAW_TESTS } from '../src/conformance/draw-tests.ts'
import { NOISE_TESTS } from '../src/conformance/noise-tests.ts'
import {
  bf16ToNumber,
  createOracleSource,
  type DrawSource,
  deriveRowKey,
  gumbelFromBits,
  noiseBitsFromRowKey,
  runStatistics,
} from '../src/index.ts'

const fround = Math.fround
const f32 = new Float32Array(1)
const u32 = new Uint32Array(f32.buffer)

/** Rounds to the nearest bfloat16. */
function toBf16(value: number): number {
  f32[0] = value
  return bf16ToNumber(((u32[0] as number) + 0x8000) >>> 16)
}

/** A Gumbel-max sampler in which one thing is wrong. */
interface Mistake {
  /** Noise of 32 random bits. */
  gumbel?: (bits: number) => number
  /** Rounds a score. */
  round?: (score: number) => number
  /** The token whose bits are used. */
  tokenOf?: (tokenId: number) => number
  /** The key whose noise is used. */
  keyOf?: (key: { seed: bigint; position: bigint; drawIndex: number }) => {
    seed: bigint
    position: bigint
    drawIndex: number
  }
}

function createMistakenSource(mistake: Mistake): DrawSource {
  const {
    gumbel = gumbelFromBits,
    round = (score) => score,
    tokenOf = (tokenId) => tokenId,
    keyOf = (key) => key,
  } = mistake
  return {
    name: 'mistaken',
    features: ['numSamples'],
    noiseSchemes: ['flash'],
    async draw(logits, params) {
      const tokenIds: number[] = []
      for (const { seed, position = 0, drawIndex = 0, numSamples = 1 } of params) {
        for (let draw = 0; draw < numSamples; draw++) {
          const key = keyOf({ seed, position: BigInt(position), drawIndex: drawIndex + draw })
          const rowKey = deriveRowKey(key)
          let best = -Infinity
          let winner = -1
          for (let tokenId = 0; tokenId < logits.length; tokenId++) {
            const noise = gumbel(noiseBitsFromRowKey(rowKey, tokenOf(tokenId)))
            const score = round((logits[tokenId] as number) + noise)
            if (score > best) {
              best = score
              winner = tokenId
            }
          }
          tokenIds.push(winner)
        }
      }
      return Int32Array.from(tokenIds)
    },
    async dispose() {},
  }
}

const FLAT = 'frequencies: follow the softmax of nearly flat logits'
const EQUAL = 'frequencies: favour no token id among equal logits'

/** Mistakes, each with a test that must reject it and the draws that suffice. */
const MISTAKES: Record<string, Mistake & { rejectedBy: string; draws: number }> = {
  'noise rounded to bf16': {
    gumbel: (bits) => toBf16(gumbelFromBits(bits)),
    rejectedBy: EQUAL,
    draws: 2 ** 19,
  },
  'scores rounded to bf16': { round: toBf16, rejectedBy: EQUAL, draws: 2 ** 19 },
  'noise of 8 bits': {
    gumbel: (bits) => gumbelFromBits((bits & 0xff000000) + 0x800000),
    rejectedBy: EQUAL,
    draws: 2 ** 16,
  },
  'a uniform of 24 bits that fp32 rounds to 1': {
    gumbel: (bits) => -Math.log(-Math.log(fround(fround((bits >>> 8) + 0.5) * 2 ** -24))),
    rejectedBy: 'rare tokens: their sum over 131073 tokens keeps its probability of 1e-5',
    draws: 2 ** 18,
  },
  'bits truncated to 12, so that rare tokens never win': {
    gumbel: (bits) => gumbelFromBits((bits & 0xfff00000) + 0x80000),
    rejectedBy: 'rare tokens: come as often as their probability of about 1e-5 says',
    draws: 2 ** 17,
  },
  'a clamped upper tail': {
    gumbel: (bits) => Math.min(10, gumbelFromBits(bits)),
    rejectedBy: 'rare tokens: come as often as their probability of about 1e-5 says',
    draws: 2 ** 17,
  },
  'normal instead of Gumbel noise': {
    gumbel: (bits) => 1.28 * ((bits & 0xffff) / 65536 + (bits >>> 16) / 65536 - 1) * Math.sqrt(6),
    rejectedBy: FLAT,
    draws: 2 ** 18,
  },
  'one noise for tokens t and t + 8': {
    tokenOf: (tokenId) => tokenId & ~8,
    rejectedBy: FLAT,
    draws: 2 ** 18,
  },
  'the same noise at odd positions as at the even ones before': {
    keyOf: (key) => ({ ...key, position: key.position & ~1n }),
    rejectedBy: 'independence: of consecutive positions',
    draws: 2 ** 18,
  },
  'the sum of seed and position as the key': {
    keyOf: (key) => ({ ...key, seed: key.seed + key.position, position: 0n }),
    rejectedBy: 'independence: of seeds and positions in exchange',
    draws: 2 ** 18,
  },
  'the lower half of the seed alone': {
    keyOf: (key) => ({ ...key, seed: key.seed & 0xffff_ffffn }),
    rejectedBy: 'independence: of rows of one batch with seeds 2^32 apart',
    draws: 2 ** 18,
  },
  'draw indices that advance by halves': {
    keyOf: (key) => ({ ...key, drawIndex: key.drawIndex >> 1 }),
    rejectedBy: 'independence: of consecutive draw indices',
    draws: 2 ** 18,
  },
}

describe('statistical tests', () => {
  it.each(Object.entries(MISTAKES))('reject %s', async (_, { rejectedBy, draws, ...mistake }) => {
    const { tests } = await runStatistics(createMistakenSource(mistake), {
      filter: rejectedBy,
      draws,
    })
    expect(tests.map((test) => [test.name, test.status])).toEqual([[rejectedBy, 'failed']])
    expect(tests[0]?.pValue).toBeLessThan(1e-3)
  })

  it('accept the same sampler without a mistake', async () => {
    const { tests } = await runStatistics(createMistakenSource({}), {
      filter: FLAT,
      draws: 2 ** 18,
    })
    expect(tests.map((test) => test.status)).toEqual(['passed'])
  })

  it('skip what the source does not serve, with the reason', async () => {
    const { skipped, tests } = await runStatistics(
      { ...createOracleSource(), features: [], noiseSchemes: ['flash'] },
      { filter: 'follow the', draws: 1024 },
    )
    expect(skipped).toBe(6)
    expect(tests.find((test) => test.name.includes('with topP'))).toMatchObject({
      status: 'skipped',
      reason: 'the backend does not serve topP',
      draws: 0,
    })
    expect(tests.find((test) => test.name.includes('vllm'))?.reason).toBe(
      'the backend does not serve the noise scheme vllm',
    )
  })

  it('fail when the source throws', async () => {
    const source: DrawSource = {
      ...createOracleSource(),
      draw: () => Promise.reject(new Error('no device')),
    }
    const { failed, tests } = await runStatistics(source, { filter: FLAT, draws: 1024 })
    expect(failed).toBe(1)
    expect(tests[0]).toMatchObject({ status: 'failed', reason: 'Error: no device' })
  })

  it('have names of their own', () => {
    const names = [...DRAW_TESTS, ...NOISE_TESTS].map((test) => test.name)
    expect(new Set(names).size).toBe(names.length)
  })
})
