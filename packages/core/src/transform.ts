/**
 * The official order of logit transforms, in float64: bias, penalties, mask, temperature.
 *
 * @module
 */
import type { RowParams } from './params.ts'

/**
 * Applies bias, penalties, mask and temperature to one row of logits.
 *
 * At temperature 0 the logits are not divided. Masked tokens become -Infinity.
 *
 * @param logits - `[vocabSize]`, raw.
 * @param params - Normal form of the row's parameters.
 * @returns `[vocabSize]` transformed logits, float64.
 * @see design contract, "Parameters and their order"; vLLM `apply_penalties` for the penalties' definition
 */
export function transformLogits(logits: ArrayLike<number>, params: RowParams): Float64Array {
  const transformed = Float64Array.from(logits)
  for (const { tokenId, bias, repeated, penalty } of params.edits) {
    let logit = (transformed[tokenId] as number) + bias
    if (repeated) {
      logit = logit > 0 ? logit / params.repetitionPenalty : logit * params.repetitionPenalty
    }
    transformed[tokenId] = logit - penalty
  }
  const mask = params.allowedMask
  if (mask !== null) {
    for (let tokenId = 0; tokenId < transformed.length; tokenId++) {
      if ((((mask[tokenId >> 5] as number) >>> (tokenId & 31)) & 1) === 0)
        transformed[tokenId] = -Infinity
    }
  }
  if (params.temperature > 0 && params.temperature !== 1) {
    for (let i = 0; i < transformed.length; i++) {
      transformed[i] = (transformed[i] as number) / params.temperature
    }
  }
  return transformed
}
