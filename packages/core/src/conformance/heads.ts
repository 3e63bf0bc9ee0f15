/**
 * LM heads and hidden states for tests, in every storage format, with the float64 logits they stand for.
 *
 * @module
 */
import { readWeightRows, rowByteLength, STORAGE_FORMATS } from '../lm-head.ts'
import { isNBitsFormat, nbitsLayout } from '../nbits.ts'
import type { DType, LmHeadShard, QuantizedFormat } from '../types.ts'
import { createGenerator, type Generator } from './generator.ts'
import { type NBitsOptions, nbitsWeights } from './nbits-weights.ts'
import {
  integerWeights,
  nearestF16,
  numberToBf16,
  realWeights,
  roundToDType,
  splitToBf16,
} from './storage.ts'

/** What {@link makeCase} makes. */
export interface MakeCaseOptions {
  /** u64; equal seeds give equal inputs in every engine. */
  seed: bigint
  /** Tokens. */
  vocabSize: number
  /** Width of a hidden state, elements; rounded up to a whole block of a quantised format. */
  hiddenSize: number
  /** Rows. @defaultValue 1 */
  batchSize?: number | undefined
  /**
   * `integers`: hidden states from -3 to 3, weights from -2 to 2, so that every order of fp32 summation is exact;
   * `real`: about normal. @defaultValue 'real'
   */
  values?: 'integers' | 'real' | undefined
  /** Storage of the head. @defaultValue 'f32' */
  dtype?: DType | QuantizedFormat | undefined
  /** Blocks of an `nbits4` or `nbits8` head. @defaultValue blocks of 32 weights with f16 scales, no zero points */
  quantization?: NBitsOptions | undefined
  /** Standard deviation of the logits of `real` values, nats. @defaultValue 3 */
  spread?: number | undefined
  /** What the logits take the hidden states for: rounded to this type. They themselves stay f32. @defaultValue 'f32' */
  hiddenStatesDtype?: DType | undefined
  /** Error of accumulation for each element, as in `BackendCapabilities`. @defaultValue 2^-24 */
  accumulationError?: number | undefined
}

/** Inputs of one call with the logits they stand for. */
export interface TestCase {
  /** The head, one matrix. */
  lmHead: LmHeadShard
  /** `[batchSize, hiddenSize]`, f32. */
  hiddenStates: Float32Array
  /** Tokens. */
  vocabSize: number
  /** Width of a hidden state, elements. */
  hiddenSize: number
  /** Rows. */
  batchSize: number
  /** `[batchSize][vocabSize]`, the products in float64. */
  logits: Float64Array[]
  /** `[batchSize]`, bound of the distance of a backend's product from `logits`, any order of summation; 0 when exact. */
  dotErrors: number[]
}

/** Unit roundoff of fp32. */
export const UNIT_ROUNDOFF: number = 2 ** -24

/**
 * Makes a head, hidden states and their float64 logits from a seed.
 *
 * @param options - Seed, shape, values and storage.
 * @returns The inputs; `dotErrors` holds `hiddenSize * accumulationError * max sum |h w|` (four times that for quantised
 *   storage, where a kernel may sum scales and offsets apart).
 * @see Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1, for the bound of a dot product
 */
export function makeCase(options: MakeCaseOptions): TestCase {
  const { seed, vocabSize, batchSize = 1, values = 'real', dtype = 'f32' } = options
  const { blockWeights } = STORAGE_FORMATS[dtype]
  const hiddenSize = Math.ceil(options.hiddenSize / blockWeights) * blockWeights
  const weights = createGenerator(seed, 1)
  const states = createGenerator(seed, 2)
  const hiddenStates = Float32Array.from({ length: batchSize * hiddenSize }, () =>
    values === 'integers' ? states.integer(-3, 3) : states.normal(),
  )
  const lmHead = makeHead(weights, { ...options, dtype, values, hiddenSize })
  const { hiddenStatesDtype = 'f32', accumulationError = UNIT_ROUNDOFF } = options
  return {
    ...multiply(
      lmHead,
      roundToDType(hiddenStates, hiddenStatesDtype),
      values === 'integers' ? 0 : accumulationError,
    ),
    lmHead,
    hiddenStates,
    vocabSize,
    hiddenSize,
    batchSize,
  }
}

function makeHead(
  generator: Generator,
  options: MakeCaseOptions & { dtype: LmHeadShard['dtype'] },
): LmHeadShard {
  const { dtype, vocabSize, hiddenSize, values, quantization, spread = 3 } = options
  const deviation = spread / Math.sqrt(hiddenSize)
  const sizes = { dtype, vocabSize, hiddenSize }
  if (isNBitsFormat(dtype)) {
    const shape = { ...sizes, dtype, deviation: values === 'integers' ? null : deviation }
    return { ...sizes, ...nbitsWeights(generator, shape, quantization) }
  }
  const length = vocabSize * hiddenSize
  return values === 'integers'
    ? { ...sizes, data: integerWeights(generator, dtype, length) }
    : { ...sizes, data: realWeights(generator, dtype, length, deviation) }
}

/**
 * Makes a case from explicit logits, exact in fp32: hidden columns of ones carry them, the others are zero.
 *
 * @param logits - `[vocabSize]`, values that fp32 holds exactly; NaN and infinities allowed.
 * @param batchSize - Rows, all alike.
 * @param hiddenSize - Width of a hidden state, elements; at least 3 for `bf16`.
 * @param dtype - Storage of the head; `bf16` spreads each logit over three columns, the sum of which is exact in any
 *   order.
 * @returns The inputs.
 */
