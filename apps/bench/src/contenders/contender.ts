/**
 * What the harness times: named ways to draw tokens from one LM head.
 *
 * @module
 */
import type { LmHeadShard, SamplingParams } from '@flashsampling/core'
import type { HeadData } from '../cases/inputs.ts'
import type { BenchDType, Variant } from '../cases/shapes.ts'

/** A head with its weights in a typed array. */
export type BenchHead = LmHeadShard & { dtype: BenchDType; data: HeadData }

/** Names of contenders, as they stand in records. */
export type ContenderName =
  | 'flashsampling'
  | 'flashsampling-typescript'
  | 'flashsampling-two-step'
  | 'onnxruntime-node'
  | 'onnxruntime-node-gumbel'
  | 'onnxruntime-node-softmax'
  | 'onnxruntime-node-matmul'

/** One timed call. */
export interface DrawCall {
  /** `[batchSize, hiddenSize]`, f32, row-major. */
  hiddenStates: Float32Array
  /** Rows. */
  batchSize: number
  /** What is asked of the draw. */
  variant: Variant
  /** The same as parameters of the library; contenders that are not ours read the values they understand. */
  params: SamplingParams
}

/** A loaded contender. */
export interface Contender {
  /** Its name. */
  readonly name: ContenderName
  /** Threads that it draws with. */
  readonly threads: number
  /**
   * Draws one token per row.
   *
   * @param call - Rows and parameters.
   * @returns Token ids; empty for a contender that samples nothing.
   */
  draw(call: DrawCall): Promise<ArrayLike<number>>
  /** Memory beside the weights that the last draw left in use, bytes; absent where the contender does not tell. */
  workspaceBytes?(): number
}

/** What a contender is asked to be timed on. */
export interface ContenderRequest {
  /** Its name. */
  name: ContenderName
  /** Threads that it may use. */
  threads: number
  /** Storage format of the head. */
  dtype: BenchDType
  /** Rows. */
  batchSize: number
  /** What is asked of the draw. */
  variant: Variant
}

/** Contenders that share one loaded head. */
export interface LoadedContenders {
  /** One for each name and number of threads that was asked for. */
  contenders: readonly Contender[]
  /** Frees the head. */
  dispose(): Promise<void>
}

/** A library that contenders are made from. */
export interface ContenderFamily {
  /** Contenders that it offers, in the order of tables. */
  readonly names: readonly ContenderName[]
  /** Versions of what it runs on, for the record. */
  versions(): Record<string, string>
  /** Why it cannot run here, with the remedy; `null` when it can. */
  unavailableReason(): string | null
  /**
   * Tells whether a contender can and should be timed on a request.
   *
   * @param request - Contender, head, batch and variant.
   * @returns `false` where it does not exist, or would take minutes a call.
   */
  supports(request: ContenderRequest): boolean
  /**
   * Loads a head.
   *
   * @param head - Weights; kept by reference where that is possible.
   * @param wanted - Names and numbers of threads.
   * @returns The contenders, owned by the caller.
   */
  load(
    head: BenchHead,
    wanted: readonly { name: ContenderName; threads: number }[],
  ): Promise<LoadedContenders>
}
