/**
 * Error classes of the library.
 *
 * Wrong arguments are `TypeError` or `RangeError`; conditions a caller can handle are subclasses of
 * {@link FlashSamplingError} with a `code`. Every class carries a `Symbol.for` marker, so that two copies of
 * this package in one program still recognise each other's errors.
 *
 * @module
 */

/** String codes of {@link FlashSamplingError}; listed with their remedies in `docs/errors.md`. */
export type FlashSamplingErrorCode =
  | 'BACKEND_UNAVAILABLE'
  | 'UNSUPPORTED_DEVICE'
  | 'UNSUPPORTED_FEATURE'
  | 'INVALID_LOGITS'
  | 'ALL_TOKENS_MASKED'
  | 'OUT_OF_MEMORY'
  | 'CUDA_ERROR'
  | 'WORKER_FAILED'
  | 'DISPOSED'
  | (string & {})

const marker = Symbol.for('flashsampling.error')

/**
 * Base of all conditions that a caller can handle.
 *
 * @see docs/errors.md
 */
export class FlashSamplingError extends Error {
  /** Machine-readable condition, stable across versions. */
  readonly code: FlashSamplingErrorCode
  static {
    // A marker on the prototype, so that another copy of the package recognises the class.
    Object.defineProperty(FlashSamplingError.prototype, marker, { value: true })
  }

  /**
   * @param code - Machine-readable condition.
   * @param message - What failed, the offending value and the remedy.
   * @param options - `cause`: the underlying error.
   */
  constructor(code: FlashSamplingErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }

  /**
   * Tells whether a value is an error of this library, also when it was made by another copy of the package.
   *
   * @param value - Anything.
   * @returns `true` for errors of this library.
   */
  static isInstance(value: unknown): value is FlashSamplingError {
    return typeof value === 'object' && value !== null && marker in value
  }
}

/** One failed try to open a backend. */
export interface BackendAttempt {
  /** Name of the backend that was tried. */
  backend: string
  /** Why it could not be used. */
  reason: string
}

/** Thrown when no backend can serve the request on this machine; `attempts` says what was tried. */
export class BackendUnavailableError extends FlashSamplingError {
  /** What was tried, in order. */
  readonly attempts: readonly BackendAttempt[]
  /** What the user can do about it. */
  readonly hints: readonly string[]

  /**
   * @param message - What was wanted.
   * @param attempts - What was tried, in order.
   * @param hints - What the user can do about it.
   */
  constructor(message: string, attempts: readonly BackendAttempt[], hints: readonly string[] = []) {
    const tried = attempts.map((a) => `\n- ${a.backend}: ${a.reason}`).join('')
    const help =
      hints.length > 0 ? `\nPossible solutions:${hints.map((h) => `\n- ${h}`).join('')}` : ''
    super('BACKEND_UNAVAILABLE', `${message}${tried}${help}`)
    this.attempts = attempts
    this.hints = hints
  }
}

/** Thrown when a backend exists but cannot do what was asked (a dtype, a filter, a size); see its capabilities. */
export class UnsupportedFeatureError extends FlashSamplingError {
  /** What was asked for. */
  readonly feature: string

  /**
   * @param feature - What was asked for.
   * @param message - Why it is not served and what is.
   */
  constructor(feature: string, message: string) {
    super('UNSUPPORTED_FEATURE', message)
    this.feature = feature
  }
}

/** Thrown when a device is present but lacks something that the backend or the request needs. */
export class UnsupportedDeviceError extends FlashSamplingError {
  /** What is needed, for example `compute capability 8.0 or later`. */
  readonly required: string
  /** What the device has, for example `compute capability 7.5 (Tesla T4)`. */
  readonly found: string

  /**
   * @param action - What cannot be done, for example `create the CUDA backend`.
   * @param required - What is needed.
   * @param found - What the device has.
   * @param options - `cause`: the underlying error.
   */
  constructor(action: string, required: string, found: string, options?: { cause?: unknown }) {
    super(
      'UNSUPPORTED_DEVICE',
      `Cannot ${action} as the device must have ${required}: current device has ${found}`,
      options,
    )
    this.required = required
    this.found = found
  }
}

/** Thrown when the CUDA runtime or driver reports an error while it works. */
export class CudaError extends FlashSamplingError {
  /** Name of the error as CUDA spells it, for example `cudaErrorIllegalAddress`; empty when unknown. */
  readonly cudaName: string
  /** Number of the error; -1 when unknown. */
  readonly cudaCode: number
  /** What was being done, for example `upload the weights`. */
  readonly operation: string

