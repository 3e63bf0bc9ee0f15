/**
 * What a backend is: capabilities, and sessions that draw rows from one LM head.
 *
 * Capabilities, not names, decide what is possible; core never branches on a backend's name.
 *
 * @module
 */
import type { CheckedShard } from './lm-head.ts'
import type { NoiseScheme } from './noise.ts'
import type { RowParams } from './params.ts'
import type { BackendBuffer, DType, QuantizedFormat, SampleResult } from './types.ts'

/** Row filters and transforms that a backend may serve. */
export type BackendFeature =
  | 'topK'
  | 'topP'
  | 'minP'
  | 'logitBias'
  | 'allowedTokens'
  | 'penalties'
  | 'numSamples'

/** What a backend can do; core refuses a request outside it with {@link UnsupportedFeatureError}. */
export interface BackendCapabilities {
  /** Weight storage that heads may have. */
  dtypes: readonly (DType | QuantizedFormat)[]
  /** Most rows of one call; Infinity when the backend loops. */
  maxBatchSize: number
  /** Transforms and filters served on the backend. */
  features: readonly BackendFeature[]
  /** Most top log-probabilities a row may ask for; 0: only the drawn token's; -1: none at all. */
  maxLogprobs: number
  /** Whether a head may be a list of vocabulary shards. */
  sharded: boolean
  /** Noise schemes served. */
  noiseSchemes: readonly NoiseScheme[]
  /**
   * Type in which hidden states are multiplied. `head`: f16 and bf16 heads round them to their own `dtype`, to the
   * nearest value, on ties to even; other heads keep f32. Hidden states that are already of that type lose nothing.
   * @defaultValue 'f32'
   */
  hiddenStatesDtype?: 'f32' | 'head'
  /**
   * Bound of what accumulation adds to the error of a logit, for each element of the sum: a logit `w · h` lies within
   * `hiddenSize * accumulationError * sum |w h|` of its exact value. `2^-24` is fp32 that rounds to nearest; matrix
   * units that truncate need more. @defaultValue 2^-24
   */
  accumulationError?: number
}

/** A batch as core hands it to a backend: checked, with every default filled in. */
export interface RowBatch {
  /** `[batchSize, hiddenSize]`, f32, row-major; free of NaN. */
  hiddenStates: Float32Array
  /** Rows. */
  batchSize: number
  /** One entry per row. */
  rows: readonly RowParams[]
}

/** A head loaded on a backend. */
export interface BackendSession {
  /**
   * Draws for every row of a batch. Core never overlaps two calls of one session.
   *
   * @param batch - Checked rows.
   * @returns Tokens and log-probabilities.
   * @throws {RowError} when a row has no valid draw.
   */
  sample(batch: RowBatch): Promise<SampleResult>
  /** Frees what the session owns. */
  dispose(): Promise<void>
}

/** What a session is made from. */
export interface SessionOptions {
  /** Shards in ascending order of `vocabStart`, without overlap, checked by core. */
  shards: readonly CheckedShard[]
  /** Noise scheme of every draw. */
  noiseScheme: NoiseScheme
}

/** A way to draw tokens: a device and its kernels. */
export interface Backend {
  /** Short lower-case name, for messages only. */
  readonly name: string
  /** What it can do. */
  readonly capabilities: BackendCapabilities
  /**
   * Loads a head.
   *
   * @param options - Checked shards and noise scheme.
   * @returns The session, owned by the caller.
   */
  createSession(options: SessionOptions): Promise<BackendSession>
  /**
   * Allocates memory that a head can live in without another copy, where the backend offers it.
   *
   * @param byteLength - Size of the head's data.
   * @returns The buffer.
   */
  allocate?(byteLength: number): BackendBuffer
}
