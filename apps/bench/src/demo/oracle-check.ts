/**
 * Recomputes drawn tokens by the float64 oracle: full logits, nothing fused.
 *
 * @module
 */
import {
  type LmHeadShard,
  readWeightRows,
  type SamplingParams,
  sampleFromLogits,
} from '@flashsampling/core'
import { isPlausibleDraw } from './plausible-draw.ts'

/** What the check found. */
export interface OracleReport {
  /** Tokens compared. */
  checked: number
  /** Tokens or log-probabilities that rounding cannot explain. */
  differences: number
  /** Other tokens than the oracle's that rounding within the margin can explain. */
  withinMargin: number
  /** The largest margin that was granted to a token, nats. */
  margin: number
  /** The largest distance of a log-probability from the oracle's, nats. */
  maxLogprobError: number
}

const FP32_ROUNDING = 2 ** -24
/** The contract's bound on |fp32 noise - float64 noise|. */
const NOISE_ERROR = 1e-5
/** The largest noise: that of bits 0. */
const MAX_NOISE = 22.88

/** Compares draws with the oracle, one by one, and counts. */
export class OracleCheck {
  readonly #weight: Float32Array
  readonly #vocabSize: number
  readonly #hiddenSize: number
  readonly #logits: Float64Array
  readonly #report: OracleReport = {
    checked: 0,
    differences: 0,
    withinMargin: 0,
    margin: 0,
    maxLogprobError: 0,
  }

  /** @param lmHead - The head that the draws came from. */
  constructor(lmHead: LmHeadShard) {
    this.#vocabSize = lmHead.vocabSize
    this.#hiddenSize = lmHead.hiddenSize
    this.#weight = readWeightRows(lmHead, 0, lmHead.vocabSize)
    this.#logits = new Float64Array(lmHead.vocabSize)
  }

  /** Everything found so far. */
  get report(): Readonly<OracleReport> {
    return this.#report
  }

  /**
   * Recomputes one draw.
   *
   * @param hiddenState - `[hiddenSize]` f32.
   * @param params - Parameters of the draw.
   * @param drawn - What the sampler drew.
   */
  check(
    hiddenState: Float32Array,
    params: SamplingParams,
    drawn: { tokenId: number; logprob: number },
  ): void {
    const report = this.#report
    const { maxAbsLogit, maxAbsProducts } = this.#computeLogits(hiddenState)
    const margin = this.#marginOf(params, maxAbsLogit, maxAbsProducts)
    const oracle = sampleFromLogits(this.#logits, params)
    report.checked++
    report.margin = Math.max(report.margin, margin)
    if (oracle.tokenId !== drawn.tokenId) {
      if (isPlausibleDraw(this.#logits, params, margin, drawn.tokenId)) report.withinMargin++
      else report.differences++
      return
    }
    const logprobError = Math.abs(oracle.logprob - drawn.logprob)
    report.maxLogprobError = Math.max(report.maxLogprobError, logprobError)
    if (!(logprobError <= margin)) report.differences++
  }

  /** Full logits in float64, and what the bound needs: the largest |logit| and the largest sum of |weight · input|. */
  #computeLogits(hiddenState: Float32Array): { maxAbsLogit: number; maxAbsProducts: number } {
    const size = this.#hiddenSize
    const weight = this.#weight
    let maxAbsLogit = 0
    let maxAbsProducts = 0
    for (let tokenId = 0, at = 0; tokenId < this.#vocabSize; tokenId++, at += size) {
      let sum = 0
      let absSum = 0
      for (let i = 0; i < size; i++) {
        const product = (weight[at + i] as number) * (hiddenState[i] as number)
        sum += product
        absSum += Math.abs(product)
      }
      this.#logits[tokenId] = sum
      maxAbsLogit = Math.max(maxAbsLogit, Math.abs(sum))
      maxAbsProducts = Math.max(maxAbsProducts, absSum)
    }
    return { maxAbsLogit, maxAbsProducts }
  }

  /**
   * How far two fp32 scores may lie from the oracle's, taken together; nats.
   *
   * With u = 2^-24 and D = hiddenSize, a dot product of fp32 values, its products and sums rounded to fp32 in any
   * order, is off by at most `D·u / (1 - D·u) · Σ|weight · input|`. A repetition penalty r stretches that by
   * max(r, 1 / r), the temperature divides it. Transforms and the final sum round at most eight times, each by u of a
   * value not above the largest score. The noise is within 1e-5 by contract. Two scores are compared: twice all that.
   */
  #marginOf(params: SamplingParams, maxAbsLogit: number, maxAbsProducts: number): number {
    const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = params
    const temperature = params.temperature || 1
    const stretch = Math.max(repetitionPenalty, 1 / repetitionPenalty)
    const numTerms = this.#hiddenSize * FP32_ROUNDING
    const dotError = (numTerms / (1 - numTerms)) * maxAbsProducts
    const maxPenalty =
      Math.abs(presencePenalty) +
      Math.abs(frequencyPenalty) * [...(params.outputTokenIds ?? [])].length
    const maxScore = (maxAbsLogit * stretch + maxPenalty) / temperature + MAX_NOISE
    return 2 * ((dotError * stretch) / temperature + 8 * FP32_ROUNDING * maxScore + NOISE_ERROR)
  }
}

/**
 * Says what the check found, in one sentence.
 *
 * @param report - Counts of the check.
 * @returns One line without a newline.
 */
export function describeReport(report: OracleReport): string {
  const { checked, differences, withinMargin, margin, maxLogprobError } = report
  return (
    `${checked} tokens checked, ${differences} differences beyond the stated margin of ` +
    `${margin.toExponential(1)} nats, ${withinMargin} within it; ` +
    `largest distance of a log-probability ${maxLogprobError.toExponential(1)}`
  )
}
