/**
 * Errors that are the user's to solve: one clear message, no stack trace.
 *
 * @module
 */

/** Thrown for a condition that the user can change: a file, a network, a value. Exit code 1. */
export class UserError extends Error {
  /** Exit code of the process. */
  readonly exitCode: number = 1

  /**
   * @param message - What failed, the value at hand, and what to do about it.
   * @param options - `cause`: the underlying error, shown with `FLASHSAMPLING_DEBUG`.
   */
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
  }
}

/** Thrown for a command line that cannot be understood. Exit code 2. */
export class UsageError extends UserError {
  override readonly exitCode: number = 2
}

/**
 * Gives the message of anything that was thrown.
 *
 * @param error - Anything.
 * @returns Its message, without a stack trace.
 */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/**
 * Gives the system's error code, for example `ENOENT`.
 *
 * @param error - Anything.
 * @returns The code, or `undefined` for errors that have none.
 */
export function systemCodeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
