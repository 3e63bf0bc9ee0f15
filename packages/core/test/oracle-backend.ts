/**
 * A backend that stores all logits and asks the float64 oracle: the simplest thing that conforms, and what the mutants
 * of the kit's own tests are made from.
 */
import { roundToDType } from '../src/conformance/storage.ts'
import {
  type Backend,
  type BackendCapabilities,
  type CheckedShard,
  logMassOf,
  logSumExp,
  type NoiseScheme,
  type RowBatch,
  RowError,
  type RowParams,
  readWeightRows,
  type SampleResult,
  STORAGE_FORMATS,
  sampleFromLogits,
  transformLogits,
} from '../src/index.ts'

/** Where a mutant goes wrong; every hook defaults to doing nothing. */
export interface Mutation {
  capabilities?: Partial<BackendCapabilities>
  /** Changes one row's parameters before the draw. */
  params?: (row: RowParams, index: number, batchSize: number) => RowParams
  /** Changes one row's logits before the draw. */
  logits?: (logits: Float64Array, index: number, batchSize: number) => Float64Array
  /** Rounds the hidden states of a backend that multiplies 16-bit values; default: to nearest, on ties to even. */
  round?: (values: Float32Array, dtype: 'f16' | 'bf16') => Float32Array
  /** Changes the result of a call. */
  result?: (result: SampleResult, batch: RowBatch) => SampleResult
  /** Changes the shards of a new session. */
  shards?: (shards: readonly CheckedShard[]) => readonly CheckedShard[]
  /** Swallows the error of a row that has no draw. */
  hidesErrors?: boolean
  /** Reads the caller's weights anew on every call. */
  keepsWeights?: boolean
  /** Noise scheme used instead of the one that was asked for. */
  noiseScheme?: NoiseScheme
}

const CAPABILITIES: BackendCapabilities = {
  dtypes: Object.keys(STORAGE_FORMATS) as (keyof typeof STORAGE_FORMATS)[],
  maxBatchSize: Number.POSITIVE_INFINITY,
  features: ['topK', 'topP', 'minP', 'logitBias', 'allowedTokens', 'penalties', 'numSamples'],
  maxLogprobs: 1024,
  sharded: true,
  noiseSchemes: ['flash', 'vllm'],
}

export function createOracleBackend(mutation: Mutation = {}): Backend {
  return {
    name: 'oracle',
    capabilities: { ...CAPABILITIES, ...mutation.capabilities },
    async createSession(options) {
      const shards = mutation.shards?.(options.shards) ?? options.shards
      const noiseScheme = mutation.noiseScheme ?? options.noiseScheme
      const hiddenSize = shards[0]?.hiddenSize ?? 0
      const vocabSize = Math.max(
        ...shards.map((shard) => (shard.vocabStart as number) + shard.vocabSize),
      )
      const readPieces = () =>
        shards.map((shard) => ({
          vocabStart: shard.vocabStart as number,
          vocabSize: shard.vocabSize,
          weight: readWeightRows(shard, 0, shard.vocabSize),
        }))
      const pieces = readPieces()
      const dtype = shards[0]?.dtype
      const isRounded =
        mutation.capabilities?.hiddenStatesDtype === 'head' && (dtype === 'f16' || dtype === 'bf16')
      const round = mutation.round ?? roundToDType
      return {
        async sample(batch) {
          const hiddenStates = isRounded ? round(batch.hiddenStates, dtype) : batch.hiddenStates
          const logits = Array.from({ length: batch.batchSize }, (_, row) => {
            const all = new Float64Array(vocabSize).fill(-Infinity)
            const hidden = hiddenStates.subarray(row * hiddenSize, (row + 1) * hiddenSize)
            for (const piece of mutation.keepsWeights ? readPieces() : pieces) {
              for (let i = 0; i < piece.vocabSize; i++) {
                all[piece.vocabStart + i] = dot(hidden, piece.weight, i * hiddenSize)
              }
            }
            return mutation.logits?.(all, row, batch.batchSize) ?? all
          })
          const result = drawBatch(logits, batch, noiseScheme, mutation)
          return mutation.result?.(result, batch) ?? result
        },
        async dispose() {},
      }
    },
  }
}

function dot(hidden: Float32Array, weight: Float32Array, start: number): number {
  let sum = 0
  for (let i = 0; i < hidden.length; i++)
    sum += (hidden[i] as number) * (weight[start + i] as number)
  return sum
}

function drawBatch(
  logits: Float64Array[],
  batch: RowBatch,
  noiseScheme: NoiseScheme,
  mutation: Mutation,
): SampleResult {
  const tokenIds: number[] = []
  const logprobs: number[] = []
  const rowOffsets = [0]
  const topLogprobs: SampleResult['topLogprobs'] = []
  const errors: RowError[] = []
  for (const [index, given] of batch.rows.entries()) {
    const row = mutation.params?.(given, index, batch.batchSize) ?? given
    try {
      const drawn = drawRow(logits[index] as Float64Array, row, noiseScheme)
      tokenIds.push(...drawn.tokenIds)
      logprobs.push(...drawn.logprobs)
      topLogprobs.push(drawn.top)
    } catch (error) {
      if (!(error instanceof RowError)) throw error
      errors.push(new RowError(error.code as 'INVALID_LOGITS', error.message, [index]))
      tokenIds.push(0)
      logprobs.push(0)
      topLogprobs.push(null)
    }
    rowOffsets.push(tokenIds.length)
  }
  const first = errors[0]
  if (first !== undefined && !mutation.hidesErrors) {
    const rows = errors.map((error) => error.row)
    throw new RowError(first.code as 'INVALID_LOGITS', first.message, rows)
  }
  return {
    tokenIds: Int32Array.from(tokenIds),
    logprobs: Float32Array.from(logprobs),
    rowOffsets: Int32Array.from(rowOffsets),
    topLogprobs,
    stats: { secondPassRows: 0, passes: 1, workspaceBytes: 0 },
  }
}

function drawRow(logits: Float64Array, row: RowParams, noiseScheme: NoiseScheme) {
  const transformed = transformLogits(logits, { ...row, temperature: 1 })
  const { temperature, topK, topP, minP, seed, position, drawIndex, numSamples } = row
  const oracle = sampleFromLogits(
    transformed,
    {
      temperature,
      topK,
      topP,
      minP,
      seed,
      position,
      drawIndex,
      numSamples,
      logprobs: row.logprobs,
    },
    { noiseScheme },
  )
  const raw = row.logprobsMode === 'raw'
  const rawLogZ = logSumExp(logMassOf(logits))
  const ranked = raw
    ? [...logits.keys()]
        .filter((id) => logits[id] !== -Infinity)
        .sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b)
        .slice(0, row.logprobs)
        .map((tokenId) => ({ tokenId, logprob: (logits[tokenId] as number) - rawLogZ }))
    : oracle.topLogprobs
  return {
    tokenIds: oracle.draws.map((draw) => draw.tokenId),
    logprobs: oracle.draws.map((draw) =>
      raw ? (logits[draw.tokenId] as number) - rawLogZ : draw.logprob,
    ),
    top:
      row.logprobs === 0
        ? null
        : {
            tokenIds: Int32Array.from(ranked, (token) => token.tokenId),
            logprobs: Float32Array.from(ranked, (token) => token.logprob),
          },
  }
}
