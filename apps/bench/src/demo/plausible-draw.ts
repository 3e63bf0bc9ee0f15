/**
 * Which tokens a draw may give when every transformed logit and score is known up to a margin only.
 *
 * @module
 */
import {
  gumbelFromBits,
  normalizeParams,
  type SamplingParams,
  tokenNoiseBits,
  transformLogits,
} from '@flashsampling/core'

/**
 * Tells whether rounding within the margin can make this token the drawn one.
 *
 * Every filter keeps the tokens above some logit, so rounding leaves tokens that are certainly kept, tokens that are
 * possibly kept, and others. A plausible token is possibly kept and scores as high as every certainly kept one.
 *
 * @param logits - `[vocabSize]` raw logits, float64.
 * @param params - Parameters of the draw.
 * @param margin - Bound on the error of a difference of two transformed logits or of two scores, nats.
 * @param tokenId - The token in question.
 * @returns `true` when it can be drawn.
 */
export function isPlausibleDraw(
  logits: Float64Array,
  params: SamplingParams,
  margin: number,
  tokenId: number,
): boolean {
  const transformed = transformLogits(logits, normalizeParams(params, logits.length))
  const { certain, possible } = findCutoffs(transformed, params, margin)
  const isGreedy = params.temperature === 0
  const scoreOf = (id: number): number => {
    const { seed, position, drawIndex } = params
    const noise = isGreedy
      ? 0
      : gumbelFromBits(tokenNoiseBits({ seed, position, drawIndex, tokenId: id }))
    return (transformed[id] as number) + noise
  }
  const logit = transformed[tokenId] as number
  if (!(logit >= possible)) return false
  const score = scoreOf(tokenId)
  for (let id = 0; id < transformed.length; id++) {
    if ((transformed[id] as number) > certain && scoreOf(id) > score + margin) return false
  }
  return true
}

/** Tokens with a logit above `certain` are kept, tokens with a logit below `possible` are not. */
interface Cutoffs {
  certain: number
  possible: number
}

function findCutoffs(transformed: Float64Array, params: SamplingParams, margin: number): Cutoffs {
  const { temperature = 1, topK = 0, topP = 1, minP = 0 } = params
  const ranked = Float64Array.from(transformed).sort().reverse()
  const cutoffs: Cutoffs = { certain: -Infinity, possible: -Infinity }
  const raise = (certain: number, possible: number): void => {
    cutoffs.certain = Math.max(cutoffs.certain, certain)
    cutoffs.possible = Math.max(cutoffs.possible, possible)
  }
  const maxKept = temperature === 0 ? 1 : topK
  if (maxKept > 0 && maxKept < ranked.length) {
    raise((ranked[maxKept] as number) + margin, (ranked[maxKept - 1] as number) - margin)
  }
  if (temperature === 0) return cutoffs
  if (minP > 0) {
    const threshold = (ranked[0] as number) + Math.log(minP)
    raise(threshold + margin, threshold - margin)
  }
  if (topP < 1) {
    const { certain, possible } = topPCutoffs(ranked, cutoffs, topP, margin)
    raise(certain, possible)
  }
  return cutoffs
}

/** Both ends of topP's cut, over what the filters before it keep for certain or possibly. */
function topPCutoffs(ranked: Float64Array, before: Cutoffs, topP: number, margin: number): Cutoffs {
  const max = ranked[0] as number
  const massBefore = new Float64Array(ranked.length + 1)
  ranked.forEach((logit, rank) => {
    massBefore[rank + 1] = (massBefore[rank] as number) + Math.exp(logit - max)
  })
  /** Ranks with a logit above the given one. */
  const countAbove = (logit: number): number => {
    let low = 0
    let high = ranked.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((ranked[middle] as number) > logit) low = middle + 1
      else high = middle
    }
    return low
  }
  const massAbove = (logit: number): number => massBefore[countAbove(logit)] as number
  const leastTotal = Math.max(1, massAbove(before.certain))
  const mostTotal = massAbove(before.possible)
  // A ratio of two masses is off by at most this factor; 1e-6 covers the rounding of sums and of topP.
  const slack = Math.exp(margin) * (1 + 1e-6)
  let certain = -Infinity
  let possible = Infinity
  for (const logit of ranked) {
    const isPossible = logit + margin >= max || massAbove(logit + margin) / mostTotal / slack < topP
    if (isPossible) possible = logit
    else break
  }
  for (const logit of ranked) {
    if (!((massAbove(logit - margin) / leastTotal) * slack < topP)) {
      certain = logit
      break
    }
  }
  return { certain, possible }
}
