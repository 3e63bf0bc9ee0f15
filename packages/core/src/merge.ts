/**
 * The two mergeable values of the hierarchy: candidates (max) and log-masses (log-add).
 *
 * @module
 */

/** Best token of a part of the vocabulary. */
export interface Candidate {
  /** transformedLogit + gumbelNoise; -Infinity when the part holds no drawable token. */
  score: number
  /** Global token id; -1 when the part holds no drawable token. */
  tokenId: number
}

/** Sum of exponentials of a part of the vocabulary, as `sum * e^max`. */
export interface LogMass {
  /** Largest logit of the part; -Infinity when it is empty. */
  max: number
  /** Sum of `e^(logit - max)`, >= 1 unless the part is empty. */
  sum: number
}

/** The candidate of nothing: neutral for {@link mergeCandidates}. */
export const EMPTY_CANDIDATE: Readonly<Candidate> = Object.freeze({ score: -Infinity, tokenId: -1 })
/** The log-mass of nothing: neutral for {@link mergeLogMass}. */
export const EMPTY_LOG_MASS: Readonly<LogMass> = Object.freeze({ max: -Infinity, sum: 0 })

/**
 * Merges two candidates: the higher score wins, the lowest tokenId on equal scores.
 *
 * Associative and commutative, exactly, so parts may be merged in any order.
 *
 * @param a - Best of one part.
 * @param b - Best of another part.
 * @returns One of the two.
 * @see arXiv 2603.15854, "argmax over a partition"
 */
export function mergeCandidates(a: Candidate, b: Candidate): Candidate {
  if (b.tokenId < 0) return a
  if (a.tokenId < 0) return b
  if (b.score > a.score) return b
  if (b.score === a.score && b.tokenId < a.tokenId) return b
  return a
}

/**
 * Adds two log-masses. Associative and commutative up to the rounding of float64.
 *
 * @param a - Mass of one part.
 * @param b - Mass of another part.
 * @returns Mass of both.
 */
export function mergeLogMass(a: LogMass, b: LogMass): LogMass {
  if (b.sum === 0) return a
  if (a.sum === 0) return b
  const max = Math.max(a.max, b.max)
  return { max, sum: a.sum * Math.exp(a.max - max) + b.sum * Math.exp(b.max - max) }
}

/**
 * Log-mass of a list of logits; -Infinity entries carry no mass.
 *
 * @param logits - Any number of logits.
 * @returns Their mass; {@link EMPTY_LOG_MASS} when there is none.
 */
export function logMassOf(logits: ArrayLike<number>): LogMass {
  let max = -Infinity
  for (let i = 0; i < logits.length; i++) max = Math.max(max, logits[i] as number)
  if (max === -Infinity) return { ...EMPTY_LOG_MASS }
  let sum = 0
  for (let i = 0; i < logits.length; i++) sum += Math.exp((logits[i] as number) - max)
  return { max, sum }
}

/**
 * Natural logarithm of a mass: the log-sum-exp of its logits.
 *
 * @param mass - Any mass.
 * @returns `max + ln(sum)`, nats; -Infinity for the empty mass.
 */
export function logSumExp(mass: LogMass): number {
  return mass.sum === 0 ? -Infinity : mass.max + Math.log(mass.sum)
}
