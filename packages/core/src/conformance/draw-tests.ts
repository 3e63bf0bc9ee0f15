/**
 * Statistical tests of a sampler's draws: frequencies against the exact distribution, rare tokens, independence.
 *
 * @module
 */
import type { BackendFeature } from '../backend.ts'
import type { NoiseScheme } from '../noise.ts'
import { sampleFromLogits } from '../oracle.ts'
import { MAX_NUM_SAMPLES, normalizeParams } from '../params.ts'
import { transformLogits } from '../transform.ts'
import type { SamplingParams } from '../types.ts'
import type { DrawSource } from './draw-source.ts'
import { createGenerator } from './generator.ts'
import { chiSquareTest, independenceTest, poissonTest, type TestStatistic } from './statistics.ts'

/** A statistical test of a source of draws. */
export interface DrawTest {
  /** The hypothesis, as a fact. */
  name: string
  /** Transforms and filters that the test uses. */
  needs: readonly BackendFeature[]
  /** Noise of the draws. */
  noiseScheme: NoiseScheme
  /**
   * Draws and tests.
   *
   * @param source - The sampler under test.
   * @param draws - Draws of a chi-square test; tests of a huge vocabulary take 1/1024 of them.
   * @returns The statistic and the number of draws it rests on.
   */
  run(source: DrawSource, draws: number): Promise<TestStatistic & { draws: number }>
}

type RowOptions = Omit<SamplingParams, 'seed' | 'position' | 'drawIndex' | 'numSamples'>

const ROWS_PER_CALL = 32

/** Exact probabilities of the tokens that mask and filters keep. */
function exactProbabilities(logits: Float32Array, options: RowOptions): Float64Array {
  const params = { seed: 0n, ...options }
  const transformed = transformLogits(logits, normalizeParams(params, logits.length))
  const { keptCount } = sampleFromLogits(logits, params)
  // Every kept set is a prefix of the ranking.
  const kept = [...transformed.keys()]
    .sort((a, b) => (transformed[b] as number) - (transformed[a] as number) || a - b)
    .slice(0, keptCount)
  const max = transformed[kept[0] as number] as number
  const probabilities = new Float64Array(logits.length)
  for (const tokenId of kept)
    probabilities[tokenId] = Math.exp((transformed[tokenId] as number) - max)
  return probabilities
}

function spreadLogits(seed: bigint, vocabSize: number, spread: number): Float32Array {
  const generator = createGenerator(seed)
  return Float32Array.from({ length: vocabSize }, () => generator.normal() * spread)
}

/** Counts of every token over `draws` draws at consecutive positions. */
async function countTokens(
  source: DrawSource,
  logits: Float32Array,
  options: RowOptions & { seed: bigint },
  draws: number,
  noiseScheme: NoiseScheme,
): Promise<Float64Array> {
  const counts = new Float64Array(logits.length)
  const numSamples = Math.min(MAX_NUM_SAMPLES, draws)
  const numRows = Math.ceil(draws / numSamples)
  for (let start = 0; start < numRows; start += ROWS_PER_CALL) {
    const params = Array.from({ length: Math.min(ROWS_PER_CALL, numRows - start) }, (_, row) => ({
      ...options,
      position: BigInt(start + row),
      numSamples,
    }))
    for (const tokenId of await source.draw(logits, params, noiseScheme)) {
      counts[tokenId] = (counts[tokenId] as number) + 1
    }
  }
  return counts
}

function frequencyTest(
  name: string,
  seed: bigint,
  logits: Float32Array,
  options: RowOptions = {},
  noiseScheme: NoiseScheme = 'flash',
): DrawTest {
  const needs: BackendFeature[] = []
  if (options.topK !== undefined) needs.push('topK')
  if (options.topP !== undefined) needs.push('topP')
  if (options.minP !== undefined) needs.push('minP')
  if (options.allowedTokens !== undefined) needs.push('allowedTokens')
  return {
    name: `frequencies: ${name}`,
    needs,
    noiseScheme,
    async run(source, draws) {
      const counts = await countTokens(source, logits, { seed, ...options }, draws, noiseScheme)
      const total = counts.reduce((sum, count) => sum + count, 0)
      return { draws: total, ...chiSquareTest(counts, exactProbabilities(logits, options)) }
    },
  }
}

/** Joint counts of two draws, the keys of which differ as `pair` says. */
function pairTest(
  name: string,
  pair: (index: number) => readonly [SamplingParams, SamplingParams],
): DrawTest {
  const vocabSize = 10
  const logits = spreadLogits(300n, vocabSize, 0.5)
  return {
    name: `independence: ${name}`,
    needs: [],
    noiseScheme: 'flash',
    async run(source, draws) {
      const table = Array.from({ length: vocabSize }, () => new Float64Array(vocabSize))
      const numSamples = 512
      const numPairs = Math.ceil(draws / numSamples)
      for (let start = 0; start < numPairs; start += ROWS_PER_CALL) {
        const params: SamplingParams[] = []
        for (let index = start; index < Math.min(numPairs, start + ROWS_PER_CALL); index++) {
          params.push(...pair(index).map((row) => ({ ...row, numSamples })))
        }
        const tokenIds = await source.draw(logits, params, 'flash')
        for (let row = 0; row < params.length; row += 2) {
          for (let draw = 0; draw < numSamples; draw++) {
            const first = tokenIds[row * numSamples + draw] as number
            const second = tokenIds[(row + 1) * numSamples + draw] as number
            const cells = table[first] as Float64Array
            cells[second] = (cells[second] as number) + 1
          }
        }
      }
      return { draws: numPairs * numSamples * 2, ...independenceTest(table) }
    },
  }
}

