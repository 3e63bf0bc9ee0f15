/**
 * Statistical tests of the noise contract itself and of the grouped forms, by the float64 reference functions.
 *
 * @module
 */
import { createOnlineSampler, mergeDistributed, sampleGroups, summarizeGroup } from '../groups.ts'
import { deriveRowKey, type NoiseDomain, type NoiseScheme, noiseBitsFromRowKey } from '../noise.ts'
import { createGenerator } from './generator.ts'
import {
  chiSquarePValue,
  chiSquareTest,
  independenceTest,
  poissonTest,
  type TestStatistic,
} from './statistics.ts'

/** A statistical test of noise bits or of a grouped form. */
export interface NoiseTest {
  /** The hypothesis, as a fact. */
  name: string
  /**
   * Draws and tests.
   *
   * @param draws - Noise values or draws.
   * @returns The statistic and the number of draws it rests on.
   */
  run(draws: number): TestStatistic & { draws: number }
}

/** Source of the `index`-th u32. */
type BitsAt = (index: number) => number

/** Words of consecutive tokens, 4096 to a row; the row key is the costly half, so the last one is kept. */
function overTokens(seed: bigint, domain: NoiseDomain = 0, scheme: NoiseScheme = 'flash'): BitsAt {
  let position = -1
  let rowKey: [number, number] = [0, 0]
  return (index) => {
    if (index >>> 12 !== position) {
      position = index >>> 12
      rowKey = deriveRowKey({ seed, position }, domain, scheme)
    }
    return noiseBitsFromRowKey(rowKey, index & 4095, scheme)
  }
}

/** Chi-square of all four bytes at once: 4 * 255 degrees of freedom. */
function byteTest(name: string, bitsAt: BitsAt): NoiseTest {
  return {
    name: `noise bits: ${name}`,
    run(draws) {
      const counts = Array.from({ length: 4 }, () => new Float64Array(256))
      for (let index = 0; index < draws; index++) {
        const bits = bitsAt(index)
        for (let byte = 0; byte < 4; byte++) {
          const cell = (bits >>> (8 * byte)) & 255
          const cells = counts[byte] as Float64Array
          cells[cell] = (cells[cell] as number) + 1
        }
      }
      // The bytes of one word are independent cells of their own: the four statistics add up.
      const tests = counts.map((cells) => chiSquareTest(cells, new Float64Array(256).fill(1)))
      const statistic = tests.reduce((sum, test) => sum + test.statistic, 0)
      const degreesOfFreedom = tests.reduce((sum, test) => sum + test.degreesOfFreedom, 0)
      return {
        draws,
        statistic,
        degreesOfFreedom,
        pValue: chiSquarePValue(statistic, degreesOfFreedom),
      }
    },
  }
}

/** Independence of the top four bits of two words. */
function wordPairTest(name: string, first: BitsAt, second: BitsAt): NoiseTest {
  return {
    name: `noise bits: ${name}`,
    run(draws) {
      const table = Array.from({ length: 16 }, () => new Float64Array(16))
      for (let index = 0; index < draws; index++) {
        const cells = table[first(index) >>> 28] as Float64Array
        const column = second(index) >>> 28
        cells[column] = (cells[column] as number) + 1
      }
      return { draws: 2 * draws, ...independenceTest(table) }
    },
  }
}

/** Number of words in one tail of probability 1e-5. */
function tailTest(name: string, isInTail: (bits: number) => boolean): NoiseTest {
  return {
    name: `noise tails: ${name}`,
    run(draws) {
      const bitsAt = overTokens(505n)
      const numWords = 8 * draws
      let observed = 0
      for (let index = 0; index < numWords; index++) if (isInTail(bitsAt(index))) observed++
      return { draws: numWords, ...poissonTest(observed, (numWords * TAIL) / 2 ** 32) }
    },
  }
}

/** 1e-5 of all u32. */
const TAIL = Math.round(1e-5 * 2 ** 32)

const generator = createGenerator(600n)
/** Ten tokens, four of which cannot be drawn. */
const LOGITS = Float64Array.from({ length: 10 }, (_, id) =>
  id === 2 || id > 6 ? -Infinity : generator.normal(),
)
const PROBABILITIES = LOGITS.map(Math.exp)

/** Chi-square of a grouped form against the softmax of all groups together. */
function groupTest(name: string, draw: (position: number) => number): NoiseTest {
  return {
    name: `grouped forms: ${name}`,
    run(draws) {
      const counts = new Float64Array(LOGITS.length)
      for (let position = 0; position < draws; position++) {
        const tokenId = draw(position)
        counts[tokenId] = (counts[tokenId] as number) + 1
      }
      return { draws, ...chiSquareTest(counts, PROBABILITIES) }
    },
  }
}

/** Uneven cuts of the ten tokens; the last group holds no drawable token. */
const CUTS = [0, 1, 4, 7, 10] as const
const PARTS = CUTS.slice(1).map((end, part) => LOGITS.slice(CUTS[part], end))

const evenTokens = overTokens(507n)
const oddTokens = overTokens(507n)

/** The first (offset 0) or second (offset 8) token of the `index`-th Philox call. */
function overPairs(bitsAt: BitsAt, offset: 0 | 8): BitsAt {
  return (index) => bitsAt(((index >>> 3) << 4) | (index & 7) | offset)
}

/** Every statistical test that needs no backend. */
export const NOISE_TESTS: readonly NoiseTest[] = [
  byteTest('are uniform over tokens', overTokens(501n)),
  byteTest('are uniform over group noise', overTokens(502n, 1)),
  byteTest('are uniform over plain uniforms', overTokens(503n, 2)),
  byteTest('are uniform over tokens of the vllm scheme', overTokens(504n, 0, 'vllm')),
  byteTest('are uniform over positions', (position) =>
    noiseBitsFromRowKey(deriveRowKey({ seed: 1n, position }), 11),
  ),
  byteTest('are uniform over seeds', (seed) =>
    noiseBitsFromRowKey(deriveRowKey({ seed: BigInt(seed) }), 11),
  ),
  byteTest('are uniform over draw indices', (drawIndex) =>
    noiseBitsFromRowKey(deriveRowKey({ seed: 1n, drawIndex }), 11),
  ),
  wordPairTest(
    'of tokens t and t + 8, which share a Philox call, are independent',
    overPairs(overTokens(506n), 0),
    overPairs(overTokens(506n), 8),
  ),
  wordPairTest(
    'of tokens t and t + 1 are independent',
    (index) => evenTokens(2 * index),
    (index) => oddTokens(2 * index + 1),
  ),
  wordPairTest(
    'of token noise and group noise are independent',
    overTokens(508n, 0),
    overTokens(508n, 1),
  ),
  tailTest('the highest noise comes once in 1e5', (bits) => bits < TAIL),
  tailTest('the lowest noise comes once in 1e5', (bits) => bits >= 2 ** 32 - TAIL),
  groupTest(
    'parallel groups follow the softmax',
    (position) => sampleGroups(LOGITS, { seed: 601n, position, groupSize: 3 }).tokenId,
  ),
  groupTest('online groups of unequal size follow the softmax', (position) => {
    const online = createOnlineSampler({ seed: 603n, position })
    for (const part of PARTS) online.push(part)
    return online.result().tokenId
  }),
  groupTest('distributed groups of unequal size follow the softmax', (position) => {
    const key = { seed: 604n, position }
    return mergeDistributed(
      PARTS.map((part, rank) => summarizeGroup(part, { ...key, startTokenId: CUTS[rank] })),
      key,
    ).tokenId
  }),
]
