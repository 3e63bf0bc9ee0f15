/**
 * What one pass over the head can be asked for a row, and what it answers; between the row logic and the kernels.
 *
 * @module
 */
import type { ExactMass } from './exact-mass.ts'

/** A place in rank order: logit descending, then token id ascending. */
export interface RankPosition {
  /** fp32 transformed logit. */
  logit: number
  /** Global token id; ALL_IDS stands behind every token of the logit. */
  tokenId: number
}

/** Token id behind all others, for positions. */
export const ALL_IDS = 0xffff_ffff

/** Draw, and keep the best tokens by logit. */
export interface SampleRequest {
  kind: 'sample'
  /** Best tokens by transformed logit to return. */
  topCapacity: number
  /** Best tokens by raw logit to return; needs the row's `logprobsMode` to be `raw`. */
  rawTopCapacity: number
  /** Best tokens by score to return for every draw; 0 draws nothing. */
  scoreCapacity: number
  /** Last token in rank order that may be drawn; `null` allows all. */
  boundary: RankPosition | null
}

/** Count tokens and mass between positions. */
export interface RankRequest {
  kind: 'rank'
  /** In rank order. */
  pivots: RankPosition[]
}

/** What a row may ask of a pass. */
export type PassRequest = SampleRequest | RankRequest

/** One listed token. */
export interface ListEntry {
  /** What the list is ordered by: score or logit, fp32. */
  key: number
  /** Global token id. */
  tokenId: number
  /** Transformed logit, fp32. */
  logit: number
  /** Raw logit, fp32; the transformed one where the row does not report raw log-probabilities. */
  rawLogit: number
}

/** Answer to a {@link SampleRequest}; lists are best first. */
export interface SampleAnswer {
  kind: 'sample'
  /** Highest transformed logit. */
  max: number
  /** Mass of the transformed logits (empty under a boundary). */
  mass: ExactMass
  /** Mass of the raw logits, for `raw` rows. */
  rawMass: ExactMass
  top: ListEntry[]
  rawTop: ListEntry[]
  /** One list per draw. */
  scores: ListEntry[][]
}

/** Tokens between two pivots. */
export interface Interval {
  count: number
  mass: ExactMass
}

/** Answer to a {@link RankRequest}: interval i holds the tokens behind pivot i - 1 and not behind pivot i. */
export interface RankAnswer {
  kind: 'rank'
  /** One more than pivots. */
  intervals: Interval[]
}

/** What a pass answers. */
export type PassAnswer = SampleAnswer | RankAnswer

/** A row's logic: yields requests, receives answers, returns its result. */
export type RowProcess<T> = Generator<PassRequest, T, PassAnswer>

/**
 * Makes a sample pass.
 *
 * @param request - The request without its kind.
 * @returns The answer.
 */
export function* samplePass(request: Omit<SampleRequest, 'kind'>): RowProcess<SampleAnswer> {
  const answer = yield { kind: 'sample', ...request }
  if (answer.kind !== 'sample') throw new TypeError('Cannot use a rank answer for a sample request')
  return answer
}

/**
 * Makes a rank pass.
 *
 * @param pivots - In rank order.
 * @returns Intervals, one more than pivots.
 */
export function* rankPass(pivots: RankPosition[]): RowProcess<Interval[]> {
  const answer = yield { kind: 'rank', pivots }
  if (answer.kind !== 'rank') throw new TypeError('Cannot use a sample answer for a rank request')
  return answer.intervals
}
