import {
  createCpuBackend,
  createGenerator,
  createSampler,
  type Generator,
  makeCase,
  referenceRow,
  type SamplingParams,
  type TestCase,
} from '@flashsampling/core'
import { createWebGpuBackend } from '../../src/index.ts'
import type { Check } from './check.ts'
import { isTrue } from './expect.ts'

/** 10,240 rows in all; in parts, as a process that says nothing for long counts as hanging. */
const NUM_PARTS = 4
const NUM_ROWS = 40 * 64
const BATCH = 64

function pick<T>(generator: Generator, values: readonly T[]): T {
  return values[generator.integer(0, values.length - 1)] as T
}

/** Parameters of every kind, off more often than on. */
function someParams(generator: Generator, vocabSize: number): SamplingParams {
  const tokens = (count: number): number[] =>
    Array.from({ length: count }, () => generator.integer(0, vocabSize - 1))
  const sometimes = <T>(value: T): T | undefined => (generator.u32() % 3 === 0 ? value : undefined)
  return {
    seed: generator.u64(),
    position: generator.u64(),
    drawIndex: generator.integer(0, 9),
    temperature: pick(generator, [0, 0.3, 0.7, 1, 1, 1.5, 3]),
    topK: sometimes(pick(generator, [1, 5, 40, 300])),
    topP: sometimes(pick(generator, [0.1, 0.5, 0.9, 0.95])),
    minP: sometimes(pick(generator, [0.01, 0.1, 0.5])),
    logitBias: sometimes(new Map(tokens(4).map((id) => [id, generator.normal() * 3]))),
    allowedTokens: sometimes(tokens(60)),
    repetitionPenalty: sometimes(pick(generator, [0.8, 1.2])),
    presencePenalty: sometimes(0.5),
    frequencyPenalty: sometimes(0.25),
    promptTokenIds: tokens(5),
    outputTokenIds: tokens(9),
    logprobs: sometimes(3),
  }
}

function makeInputs(seed: bigint): TestCase {
  return makeCase({ seed, vocabSize: 521, hiddenSize: 32, batchSize: BATCH, spread: 2 })
}

/** Same tokens as the CPU backend, row by row. */
export const CPU_CHECKS: readonly Check[] = Array.from(
  { length: NUM_PARTS },
  (_, part): Check => ({
    name: `cpu: draws the tokens of the CPU backend over all parameters, beyond the bound, rows from ${part * NUM_ROWS}`,
    async run(context) {
      const device = await context.shared()
      const generator = createGenerator(2024n, part)
      let different = 0
      let secondPassRows = 0
      for (let batch = 0; batch < NUM_ROWS / BATCH; batch++) {
        // A head serves some batches with new parameters.
        const inputs = makeInputs(BigInt(16 * part + (batch >> 4)))
        const { lmHead, hiddenStates, vocabSize } = inputs
        const params = Array.from({ length: BATCH }, () => someParams(generator, vocabSize))
        const results = []
        for (const backend of [createCpuBackend({ threads: 1 }), createWebGpuBackend(device)]) {
          const sampler = await createSampler({ lmHead, backend })
          results.push(await sampler.sample({ hiddenStates, params }))
          await sampler.dispose()
        }
        const [cpu, gpu] = results as [(typeof results)[0], (typeof results)[0]]
        secondPassRows += gpu.stats.secondPassRows
        for (let row = 0; row < BATCH; row++) {
          const token = gpu.tokenIds[row] as number
          const { oracle, marginBound, logprobBound } = referenceRow(
            inputs,
            row,
            params[row] as SamplingParams,
          )
          const what = `row ${row} of batch ${batch}`
          if (token === cpu.tokenIds[row]) {
            const error = Math.abs((gpu.logprobs[row] as number) - (cpu.logprobs[row] as number))
            isTrue(
              error <= logprobBound,
              `logprob of ${what}: error ${error}, bound ${logprobBound}`,
            )
            continue
          }
          different++
          const distance = Math.min(oracle.margin, oracle.boundaryDistance)
          isTrue(
            distance <= marginBound,
            `token of ${what}: ${token}, the CPU draws ${cpu.tokenIds[row]}, margin ${distance}`,
          )
        }
      }
      isTrue(different < NUM_ROWS / 1000, `${different} rows differ within the bound`)
      isTrue(secondPassRows > 0, 'some rows take a second pass')
      context.note(
        `${different} of ${NUM_ROWS} rows differ, all within the bound; ${secondPassRows} took a second pass`,
      )
    },
  }),
)
