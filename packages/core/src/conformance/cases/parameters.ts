import type { BackendFeature } from '../../backend.ts'
import type { NoiseScheme } from '../../noise.ts'
import type { SamplingParams } from '../../types.ts'
import type { CaseContext, ConformanceCase } from '../context.ts'
import { createGenerator, type Generator } from '../generator.ts'

/** Parameters of one row beside its noise key. */
type Choice = Omit<SamplingParams, 'seed' | 'position'>

/** Makes one row's parameters; `vocabSize` bounds token ids. */
type Chooser = (generator: Generator, vocabSize: number) => Choice

function pick<T>(generator: Generator, values: readonly T[]): T {
  return values[generator.integer(0, values.length - 1)] as T
}

function tokenList(generator: Generator, vocabSize: number, length: number): number[] {
  return Array.from({ length }, () => generator.integer(0, vocabSize - 1))
}

/** A bitmask on even draws, a list of ids on odd ones; never empty. */
function someTokens(generator: Generator, vocabSize: number): Int32Array | number[] {
  const ids = tokenList(generator, vocabSize, generator.integer(1, Math.max(1, vocabSize >> 1)))
  if (generator.u32() & 1) return ids
  const words = new Int32Array(Math.ceil(vocabSize / 32))
  for (const id of ids) words[id >> 5] = (words[id >> 5] as number) | (1 << (id & 31))
  return words
}

const CHOOSERS: Record<Exclude<BackendFeature, 'numSamples'>, Chooser> = {
  topK: (generator, vocabSize) => ({ topK: pick(generator, [1, 2, 5, 40, 200, vocabSize, 5000]) }),
  topP: (generator) => ({ topP: pick(generator, [0, 0.01, 0.3, 0.7, 0.9, 0.95, 0.999]) }),
  minP: (generator) => ({ minP: pick(generator, [1e-6, 0.001, 0.02, 0.1, 0.5, 1]) }),
  logitBias: (generator, vocabSize) => {
    const ids = tokenList(generator, vocabSize, 8)
    const bias = new Map(ids.map((id) => [id, generator.normal() * 5]))
    bias.set(ids[0] as number, vocabSize > 1 ? -Infinity : 0)
    return { logitBias: generator.u32() & 1 ? bias : Object.fromEntries(bias) }
  },
  allowedTokens: (generator, vocabSize) => ({ allowedTokens: someTokens(generator, vocabSize) }),
  penalties: (generator, vocabSize) => {
    const outputTokenIds = tokenList(generator, vocabSize, 12)
    return {
      repetitionPenalty: pick(generator, [1, 0.8, 1.1, 1.4]),
      presencePenalty: pick(generator, [0, 0.6, -0.4]),
      frequencyPenalty: pick(generator, [0, 0.3, -0.2]),
      promptTokenIds: tokenList(generator, vocabSize, 12),
      outputTokenIds: [...outputTokenIds, ...outputTokenIds.slice(0, 5)],
    }
  },
}

/** Runs random rows whose parameters come from `choose`, several to a batch, over shapes that are no tile's multiple. */
async function compareRandomRows(
  context: CaseContext,
  seed: bigint,
  choose: Chooser,
  noiseScheme: NoiseScheme = 'flash',
): Promise<void> {
  const shapes = [
    { vocabSize: 1009, hiddenSize: 48 },
    { vocabSize: 37, hiddenSize: 20 },
    { vocabSize: 3001, hiddenSize: 64 },
  ].slice(0, context.quick ? 1 : 3)
  for (const [index, shape] of shapes.entries()) {
    const batchSize = context.batchSize(12)
    const testCase = context.makeCase({ seed: seed + BigInt(index), ...shape, batchSize })
    const generator = createGenerator(seed + BigInt(index), 3)
    const sampler = await context.sampler(testCase.lmHead, noiseScheme)
    for (let round = 0; round < (context.quick ? 1 : 2); round++) {
      const params = Array.from({ length: batchSize }, () => ({
        seed: generator.u64(),
        position: generator.u64(),
        drawIndex: generator.integer(0, 1000),
        temperature: pick(generator, [0.3, 0.7, 1, 1.5]),
        ...choose(generator, shape.vocabSize),
      }))
      await context.compare(testCase, params, {
        sampler,
        noiseScheme,
        what: `vocabSize ${shape.vocabSize}, round ${round}`,
      })
    }
  }
}

const everyFeature = Object.keys(CHOOSERS) as (keyof typeof CHOOSERS)[]

const featureCases = everyFeature.map(
  (feature, index): ConformanceCase => ({
    name: `oracle: equals the oracle with ${feature}`,
    async run(context) {
      context.needs(feature)
      await compareRandomRows(context, 4000n + BigInt(index) * 16n, CHOOSERS[feature])
    },
  }),
)

/** Equality with the float64 oracle on random rows, parameter by parameter and all together. */
export const PARAMETER_CASES: readonly ConformanceCase[] = [
  {
    name: 'oracle: equals the oracle at every temperature',
    async run(context) {
      await compareRandomRows(context, 4100n, (generator) => ({
        temperature: pick(generator, [0.01, 0.1, 0.5, 1, 2, 10, 1000]),
      }))
    },
  },
  {
    name: 'oracle: takes the highest logit at temperature 0',
    async run(context) {
      await compareRandomRows(context, 4200n, () => ({ temperature: 0 }))
    },
  },
  ...featureCases,
  {
    name: 'oracle: ignores the filters at temperature 0',
    async run(context) {
      context.needs('topK', 'topP', 'minP')
      await compareRandomRows(context, 4300n, () => ({
        temperature: 0,
        topK: 5,
        topP: 0.5,
        minP: 0.1,
      }))
    },
  },
  {
    name: 'oracle: equals the oracle with every parameter at once',
    async run(context) {
      const served = everyFeature.filter((feature) => context.serves(feature))
      context.skipIf(
        served.length < 2,
        'the backend serves fewer than two of the transforms and filters',
      )
      await compareRandomRows(context, 4400n, (generator, vocabSize) => {
        let choice: Choice = {}
        for (const feature of served) {
          if (generator.u32() & 1)
            choice = { ...choice, ...CHOOSERS[feature](generator, vocabSize) }
        }
        // A mask and a bias of -Infinity could together forbid every token.
        if (choice.allowedTokens !== undefined) choice = { ...choice, logitBias: undefined }
        return choice
      })
    },
  },
  {
    name: 'oracle: draws numSamples tokens at consecutive draw indices',
    async run(context) {
      context.needs('numSamples')
      await compareRandomRows(context, 4500n, (generator) => ({
        numSamples: pick(generator, [1, 2, 7, 33]),
      }))
    },
  },
  {
    name: 'oracle: draws numSamples tokens from a filtered row',
    async run(context) {
      context.needs('numSamples', 'topK', 'topP', 'minP')
      await compareRandomRows(context, 4600n, (generator) => ({
        numSamples: 9,
        topK: pick(generator, [0, 3, 50]),
        topP: pick(generator, [1, 0.9, 0.6]),
        minP: pick(generator, [0, 0.01]),
      }))
    },
  },
  {
    name: 'oracle: equals the oracle under the vllm noise scheme',
    async run(context) {
      const served = context.backend.capabilities.noiseSchemes
      context.skipIf(
        !served.includes('vllm'),
        `the backend serves the noise schemes ${served.join(', ')}`,
      )
      await compareRandomRows(context, 4700n, () => ({}), 'vllm')
      if (context.serves('topK') && context.serves('topP')) {
        await compareRandomRows(context, 4800n, () => ({ topK: 50, topP: 0.9 }), 'vllm')
      }
    },
  },
]
