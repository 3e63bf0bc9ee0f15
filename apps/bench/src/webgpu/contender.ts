/**
 * What the WebGPU benchmark times: ways to draw tokens from one head on one device.
 *
 * @module
 */
import type { LmHeadShard, SamplingParams } from '@flashsampling/core'

/** Storage formats of the heads. */
export type WebGpuDType = 'f32' | 'f16' | 'q8_0' | 'nbits4'

/** A head with its weights in a typed array. */
export type WebGpuHead = LmHeadShard & {
  dtype: WebGpuDType
  data: Float32Array | Uint16Array | Uint8Array
}

/** Names of contenders, as they stand in records. */
export type WebGpuContenderName =
  | 'flashsampling'
  | 'flashsampling-logits'
  | 'gpu-sort'
  | 'onnxruntime-web'
  | 'onnxruntime-web-softmax'
  | 'onnxruntime-web-flashsampling'
  | 'logits-product'
  | 'read-ceiling'

/** Every contender, in the order of tables. */
export const WEBGPU_CONTENDERS: readonly WebGpuContenderName[] = [
  'flashsampling',
  'flashsampling-logits',
  'gpu-sort',
  'onnxruntime-web',
  'onnxruntime-web-softmax',
  'onnxruntime-web-flashsampling',
  'logits-product',
  'read-ceiling',
]

/** Rows of a call, in memory and on the device. */
export interface WebGpuRows {
  /** Rows. */
  batchSize: number
  /** `[batchSize, hiddenSize]`, f32, row-major. */
  data: Float32Array
  /** The same on the device; storage, and a source of copies. */
  buffer: GPUBuffer
}

/** One call. */
export interface WebGpuCall {
  rows: WebGpuRows
  /** Temperature, and for the library seed and position. */
  params: SamplingParams & { temperature: number }
  /** `[batchSize]` from 0 to below 1, for contenders that invert a cumulative distribution. */
  uniforms: Float32Array
}

/**
 * How a contender's token follows from a call: by the library's noise, or by its uniform number in tokens ordered by
 * probability or by id; `none` draws nothing.
 */
export type DrawRule = 'noise' | 'rank' | 'id' | 'none'

/** A loaded contender. */
export interface WebGpuContender {
  readonly name: WebGpuContenderName
  readonly rule: DrawRule
  /** How far its cumulative probabilities may be off by rounding. */
  readonly tolerance: number
  /**
   * Draws one token per row.
   *
   * @param call - Rows and parameters.
   * @returns Token ids that JavaScript has; empty for one that draws nothing.
   */
  draw(call: WebGpuCall): Promise<ArrayLike<number>>
  /**
   * Fills the tokens of a batch with an id that cannot be, where the contender keeps them between calls.
   *
   * @param batchSize - Rows.
   */
  poison?(batchSize: number): void
  /** Frees what it owns. */
  dispose(): Promise<void> | void
}
