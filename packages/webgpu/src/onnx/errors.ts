/**
 * Conditions of ONNX models and tensors that a caller can handle.
 *
 * @module
 */
import { FlashSamplingError } from '@flashsampling/core'

/** Thrown when bytes are no ONNX model, or a tensor's bytes are missing or too few. */
export class InvalidOnnxModelError extends FlashSamplingError {
  /**
   * @param message - What cannot be read, and why.
   * @param options - `cause`: the underlying error.
   */
  constructor(message: string, options?: { cause?: unknown }) {
    super('INVALID_ONNX_MODEL', message, options)
  }
}

/** Thrown when a model is well formed but has no LM head that can be fused; `found` says what it has instead. */
export class UnsupportedOnnxModelError extends FlashSamplingError {
  /** What the model has where a supported head was looked for, for example `Tanh <- Div <- MatMul`. */
  readonly found: string

  /**
   * @param message - What was looked for, what was found and what to do.
   * @param found - What was found.
   */
  constructor(message: string, found: string) {
    super('UNSUPPORTED_ONNX_MODEL', message)
    this.found = found
  }
}

/** Thrown when a tensor cannot be sampled from where it is: on the CPU, disposed, or of a type that is not served. */
export class UnsupportedTensorError extends FlashSamplingError {
  /** What the tensor is, for example `float32 on cpu`. */
  readonly found: string

  /**
   * @param message - What is needed, what was found and what to do.
   * @param found - What was found.
   */
  constructor(message: string, found: string) {
    super('UNSUPPORTED_TENSOR', message)
    this.found = found
  }
}