  /**
   * @param operation - What was being done, for example `upload the weights`.
   * @param reason - CUDA's own text, with the failing expression.
   * @param details - `cudaName` and `cudaCode`, where known; `cause`: the underlying error.
   */
  constructor(
    operation: string,
    reason: string,
    details: { cudaName?: string; cudaCode?: number; cause?: unknown } = {},
  ) {
    super('CUDA_ERROR', `Cannot ${operation}: ${reason}`, { cause: details.cause })
    this.operation = operation
    this.cudaName = details.cudaName ?? ''
    this.cudaCode = details.cudaCode ?? -1
  }
}

/** Thrown when a row has no valid draw: NaN or +infinite logits, or every token masked. */
export class RowError extends FlashSamplingError {
  /** First offending row, 0-based in the batch. */
  readonly row: number
  /** All offending rows of the batch, ascending. */
  readonly rows: readonly number[]

  /**
   * @param code - `INVALID_LOGITS` or `ALL_TOKENS_MASKED`.
   * @param message - Names the row and the cause.
   * @param rows - All offending rows, ascending, at least one.
   */
  constructor(
    code: 'INVALID_LOGITS' | 'ALL_TOKENS_MASKED',
    message: string,
    rows: readonly number[],
  ) {
    super(code, message)
    this.rows = rows
    this.row = rows[0] ?? 0
  }
}

/** Thrown when a weight, workspace or batch does not fit the memory that the backend can address. */
export class OutOfMemoryError extends FlashSamplingError {
  /** Bytes that were asked for. */
  readonly requestedBytes: number

  /**
   * @param message - What was being allocated and the remedy.
   * @param requestedBytes - Bytes that were asked for.
   * @param options - `cause`: the engine's error.
   */
  constructor(message: string, requestedBytes: number, options?: { cause?: unknown }) {
    super('OUT_OF_MEMORY', message, options)
    this.requestedBytes = requestedBytes
  }
}

/** Thrown when a worker thread died or could not start. */
export class WorkerFailedError extends FlashSamplingError {
  /**
   * @param message - Which worker and why.
   * @param options - `cause`: the worker's error.
   */
  constructor(message: string, options?: { cause?: unknown }) {
    super('WORKER_FAILED', message, options)
  }
}

/** Thrown when a sampler or backend is used after it was disposed. */
export class DisposedError extends FlashSamplingError {
  /** @param what - What was used, for example `sampler`. */
  constructor(what: string) {
    super('DISPOSED', `Cannot use the ${what} as it is disposed: create a new one`)
  }
}

/**
 * Formats a received value for an error message: short, quoted, with its type where the value alone misleads.
 *
 * @param value - Anything.
 * @returns At most about 60 characters.
 * @internal
 */
export function describeValue(value: unknown): string {
  if (typeof value === 'string')
    return JSON.stringify(value.length > 48 ? `${value.slice(0, 45)}...` : value)
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return `an array of length ${value.length}`
  if (ArrayBuffer.isView(value)) {
    const length = (value as unknown as { length?: number }).length ?? value.byteLength
    return `a ${value.constructor.name} of length ${length}`
  }
  if (typeof value === 'object' && value !== null)
    return `an object (${value.constructor?.name ?? 'null prototype'})`
  return String(value)
}

/**
 * Builds the `RangeError` for an argument that is out of range.
 *
 * @param action - What cannot be done, for example `sample tokens`.
 * @param name - Name of the argument.
 * @param expected - The rule, for example `>= 0`.
 * @param received - The value at hand.
 * @returns The error, to be thrown by the caller.
 */
export function invalidArgument(
  action: string,
  name: string,
  expected: string,
  received: unknown,
): RangeError {
  return new RangeError(
    `Cannot ${action} as "${name}" must be ${expected}: current value is ${describeValue(received)}`,
  )
}

/**
 * Builds the `TypeError` for an argument of a wrong type.
 *
 * @param action - What cannot be done, for example `sample tokens`.
 * @param name - Name of the argument.
 * @param expected - The type, for example `a bigint`.
 * @param received - The value at hand.
 * @returns The error, to be thrown by the caller.
 */
export function invalidType(
  action: string,
  name: string,
  expected: string,
  received: unknown,
): TypeError {
  return new TypeError(
    `Cannot ${action} as "${name}" must be ${expected}: current value is ${describeValue(received)}${
      typeof received === 'object' || received === undefined ? '' : ` (${typeof received})`
    }`,
  )
}
