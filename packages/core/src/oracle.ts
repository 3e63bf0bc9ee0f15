/**
 * The float64 oracle: one row, full logits, every parameter, nothing clever. Everything else is held against it.
 *
 * @module
 */
import { RowError } from './errors.ts'
import { logMassOf } from './merge.ts'
import { deriveRowKey, gumbelFromBits, type NoiseScheme, noiseBitsFromRowKey } from './noise.ts'
import { normalizeParams, type RowParams } from './params.ts'
import { transformLogits } from './transform.ts'
import type { SamplingParams } from './types.ts'

/** One draw of the oracle. */
export interface OracleDraw {
  /** Drawn token. */
  tokenId: number
  /** Natural log-probability of the token, under the row's `logprobsMode`. */
  logprob: number
  /** Distance between the two best scores in the kept set, nats; Infinity when one token is kept. */
  margin: number
}

/** Result of {@link sampleFromLogits}. The fields of {@link OracleDraw} are those of the first draw. */
export interface OracleResult extends OracleDraw {
  /** Tokens that survived mask and filters. */
  keptCount: number
  /**
   * How far the nearest filter boundary is from falling the other way: the gap of logits (nats) at the cut of topK,
   * minP, topP and greedy, and of probability mass at the cut of topP; Infinity without filters.
   */
  boundaryDistance: number
  /** All `numSamples` draws, in order of draw index. */
  draws: OracleDraw[]
  /** The `logprobs` most likely tokens, most likely first; empty when none were asked for. */
  topLogprobs: { tokenId: number; logprob: number }[]
}

/**
 * Draws from one row of logits in float64, with every parameter in the official order.
 *
 * @param logits - `[vocabSize]` raw logits; -Infinity marks a token that cannot be drawn.
 * @param params - The row's parameters.
 * @param options - `noiseScheme` (default `flash`).
 * @returns The draw with its margin; see {@link OracleResult}.
 * @throws {RowError} when a logit is NaN or +Infinity (`INVALID_LOGITS`) or no token is left (`ALL_TOKENS_MASKED`).
 * @throws {TypeError} when a parameter has a wrong type.
 * @throws {RangeError} when a parameter is out of range.
 * @example
 * ```ts
 * sampleFromLogits([0.5, 2, -1], { seed: 7n, temperature: 0 }).tokenId // => 1
 * ```
 * @see design contract, "Parameters and their order"
 */
export function sampleFromLogits(
  logits: ArrayLike<number>,
  params: SamplingParams,
  options: { noiseScheme?: NoiseScheme | undefined } = {},
): OracleResult {
  const row = normalizeParams(params, logits.length)
  const transformed = transformLogits(checkLogits(logits), row)
  const mass = logMassOf(transformed)
  if (mass.sum === 0) {
    throw new RowError(
      'ALL_TOKENS_MASKED',
      'Cannot sample tokens as every token of the row is masked: allow at least one token',
      [0],
    )
  }
  const raw = row.logprobsMode === 'raw'
  const { max, sum } = raw ? logMassOf(logits) : mass
  // Relative to the maximum, so that nothing is lost where logits are huge.
  const logprobOf = (tokenId: number): number =>
    ((raw ? logits : transformed)[tokenId] as number) - max - Math.log(sum)

  const { kept, boundaryDistance } = filterTokens(transformed, row)
  const draws: OracleDraw[] = []
  for (let draw = 0; draw < row.numSamples; draw++) {
    const { tokenId, margin } = drawToken(
      transformed,
      kept,
      row,
      row.drawIndex + draw,
      options.noiseScheme ?? 'flash',
    )
    draws.push({ tokenId, margin, logprob: logprobOf(tokenId) })
  }
  const topLogprobs =
    row.logprobs > 0
      ? rankTokens(raw ? Float64Array.from(logits) : transformed)
          .slice(0, row.logprobs)
          .map((tokenId) => ({ tokenId, logprob: logprobOf(tokenId) }))
      : []
  return {
    ...(draws[0] as OracleDraw),
    keptCount: kept.length,
    boundaryDistance,
    draws,
    topLogprobs,
  }
}

