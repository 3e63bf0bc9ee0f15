/**
 * The oracle's answer for one row, with the bound within which an fp32 backend may differ from it.
 *
 * @module
 */
import type { NoiseScheme } from '../noise.ts'
import { type OracleResult, sampleFromLogits } from '../oracle.ts'
import { normalizeParams } from '../params.ts'
import type { SamplingParams } from '../types.ts'
import { type TestCase, UNIT_ROUNDOFF } from './heads.ts'

/** Bound of the contract on |fp32 noise - float64 noise|, for every value of the bits. */
export const NOISE_ERROR = 1e-5

/** The oracle's answer and its bounds. */
export interface RowReference {
  /** The draw in float64. */
  oracle: OracleResult
  /** Draws with a smaller margin, and rows with a smaller boundary distance, may differ from the oracle. */
  marginBound: number
  /** Bound of the distance of a log-probability from the oracle's, nats. */
  logprobBound: number
}

/**
 * Asks the oracle about one row of a case.
 *
 * `marginBound` is twice the error of a score: that of the product, at most eight fp32 roundings in bias, penalties and
 * temperature, 1e-5 for the noise, and the rounding of the sum.
 *
 * @param testCase - Inputs with their float64 logits.
 * @param row - Row of the case.
 * @param params - The row's parameters.
 * @param noiseScheme - Noise of the draw.
 * @returns The oracle's answer and its bounds.
 */
export function referenceRow(
  testCase: TestCase,
  row: number,
  params: SamplingParams,
  noiseScheme: NoiseScheme = 'flash',
): RowReference {
  const logits = testCase.logits[row] as Float64Array
  const oracle = sampleFromLogits(logits, params, { noiseScheme })
  const { temperature, repetitionPenalty, edits } = normalizeParams(params, logits.length)
  let largest = 0
  for (const logit of logits)
    if (Number.isFinite(logit)) largest = Math.max(largest, Math.abs(logit))
  let largestEdit = 0
  for (const { bias, penalty } of edits) {
    const size = (Number.isFinite(bias) ? Math.abs(bias) : 0) + Math.abs(penalty)
    largestEdit = Math.max(largestEdit, size)
  }
  const penaltyFactor = Math.max(repetitionPenalty, 1 / repetitionPenalty)
  const divisor = temperature === 0 ? 1 : temperature
  const dotError = testCase.dotErrors[row] as number
  const magnitude = ((largest + largestEdit) * penaltyFactor) / divisor
  const logitError = (dotError * penaltyFactor) / divisor + 8 * UNIT_ROUNDOFF * magnitude
  const rawError = dotError + 8 * UNIT_ROUNDOFF * largest
  const scoreError = logitError + NOISE_ERROR + UNIT_ROUNDOFF * (magnitude + 23)
  return {
    oracle,
    marginBound: 2 * scoreError,
    logprobBound:
      2 * Math.max(logitError, rawError) + 1e-5 + 8 * UNIT_ROUNDOFF * Math.max(magnitude, largest),
  }
}

/**
 * The oracle's first draw of every row, with no allowance: for inputs whose fp32 products are exact.
 *
 * @param testCase - Inputs with their float64 logits.
 * @param params - One object per row.
 * @returns `[batchSize]` token ids.
 */
export function exactTokens(testCase: TestCase, params: readonly SamplingParams[]): Int32Array {
  return Int32Array.from(
    testCase.logits,
    (logits, row) => sampleFromLogits(logits, params[row] as SamplingParams).tokenId,
  )
}