export function caseFromLogits(
  logits: ArrayLike<number>,
  batchSize = 1,
  hiddenSize = 8,
  dtype: 'f32' | 'bf16' = 'f32',
): TestCase {
  const vocabSize = logits.length
  const length = vocabSize * hiddenSize
  const data = dtype === 'f32' ? new Float32Array(length) : new Uint16Array(length)
  for (let tokenId = 0; tokenId < vocabSize; tokenId++) {
    const logit = logits[tokenId] as number
    if (dtype === 'f32') data[tokenId * hiddenSize] = logit
    else data.set(splitToBf16(logit).map(numberToBf16), tokenId * hiddenSize)
  }
  const hiddenStates = new Float32Array(batchSize * hiddenSize)
  for (let row = 0; row < batchSize; row++) {
    hiddenStates.fill(1, row * hiddenSize, row * hiddenSize + (dtype === 'f32' ? 1 : 3))
  }
  return {
    lmHead: { dtype, vocabSize, hiddenSize, data },
    hiddenStates,
    vocabSize,
    hiddenSize,
    batchSize,
    logits: Array.from({ length: batchSize }, () => Float64Array.from(logits)),
    dotErrors: new Array<number>(batchSize).fill(0),
  }
}

/**
 * Cuts a head into contiguous vocabulary shards of unequal size.
 *
 * @param lmHead - One matrix with data in memory.
 * @param numShards - Pieces, 1 to `vocabSize`.
 * @returns The pieces in order, views of the same memory.
 */
export function splitHead(lmHead: LmHeadShard, numShards: number): LmHeadShard[] {
  const { dtype, vocabSize, hiddenSize, vocabStart = 0, quantization } = lmHead
  const data = lmHead.data as Float32Array | Uint16Array | Uint8Array
  const rowElements =
    rowByteLength(dtype, hiddenSize, quantization?.blockSize) / data.BYTES_PER_ELEMENT
  const shards: LmHeadShard[] = []
  let start = 0
  for (let shard = 0; shard < numShards; shard++) {
    // Early shards are smaller, so that no cut falls on a round number.
    const left = vocabSize - start - (numShards - shard - 1)
    const even = Math.ceil((vocabSize * (shard + 1) ** 1.5) / numShards ** 1.5) - start
    const size = shard === numShards - 1 ? vocabSize - start : Math.max(1, Math.min(left, even))
    shards.push({
      dtype,
      vocabSize: size,
      hiddenSize,
      data: data.subarray(start * rowElements, (start + size) * rowElements),
      vocabStart: vocabStart + start,
      ...splitQuantization(lmHead, start, size),
    })
    start += size
  }
  return shards
}

function splitQuantization(
  { dtype, hiddenSize, quantization }: LmHeadShard,
  start: number,
  size: number,
): Pick<LmHeadShard, 'quantization'> {
  if (quantization === undefined || !isNBitsFormat(dtype)) return {}
  const { blockSize, scales, zeroPoints } = quantization
  const { numBlocks, zeroPointRowBytes } = nbitsLayout(dtype, hiddenSize, blockSize)
  const rows = <T extends Float32Array | Uint16Array | Uint8Array>(array: T, columns: number): T =>
    array.subarray(start * columns, (start + size) * columns) as T
  return {
    quantization: {
      blockSize,
      scales: rows(scales, numBlocks),
      zeroPoints:
        zeroPoints instanceof Uint8Array ? rows(zeroPoints, zeroPointRowBytes) : zeroPoints,
    },
  }
}

/**
 * A copy of a dense head in which one weight is another.
 *
 * @param lmHead - One matrix of f32, f16 or bf16 with data in memory.
 * @param index - Element of `data`.
 * @param value - A value that the head's storage holds exactly; NaN and infinities allowed.
 * @returns The changed head.
 */
export function replaceWeight(lmHead: LmHeadShard, index: number, value: number): LmHeadShard {
  const data = (lmHead.data as Float32Array | Uint16Array).slice()
  if (data instanceof Float32Array) data[index] = value
  else if (Number.isNaN(value)) data[index] = 0x7fff
  else data[index] = lmHead.dtype === 'bf16' ? numberToBf16(value) : nearestF16(value)
  return { ...lmHead, data }
}

function multiply(
  lmHead: LmHeadShard,
  hiddenStates: Float32Array,
  accumulationError: number,
): { logits: Float64Array[]; dotErrors: number[] } {
  const { vocabSize, hiddenSize, dtype } = lmHead
  const weight = readWeightRows(lmHead, 0, vocabSize)
  const slack = hiddenSize * accumulationError * (STORAGE_FORMATS[dtype].blockWeights > 1 ? 4 : 1)
  const logits: Float64Array[] = []
  const dotErrors: number[] = []
  for (let row = 0; row < hiddenStates.length / hiddenSize; row++) {
    const rowLogits = new Float64Array(vocabSize)
    let largest = 0
    for (let tokenId = 0; tokenId < vocabSize; tokenId++) {
      let sum = 0
      let absolute = 0
      for (let i = 0; i < hiddenSize; i++) {
        const product =
          (hiddenStates[row * hiddenSize + i] as number) *
          (weight[tokenId * hiddenSize + i] as number)
        sum += product
        absolute += Math.abs(product)
      }
      rowLogits[tokenId] = sum
      largest = Math.max(largest, absolute)
    }
    logits.push(rowLogits)
    dotErrors.push(slack * largest)
  }
  return { logits, dotErrors }
}
