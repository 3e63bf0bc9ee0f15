/**
 * Sampling from finished logits in JavaScript, as programs around an inference engine do it.
 *
 * Three ways, so that the comparison is with the fastest: partial sums of exponentials, Gumbel-max in one pass, and
 * whole-array softmax.
 *
 * @module
 */

/** What is asked of a draw. */
export interface JavaScriptSamplingOptions {
  /** > 0. */
  temperature: number
  /** 0 is off. */
  topK: number
  /** 1 is off; only read when `topK` is on. */
  topP: number
  /** Bitmask words, bit 1 = allowed; `null` allows all. */
  allowedMask: Int32Array | null
  /** How many top log-probabilities to find beside the drawn token's; 0 computes none. */
  logprobs: number
  /** Uniform numbers in [0, 1). @defaultValue Math.random */
  random?: (() => number) | undefined
}

/** What a draw found. */
export interface JavaScriptDraw {
  /** Drawn token. */
  tokenId: number
  /** The drawn token's natural log-probability; NaN unless log-probabilities were asked for. */
  logprob: number
  /** Natural log-probabilities of the most likely tokens, most likely first; empty unless asked for. */
  topLogprobs: number[]
}

const BLOCK = 256

/**
 * Draws by inverting the cumulative distribution: one pass for the maximum, one for sums of exponentials in blocks,
 * then a walk through one block. With `topK`, selects by a heap and draws among the selected.
 *
 * @param logits - `[vocabSize]` of one row.
 * @param options - Parameters of the row.
 * @returns The draw.
 */
export function sampleByPartialSums(
  logits: Float32Array,
  options: JavaScriptSamplingOptions,
): JavaScriptDraw {
  const { temperature, topK, allowedMask: mask, logprobs, random = Math.random } = options
  if (topK > 0) return drawOf(sampleTopK(logits, options, random))
  const max = maximum(logits, mask)
  const scale = 1 / temperature
  const sums = new Float64Array(Math.ceil(logits.length / BLOCK))
  let total = 0
  for (let block = 0; block < sums.length; block++) {
    const end = Math.min(logits.length, (block + 1) * BLOCK)
    let sum = 0
    for (let id = block * BLOCK; id < end; id++) {
      if (mask === null || ((mask[id >> 5]! >>> (id & 31)) & 1) === 1) {
        sum += Math.exp((logits[id]! - max) * scale)
      }
    }
    sums[block] = sum
    total += sum
  }
  let rest = random() * total
  let block = 0
  while (block < sums.length - 1 && rest >= sums[block]!) rest -= sums[block++]!
  let drawn = -1
  for (let id = block * BLOCK; id < Math.min(logits.length, (block + 1) * BLOCK); id++) {
    if (mask !== null && ((mask[id >> 5]! >>> (id & 31)) & 1) === 0) continue
    drawn = id
    rest -= Math.exp((logits[id]! - max) * scale)
    if (rest < 0) break
  }
  if (logprobs === 0) return drawOf(drawn)
  const logZ = max * scale + Math.log(total)
  const logprobOf = (id: number): number => logits[id]! * scale - logZ
  return {
    tokenId: drawn,
    logprob: logprobOf(drawn),
    topLogprobs: selectTop(logits, logprobs, mask).map(logprobOf),
  }
}

/**
 * Draws by the Gumbel-max trick in one pass, with one random number and two logarithms a token.
 *
 * @param logits - `[vocabSize]` of one row.
 * @param options - Parameters of the row; `topK` and `logprobs` are not read.
 * @returns The draw.
 */
export function sampleByGumbelMax(
  logits: Float32Array,
  options: JavaScriptSamplingOptions,
): JavaScriptDraw {
  const { temperature, allowedMask: mask, random = Math.random } = options
  const scale = 1 / temperature
  let best = -Infinity
  let drawn = -1
  for (let id = 0; id < logits.length; id++) {
    if (mask !== null && ((mask[id >> 5]! >>> (id & 31)) & 1) === 0) continue
    const score = logits[id]! * scale - Math.log(-Math.log(1 - random()))
    if (score > best) {
      best = score
      drawn = id
    }
  }
  return drawOf(drawn)
}

