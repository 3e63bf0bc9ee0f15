import { gumbelFromBits, type NoiseScheme, tokenNoiseBits } from '../../noise.ts'
import type { SamplingParams } from '../../types.ts'
import type { CaseContext, ConformanceCase } from '../context.ts'
import type { TestCase } from '../heads.ts'
import { numberToBf16, splitToBf16 } from '../storage.ts'

const SEED = 4800n
/** Distance of the two scores, nats: above twice the noise bound with its roundings, and no more than that. */
const GAP = 1e-4
/** Below the reach of the highest noise, and no further: large logits widen the bound. */
const FAR_BELOW = -40

/** Positions whose noise of token 0 is lowest, highest and in between. */
function probePositions(noiseScheme: NoiseScheme, lowest: number): number[] {
  const positions = Array.from({ length: 1 << 13 }, (_, position) => ({
    position,
    noise: noiseOf(position, 0, noiseScheme),
  }))
    .filter(({ noise }) => noise >= lowest)
    .sort((a, b) => a.noise - b.noise)
    .map(({ position }) => position)
  const middle = positions.slice(24, -24).filter((_, index) => index % 256 === 0)
  return [...positions.slice(0, 24), ...positions.slice(-24), ...middle]
}

function noiseOf(position: number, tokenId: number, scheme: NoiseScheme): number {
  return gumbelFromBits(tokenNoiseBits({ seed: SEED, position, tokenId, scheme }), scheme)
}

/**
 * Measures noise through tokens: two tokens whose scores lie 1e-4 apart, once each way, are told apart only by noise
 * that is right to about that.
 */
async function probeNoise(
  context: CaseContext,
  noiseScheme: NoiseScheme,
  lowest: number,
): Promise<void> {
  const rows = probePositions(noiseScheme, lowest).flatMap((position) =>
    [GAP, -GAP].map((gap) => {
      const balance = noiseOf(position, 0, noiseScheme) - noiseOf(position, 9, noiseScheme)
      return { position, logit: Math.fround(balance + gap) }
    }),
  )
  // Token 9 has the row's logit, in three parts that 16 bits hold; token 0 has 0, the tokens between lie far below.
  const dtype = context.exactDType
  const hiddenSize = 4
  const values = new Float32Array(10 * hiddenSize)
  for (let tokenId = 1; tokenId < 9; tokenId++) values[hiddenSize * tokenId + 3] = FAR_BELOW
  values.fill(1, 9 * hiddenSize, 9 * hiddenSize + 3)
  const data = dtype === 'f32' ? values : Uint16Array.from(values, numberToBf16)
  const lmHead = { dtype, vocabSize: 10, hiddenSize, data } as const
  const sampler = await context.sampler(lmHead, noiseScheme)
  const batchSize = context.batchSize(64)
  for (let start = 0; start < rows.length; start += batchSize) {
    const batch = rows.slice(start, start + batchSize)
    const testCase: TestCase = {
      lmHead,
      vocabSize: 10,
      hiddenSize,
      batchSize: batch.length,
      hiddenStates: Float32Array.from(batch.flatMap(({ logit }) => [...splitToBf16(logit), 1])),
      logits: batch.map(({ logit }) =>
        Float64Array.of(0, ...new Array<number>(8).fill(FAR_BELOW), logit),
      ),
      dotErrors: new Array<number>(batch.length).fill(0),
    }
    const params = batch.map(({ position }): SamplingParams => ({ seed: SEED, position }))
    await context.compare(testCase, params, { sampler, noiseScheme, what: `probe ${start}` })
  }
}

/** Accuracy of the noise in both tails. */
export const NOISE_CASES: readonly ConformanceCase[] = [
  {
    name: 'noise: tells scores 1e-4 apart in both tails',
    run: (context) => probeNoise(context, 'flash', -Infinity),
  },
  {
    name: 'noise: tells scores 1e-4 apart under the vllm noise scheme',
    async run(context) {
      const served = context.backend.capabilities.noiseSchemes
      context.skipIf(
        !served.includes('vllm'),
        `the backend serves the noise schemes ${served.join(', ')}`,
      )
      // Below -2 vLLM's own fp32 uniform rounds by more than that; a backend may do as vLLM does.
      await probeNoise(context, 'vllm', -2)
    },
  },
]
