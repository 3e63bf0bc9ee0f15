/**
 * What one pass over the head can be asked for a row, and what it answers; between the row logic and the kernels.
 *
 * @module
 */
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
  /** Tells the requests apart. */
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

/** Count tokens and mass up to positions. */
export interface RankRequest {
  /** Tells the requests apart. */
  kind: 'rank'
  /** In rank order, at most 255. */
  pivots: RankPosition[]
  /** Highest transformed logit, the unit of mass. */
  max: number
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
  /** Tells the answers apart. */
  kind: 'sample'
  /** Highest transformed logit. */
  max: number
  /** Natural logarithm of the sum of e^logit over the transformed logits (unused under a boundary). */
  logMass: number
  /** The same over the raw logits, for `raw` rows. */
  rawLogMass: number
  /** The `topCapacity` best tokens by transformed logit; fewer only where the row has no more. */
  top: ListEntry[]
  /**
   * The `rawTopCapacity` best tokens by raw logit; fewer only where the row has no more. A backend may leave it empty
   * for rows that report no top tokens.
   */
  rawTop: ListEntry[]
  /** One list per draw, of at most `scoreCapacity` tokens and at least one; one list in all for greedy rows. */
  scores: ListEntry[][]
}

/** Tokens and mass up to a place in rank order. */
export interface RankSum {
  /** Tokens. */
  count: number
  /** Sum of e^(logit - max). */
  mass: number
}

/** Answer to a {@link RankRequest}. */
export interface RankAnswer {
  /** Tells the answers apart. */
  kind: 'rank'
  /** One per pivot: the tokens that do not rank behind it. */
  sums: RankSum[]
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
 * @param pivots - In rank order, at most 255.
 * @param max - Highest transformed logit, the unit of mass.
 * @returns Sums, one per pivot.
 */
export function* rankPass(pivots: RankPosition[], max: number): RowProcess<RankSum[]> {
  const answer = yield { kind: 'rank', pivots, max }
  if (answer.kind !== 'rank') throw new TypeError('Cannot use a sample answer for a rank request')
  return answer.sums
}