/**
 * Draws from an array of probabilities made by whole-array steps: copy, divide, exponentials, sum, quotients, walk.
 *
 * @param logits - `[vocabSize]` of one row.
 * @param options - Parameters of the row; `topK` and `logprobs` are not read.
 * @returns The draw.
 * @see transformers.js, the multinomial sampler, for this order of steps
 */
export function sampleBySoftmax(
  logits: Float32Array,
  options: JavaScriptSamplingOptions,
): JavaScriptDraw {
  const { temperature, allowedMask: mask, random = Math.random } = options
  const scaled = logits.slice()
  for (let id = 0; id < scaled.length; id++) scaled[id]! /= temperature
  if (mask !== null) {
    for (let id = 0; id < scaled.length; id++) {
      if (((mask[id >> 5]! >>> (id & 31)) & 1) === 0) scaled[id] = -Infinity
    }
  }
  const max = maximum(scaled, null)
  const exponentials = scaled.map((logit) => Math.exp(logit - max))
  const sum = exponentials.reduce((partial, value) => partial + value, 0)
  const probabilities = exponentials.map((value) => value / sum)
  let rest = random()
  let drawn = -1
  for (let id = 0; id < probabilities.length; id++) {
    if (probabilities[id] === 0) continue
    drawn = id
    rest -= probabilities[id]!
    if (rest < 0) break
  }
  return drawOf(drawn)
}

function drawOf(tokenId: number): JavaScriptDraw {
  return { tokenId, logprob: NaN, topLogprobs: [] }
}

function sampleTopK(
  logits: Float32Array,
  options: JavaScriptSamplingOptions,
  random: () => number,
): number {
  const top = selectTop(logits, options.topK, options.allowedMask)
  const max = logits[top[0]!]!
  const weights = top.map((id) => Math.exp((logits[id]! - max) / options.temperature))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  let kept = 0
  let keptMass = 0
  while (kept < top.length && (kept === 0 || keptMass < options.topP * total)) {
    keptMass += weights[kept++]!
  }
  let rest = random() * keptMass
  for (let rank = 0; rank < kept; rank++) {
    rest -= weights[rank]!
    if (rest < 0) return top[rank]!
  }
  return top[kept - 1]!
}

function maximum(logits: Float32Array, mask: Int32Array | null): number {
  let max = -Infinity
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!
    if (logit > max && (mask === null || ((mask[id >> 5]! >>> (id & 31)) & 1) === 1)) max = logit
  }
  return max
}

/** Token ids of the `count` highest logits, highest first. */
function selectTop(logits: Float32Array, count: number, mask: Int32Array | null): number[] {
  const heap: number[] = []
  let threshold = -Infinity
  for (let id = 0; id < logits.length; id++) {
    if (heap.length === count && logits[id]! <= threshold) continue
    if (mask !== null && ((mask[id >> 5]! >>> (id & 31)) & 1) === 0) continue
    if (heap.length < count) {
      heap.push(id)
      siftUp(heap, logits)
    } else {
      heap[0] = id
      siftDown(heap, logits)
    }
    threshold = logits[heap[0]!]!
  }
  return heap.sort((a, b) => logits[b]! - logits[a]! || a - b)
}

function siftUp(heap: number[], logits: Float32Array): void {
  let at = heap.length - 1
  const id = heap[at]!
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (logits[heap[parent]!]! <= logits[id]!) break
    heap[at] = heap[parent]!
    at = parent
  }
  heap[at] = id
}

function siftDown(heap: number[], logits: Float32Array): void {
  const id = heap[0]!
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && logits[heap[child + 1]!]! < logits[heap[child]!]!) child++
    if (logits[heap[child]!]! >= logits[id]!) break
    heap[at] = heap[child]!
    at = child
  }
  heap[at] = id
}
