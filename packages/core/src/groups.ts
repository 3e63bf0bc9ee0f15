/**
 * The paper's grouped forms of Gumbel-max: parallel, online and distributed groups, each exact.
 *
 * They serve streams and remote shards whose scores cannot be compared; where scores can be compared, merging
 * candidates (`mergeCandidates`) gives the same draw as no grouping at all and is the fast path.
 *
 * @module
 */
import { invalidArgument, RowError } from './errors.ts'
import { type Candidate, EMPTY_CANDIDATE, logMassOf, logSumExp, mergeCandidates } from './merge.ts'
import {
  deriveRowKey,
  gumbelFromBits,
  type NoiseKey,
  noiseBitsFromRowKey,
  uniformFromBits,
} from './noise.ts'

/** A finished group: its own draw and how much probability it stands for. */
export interface GroupSummary {
  /** Token drawn inside the group; -1 when the group holds no drawable token. */
  tokenId: number
  /** Log-sum-exp of the group's transformed logits, nats; -Infinity when empty. */
  logMass: number
}

/** Result of a grouped draw. */
export interface GroupedDraw {
  /** Drawn token. */
  tokenId: number
  /** Group that it came from, in order of arrival. */
  group: number
  /** Log-sum-exp over all groups, nats. */
  logSumExp: number
}

/**
 * Draws inside one group by Gumbel-max over its transformed logits.
 *
 * @param transformedLogits - `[groupSize]`; -Infinity marks tokens that cannot be drawn.
 * @param options - Noise key, and `startTokenId`: global id of the first entry (default 0).
 * @returns The group's draw and log-mass; what a rank sends to its peers in the distributed form.
 * @throws {RowError} when a logit is NaN or +Infinity.
 * @see arXiv 2603.15854, grouped sampling
 */
export function summarizeGroup(
  transformedLogits: ArrayLike<number>,
  options: NoiseKey & { startTokenId?: number | undefined },
): GroupSummary {
  const start = options.startTokenId ?? 0
  const rowKey = deriveRowKey(options, 0)
  let best: Candidate = EMPTY_CANDIDATE
  for (let i = 0; i < transformedLogits.length; i++) {
    const logit = transformedLogits[i] as number
    if (Number.isNaN(logit) || logit === Infinity) {
      throw new RowError(
        'INVALID_LOGITS',
        `Cannot sample tokens as the logit of token ${start + i} is ${logit}: logits must be finite or -Infinity`,
        [0],
      )
    }
    if (logit === -Infinity) continue
    const score = logit + gumbelFromBits(noiseBitsFromRowKey(rowKey, start + i))
    best = mergeCandidates(best, { score, tokenId: start + i })
  }
  return { tokenId: best.tokenId, logMass: logSumExp(logMassOf(transformedLogits)) }
}

/**
 * Parallel groups: draws inside each group of `groupSize` tokens, then chooses the group by Gumbel-max over log-masses.
 *
 * Exact: P(group) * P(token | group) is the softmax. The drawn token differs from `sampleFromLogits` for the same key;
 * its distribution does not.
 *
 * @param transformedLogits - `[vocabSize]`; -Infinity marks tokens that cannot be drawn.
 * @param options - Noise key and `groupSize` (tokens, >= 1).
 * @returns The draw.
 * @throws {RangeError} when `groupSize` is not a whole number >= 1.
 * @throws {RowError} when a logit is NaN or +Infinity, or no token can be drawn.
 * @see arXiv 2603.15854, parallel group-Gumbel-max
 */
export function sampleGroups(
  transformedLogits: ArrayLike<number>,
  options: NoiseKey & { groupSize: number },
): GroupedDraw {
  const { groupSize } = options
  if (!Number.isSafeInteger(groupSize) || groupSize < 1) {
    throw invalidArgument('sample groups', 'groupSize', 'a whole number >= 1', groupSize)
  }
  const all = Float64Array.from(transformedLogits)
  const groups: GroupSummary[] = []
  for (let start = 0; start < all.length; start += groupSize) {
    groups.push(
      summarizeGroup(all.subarray(start, start + groupSize), { ...options, startTokenId: start }),
    )
  }
  return mergeDistributed(groups, options)
}

