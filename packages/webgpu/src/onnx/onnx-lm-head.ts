/**
 * Heads out of ONNX models.
 *
 * @module
 */
import type { LmHeadShard } from '@flashsampling/core'

/** A head out of an ONNX model: one matrix with its data in memory. */
export interface OnnxLmHead extends LmHeadShard {
  /** `[vocabSize, hiddenSize]`, as in `LmHeadShard`. */
  data: Float32Array | Uint16Array | Uint8Array
}
