/**
 * Where the draws of a statistical test come from: a backend, or the float64 oracle.
 *
 * @module
 */
import type { Backend, BackendFeature } from '../backend.ts'
import type { NoiseScheme } from '../noise.ts'
import { sampleFromLogits } from '../oracle.ts'
import { createSampler } from '../sampler.ts'
import type { Sampler, SamplingParams } from '../types.ts'
import { exactDType } from './context.ts'
import { caseFromLogits } from './heads.ts'

/** A sampler under statistical test. */
export interface DrawSource {
  /** Names the source in reports. */
  readonly name: string
  /** Transforms and filters that the source serves. */
  readonly features: readonly BackendFeature[]
  /** Noise schemes that the source serves. */
  readonly noiseSchemes: readonly NoiseScheme[]
  /**
   * Draws for every row; all rows have the same logits.
   *
   * @param logits - `[vocabSize]`, values that fp32 holds exactly.
   * @param params - One object per row.
   * @param noiseScheme - Noise of every draw.
   * @returns The tokens of row 0, of row 1, ..., `numSamples` each.
   */
  draw(
    logits: Float32Array,
    params: readonly SamplingParams[],
    noiseScheme: NoiseScheme,
  ): Promise<Int32Array>
  /** Frees what the source holds. */
  dispose(): Promise<void>
}

/**
 * Draws through a backend.
 *
 * @param backend - The backend under test.
 * @returns The source; it keeps one sampler, that of the last logits.
 */
export function createBackendSource(backend: Backend): DrawSource {
  const { features, noiseSchemes, maxBatchSize } = backend.capabilities
  const dtype = exactDType(backend.capabilities) ?? 'f32'
  let held: { logits: Float32Array; noiseScheme: NoiseScheme; sampler: Sampler } | null = null
  return {
    name: backend.name,
    features,
    noiseSchemes,
    async draw(logits, params, noiseScheme) {
      if (held?.logits !== logits || held.noiseScheme !== noiseScheme) {
        await held?.sampler.dispose()
        held = null
        const { lmHead } = caseFromLogits(logits, 1, 4, dtype)
        held = {
          logits,
          noiseScheme,
          sampler: await createSampler({ lmHead, backend, noiseScheme }),
        }
      }
      const rows = features.includes('numSamples') ? params : params.flatMap(spreadDraws)
      const parts: Int32Array[] = []
      for (let start = 0; start < rows.length; start += maxBatchSize) {
        const batch = rows.slice(start, Math.min(rows.length, start + maxBatchSize))
        const { hiddenStates } = caseFromLogits([0], batch.length, 4, dtype)
        const result = await held.sampler.sample({ hiddenStates, params: batch })
        parts.push(result.tokenIds)
      }
      return concatenate(parts)
    },
    async dispose() {
      await held?.sampler.dispose()
      held = null
    },
  }
}

/** One row a draw, for sources that draw once per row. */
function spreadDraws(params: SamplingParams): SamplingParams[] {
  const { numSamples = 1, drawIndex = 0 } = params
  return Array.from({ length: numSamples }, (_, draw) => ({
    ...params,
    numSamples: 1,
    drawIndex: drawIndex + draw,
  }))
}

/**
 * Draws by the float64 oracle.
 *
 * @returns The source.
 */
export function createOracleSource(): DrawSource {
  return {
    name: 'oracle',
    features: ['topK', 'topP', 'minP', 'logitBias', 'allowedTokens', 'penalties', 'numSamples'],
    noiseSchemes: ['flash', 'vllm'],
    async draw(logits, params, noiseScheme) {
      const parts = params.map((row) =>
        Int32Array.from(
          sampleFromLogits(logits, row, { noiseScheme }).draws,
          (draw) => draw.tokenId,
        ),
      )
      return concatenate(parts)
    },
    async dispose() {},
  }
}

function concatenate(parts: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