/**
 * Distributed groups: chooses between finished groups (one per rank) by Gumbel-max over their log-masses.
 *
 * Every rank that holds the same summaries gets the same token: two scalars a rank are all that travels.
 *
 * @param groups - One summary per rank, in rank order.
 * @param key - Noise key of the row; the same on every rank.
 * @returns The draw.
 * @throws {RowError} when a log-mass is NaN or +Infinity, or no group holds a drawable token.
 * @see arXiv 2603.15854, distributed sampling
 */
export function mergeDistributed(groups: readonly GroupSummary[], key: NoiseKey): GroupedDraw {
  const rowKey = deriveRowKey(key, 1)
  let best: Candidate = EMPTY_CANDIDATE
  for (let group = 0; group < groups.length; group++) {
    const { logMass, tokenId } = groups[group] as GroupSummary
    if (Number.isNaN(logMass) || logMass === Infinity) {
      throw new RowError(
        'INVALID_LOGITS',
        `Cannot merge groups as the log-mass of group ${group} is ${logMass}: it must be finite or -Infinity`,
        [0],
      )
    }
    if (tokenId < 0 || logMass === -Infinity) continue
    const score = logMass + gumbelFromBits(noiseBitsFromRowKey(rowKey, group))
    best = mergeCandidates(best, { score, tokenId: group })
  }
  if (best.tokenId < 0) throw noTokenError()
  return {
    tokenId: (groups[best.tokenId] as GroupSummary).tokenId,
    group: best.tokenId,
    logSumExp: logSumExp(logMassOf(groups.map((group) => group.logMass))),
  }
}

/** A draw over a stream of groups; see {@link createOnlineSampler}. */
export interface OnlineSampler {
  /**
   * Adds the next group of the stream.
   *
   * @param transformedLogits - `[groupSize]`; groups may differ in size.
   */
  push(transformedLogits: ArrayLike<number>): void
  /**
   * The draw over everything pushed so far.
   *
   * @returns The draw; more groups may follow.
   * @throws {RowError} when no token can be drawn yet.
   */
  result(): GroupedDraw
}

/**
 * Online groups: a stream of vocabulary groups in constant memory. The k-th group replaces the draw held so far with
 * probability `e^(L_k - L_new)`, L_k its log-mass and L_new that of all groups up to it.
 *
 * @param key - Noise key of the row. Token ids count up from 0 in order of arrival.
 * @returns The sampler of one draw.
 * @throws {TypeError} when `seed` is not a bigint.
 * @see arXiv 2603.15854, online group-Gumbel-max
 */
export function createOnlineSampler(key: NoiseKey): OnlineSampler {
  const uniformKey = deriveRowKey(key, 2)
  let nextTokenId = 0
  let numGroups = 0
  let held: GroupedDraw | null = null
  return {
    push(transformedLogits) {
      const group = summarizeGroup(transformedLogits, { ...key, startTokenId: nextTokenId })
      nextTokenId += transformedLogits.length
      const index = numGroups++
      if (group.tokenId < 0) return
      const before = held === null ? -Infinity : held.logSumExp
      const total = logSumExp(logMassOf([before, group.logMass]))
      const v = uniformFromBits(noiseBitsFromRowKey(uniformKey, index))
      if (held === null || v < Math.exp(group.logMass - total)) {
        held = { tokenId: group.tokenId, group: index, logSumExp: total }
      } else {
        held = { ...held, logSumExp: total }
      }
    },
    result() {
      if (held === null) throw noTokenError()
      return { ...held }
    },
  }
}

function noTokenError(): RowError {
  return new RowError(
    'ALL_TOKENS_MASKED',
    'Cannot sample tokens as every token of the row is masked: allow at least one token',
    [0],
  )
}