function checkLogits(logits: ArrayLike<number>): ArrayLike<number> {
  for (let tokenId = 0; tokenId < logits.length; tokenId++) {
    const logit = logits[tokenId] as number
    if (Number.isNaN(logit) || logit === Infinity) {
      throw new RowError(
        'INVALID_LOGITS',
        `Cannot sample tokens as the logit of token ${tokenId} is ${logit}: logits must be finite or -Infinity`,
        [0],
      )
    }
  }
  return logits
}

/** Token ids with finite logits, highest logit first, lowest id on ties. */
function rankTokens(transformed: Float64Array): number[] {
  const ids: number[] = []
  for (let id = 0; id < transformed.length; id++) if (transformed[id] !== -Infinity) ids.push(id)
  return ids.sort((a, b) => (transformed[b] as number) - (transformed[a] as number) || a - b)
}

/** Applies minP, topK and topP in this order; every kept set is a prefix of the ranking. */
function filterTokens(
  transformed: Float64Array,
  row: RowParams,
): { kept: number[]; boundaryDistance: number } {
  const isGreedy = row.temperature === 0
  if (!isGreedy && row.minP === 0 && row.topK === 0 && row.topP === 1) {
    const kept: number[] = []
    for (let id = 0; id < transformed.length; id++) if (transformed[id] !== -Infinity) kept.push(id)
    return { kept, boundaryDistance: Infinity }
  }
  let kept = rankTokens(transformed)
  let boundaryDistance = Infinity
  const logitAt = (rank: number): number => transformed[kept[rank] as number] as number
  const cutAfter = (count: number): void => {
    if (count < kept.length) {
      boundaryDistance = Math.min(boundaryDistance, logitAt(count - 1) - logitAt(count))
      kept = kept.slice(0, count)
    }
  }
  if (isGreedy) {
    cutAfter(1)
    return { kept, boundaryDistance }
  }
  if (row.minP > 0) {
    const threshold = logitAt(0) + Math.log(row.minP)
    let count = 0
    // The maximum itself always stays, whatever the threshold rounds to.
    while (count < kept.length && (count === 0 || logitAt(count) >= threshold)) count++
    for (const rank of [count - 1, count]) {
      if (rank > 0 && rank < kept.length) {
        boundaryDistance = Math.min(boundaryDistance, Math.abs(logitAt(rank) - threshold))
      }
    }
    kept = kept.slice(0, count)
  }
  if (row.topK > 0) cutAfter(row.topK)
  if (row.topP < 1) {
    const max = logitAt(0)
    let total = 0
    for (let rank = 0; rank < kept.length; rank++) total += Math.exp(logitAt(rank) - max)
    let massBefore = 0
    let count = 0
    while (count < kept.length && (count === 0 || massBefore / total < row.topP)) {
      if (count > 0) boundaryDistance = Math.min(boundaryDistance, row.topP - massBefore / total)
      massBefore += Math.exp(logitAt(count) - max)
      count++
    }
    if (count < kept.length) {
      boundaryDistance = Math.min(boundaryDistance, massBefore / total - row.topP)
    }
    // Which of two nearly equal logits comes first decides which of them is cut.
    cutAfter(count)
  }
  return { kept, boundaryDistance }
}

/** Gumbel-max over the kept tokens. */
function drawToken(
  transformed: Float64Array,
  kept: number[],
  row: RowParams,
  drawIndex: number,
  scheme: NoiseScheme,
): { tokenId: number; margin: number } {
  if (kept.length === 1) return { tokenId: kept[0] as number, margin: Infinity }
  const rowKey = deriveRowKey({ seed: row.seed, position: row.position, drawIndex }, 0, scheme)
  let best = -Infinity
  let second = -Infinity
  let tokenId = -1
  for (const id of kept) {
    const score =
      (transformed[id] as number) + gumbelFromBits(noiseBitsFromRowKey(rowKey, id, scheme), scheme)
    if (score > best || (score === best && id < tokenId)) {
      second = best
      best = score
      tokenId = id
    } else if (score > second) {
      second = score
    }
  }
  return { tokenId, margin: best - second }
}
