/**
 * Errors of the WebGPU package, beside those of `@flashsampling/core`.
 *
 * @module
 */
import { FlashSamplingError } from '@flashsampling/core'

/** Thrown when the `GPUDevice` is lost or destroyed; make a new device and new samplers. */
export class DeviceLostError extends FlashSamplingError {
  /** `destroyed` when `device.destroy()` was called, else `unknown`. */
  readonly reason: string

  /**
   * @param reason - Reason that the browser gave.
   * @param text - Text that the browser gave.
   */
  constructor(reason: string, text: string) {
    super(
      'DEVICE_LOST',
      `Cannot use the GPU device as it is lost (${reason})${text === '' ? '' : `: ${text}`}`,
    )
    this.reason = reason
  }
}

/** Thrown when a shader does not compile on this device; a bug of the package or of the driver. */
export class ShaderCompileError extends FlashSamplingError {
  /** Label of the kernel. */
  readonly label: string
  /** Messages of the compiler, with lines. */
  readonly messages: readonly string[]

  /**
   * @param label - Label of the kernel.
   * @param messages - Messages of the compiler, with lines.
   * @param options - `cause`: the underlying error.
   */
  constructor(label: string, messages: readonly string[], options?: { cause?: unknown }) {
    super(
      'SHADER_COMPILE',
      `Cannot compile the shader "${label}": ${messages.join('; ') || 'no message'}`,
      options,
    )
    this.label = label
    this.messages = messages
  }
}

/** Thrown when WebGPU reports a validation or internal error, for example about a buffer of another device. */
export class WebGpuError extends FlashSamplingError {
  /** What was being done, for example `sample tokens`. */
  readonly operation: string

  /**
   * @param operation - What was being done, for example `sample tokens`.
   * @param reason - WebGPU's own text.
   * @param options - `cause`: the underlying error.
   */
  constructor(operation: string, reason: string, options?: { cause?: unknown }) {
    super('WEBGPU_ERROR', `Cannot ${operation}: ${reason}`, options)
    this.operation = operation
  }
}

/** Thrown when a part of the package that is loaded where it is wanted does not load; a later call tries again. */
export class ModuleLoadError extends FlashSamplingError {
  /**
   * @param purpose - What the part is for, for example `topK`.
   * @param options - `cause`: the error of the loader.
   */
  constructor(purpose: string, options: { cause: unknown }) {
    const { cause } = options
    const reason = cause instanceof Error ? cause.message : String(cause)
    super(
      'MODULE_LOAD',
      `Cannot load the part of @flashsampling/webgpu for ${purpose}; draws without them go on: ${reason}`,
      options,
    )
  }
}
