/**
 * Holds contenders' tokens against float64 products of the same head.
 *
 * @module
 */
import { readWeightRows, type SamplingParams, sampleFromLogits } from '@flashsampling/core'
import type { WebGpuContender, WebGpuHead } from './contender.ts'

/** Lead of a token's score over the next one that fp32 sums cannot turn round, nats. */
const MIN_MARGIN = 2e-3
/** Rows of the head that are widened at a time. */
const WIDENED_ROWS = 1024

/**
 * Multiplies in float64.
 *
 * @param head - The head.
 * @param hiddenStates - Rows of `hiddenSize`.
 * @returns Logits of each row.
 */
export function productInFloat64(
  head: WebGpuHead,
  hiddenStates: readonly Float32Array[],
): Float64Array[] {
  const { vocabSize, hiddenSize } = head
  const logits = hiddenStates.map(() => new Float64Array(vocabSize))
  const states = hiddenStates.map((row) => Float64Array.from(row))
  for (let start = 0; start < vocabSize; start += WIDENED_ROWS) {
    const count = Math.min(WIDENED_ROWS, vocabSize - start)
    const rows = readWeightRows(head, start, count)
    states.forEach((state, i) => {
      for (let token = 0; token < count; token++) {
        const at = token * hiddenSize
        let sum = 0
        for (let d = 0; d < hiddenSize; d++) sum += (rows[at + d] as number) * (state[d] as number)
        ;(logits[i] as Float64Array)[start + token] = sum
      }
    })
  }
  return logits
}

/** What a token is checked with. */
export interface TokenCheck {
  /** Float64 logits of the row. */
  logits: Float64Array
  params: SamplingParams & { temperature: number }
  /** The row's uniform number. */
  uniform: number
}

/** Verdict on a token: `open` where rounding may decide. */
export type Verdict = 'right' | 'wrong' | 'open'

/**
 * Checks a token by the rule of its contender.
 *
 * @param contender - Who drew it.
 * @param tokenId - The token.
 * @param check - The row.
 * @returns The verdict.
 */
export function checkToken(
  { rule, tolerance }: Pick<WebGpuContender, 'rule' | 'tolerance'>,
  tokenId: number,
  { logits, params, uniform }: TokenCheck,
): Verdict {
  if (rule === 'none') return 'open'
  if (!Number.isInteger(tokenId) || tokenId < 0 || tokenId >= logits.length) return 'wrong'
  if (rule === 'noise') {
    const drawn = sampleFromLogits(logits, params)
    if (drawn.tokenId === tokenId) return 'right'
    return drawn.margin > MIN_MARGIN ? 'wrong' : 'open'
  }
  const weights = logits.map((logit) => Math.exp(logit / params.temperature))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const own = weights[tokenId] as number
  // Mass of the tokens that come before this one.
  let before = 0
  weights.forEach((weight, id) => {
    const comesBefore =
      rule === 'id' ? id < tokenId : weight > own || (weight === own && id < tokenId)
    if (comesBefore) before += weight
  })
  const isInside =
    uniform >= before / total - tolerance && uniform <= (before + own) / total + tolerance
  return isInside ? 'right' : 'wrong'
}