/** Rows far apart, so that pairs of one test never overlap. */
const at = (index: number): bigint => BigInt(index) * 1000n

const FLAT = spreadLogits(301n, 32, 0.3)
const STEEP = spreadLogits(302n, 32, 2)

/** Every statistical test of draws. */
export const DRAW_TESTS: readonly DrawTest[] = [
  frequencyTest('follow the softmax of nearly flat logits', 401n, FLAT),
  frequencyTest('follow the softmax of steep logits', 402n, STEEP),
  frequencyTest('follow the softmax at temperature 0.6', 403n, STEEP, { temperature: 0.6 }),
  frequencyTest('follow the softmax at temperature 3', 404n, STEEP, { temperature: 3 }),
  frequencyTest('follow the softmax of 200 tokens', 405n, spreadLogits(303n, 200, 1)),
  frequencyTest('follow the softmax over a mask', 406n, STEEP, {
    allowedTokens: [0, 3, 7, 8, 11, 15, 16, 24, 31],
  }),
  frequencyTest('follow the filtered softmax with topK', 407n, STEEP, { topK: 11 }),
  frequencyTest('follow the filtered softmax with topP', 408n, STEEP, {
    temperature: 2.5,
    topP: 0.8,
  }),
  frequencyTest('follow the filtered softmax with minP', 409n, STEEP, { minP: 0.002 }),
  frequencyTest('follow the filtered softmax with every filter and a mask', 410n, STEEP, {
    temperature: 1.4,
    topK: 14,
    topP: 0.93,
    minP: 0.01,
    allowedTokens: Array.from({ length: 32 }, (_, id) => id).filter((id) => id % 5 !== 0),
  }),
  frequencyTest('follow the softmax under the vllm noise scheme', 411n, STEEP, {}, 'vllm'),
  {
    name: 'frequencies: favour no token id among equal logits',
    needs: [],
    noiseScheme: 'flash',
    async run(source, draws) {
      // Coarse noise ties often and gives ties to low ids, a drift that four blocks of ids show best.
      const counts = await countTokens(
        source,
        new Float32Array(128),
        { seed: 414n },
        draws,
        'flash',
      )
      const blocks = new Float64Array(4)
      for (const [tokenId, count] of counts.entries()) {
        blocks[tokenId >> 5] = (blocks[tokenId >> 5] as number) + count
      }
      const total = blocks.reduce((sum, count) => sum + count, 0)
      return { draws: total, ...chiSquareTest(blocks, new Float64Array(4).fill(1)) }
    },
  },
  {
    name: 'rare tokens: come as often as their probability of about 1e-5 says',
    needs: [],
    noiseScheme: 'flash',
    async run(source, draws) {
      // 16 common tokens of probability 0.0623 and 200 rare ones of 1e-5, mixed.
      const logits = Float32Array.from({ length: 216 }, (_, id) =>
        id % 27 < 2 ? 0 : Math.log(1e-5 / 0.0623),
      )
      const counts = await countTokens(source, logits, { seed: 412n }, draws, 'flash')
      const total = counts.reduce((sum, count) => sum + count, 0)
      return { draws: total, ...chiSquareTest(counts, exactProbabilities(logits, {})) }
    },
  },
  {
    name: 'rare tokens: their sum over 131073 tokens keeps its probability of 1e-5',
    needs: [],
    noiseScheme: 'flash',
    async run(source, draws) {
      // Noise that reaches infinity once in 2^24 would draw one of the others in 0.8 % of all draws.
      const vocabSize = 131_073
      const logits = new Float32Array(vocabSize)
      logits[77_777] = Math.log(vocabSize) + Math.log(1e5)
      const wanted = Math.max(256, Math.ceil(draws / 1024))
      let others = 0
      const numSamples = 16
      for (let row = 0; row < wanted / numSamples; row++) {
        const params = [{ seed: 413n, position: BigInt(row), numSamples }]
        const tokenIds = await source.draw(logits, params, 'flash')
        others += tokenIds.filter((tokenId) => tokenId !== 77_777).length
      }
      const total = Math.ceil(wanted / numSamples) * numSamples
      return { draws: total, ...poissonTest(others, total * 1e-5) }
    },
  },
  pairTest('of consecutive positions', (index) => [
    { seed: 420n, position: at(index) },
    { seed: 420n, position: at(index) + 1n },
  ]),
  pairTest('of consecutive seeds', (index) => [
    { seed: at(index), position: 7n },
    { seed: at(index) + 1n, position: 7n },
  ]),
  pairTest('of seeds and positions in exchange', (index) => [
    { seed: at(index) + 1n, position: at(index) },
    { seed: at(index), position: at(index) + 1n },
  ]),
  pairTest('of consecutive draw indices', (index) => [
    { seed: 421n, position: at(index) },
    { seed: 421n, position: at(index), drawIndex: 1 },
  ]),
  pairTest('of rows of one batch with seeds 2^32 apart', (index) => [
    { seed: at(index), position: 0n },
    { seed: at(index) + (1n << 32n), position: 0n },
  ]),
]
