/**
 * Turns what the addon reports into the errors of the library.
 *
 * @module
 */
import {
  BackendUnavailableError,
  CudaError,
  DisposedError,
  OutOfMemoryError,
  UnsupportedDeviceError,
  UnsupportedFeatureError,
} from '@flashsampling/core'
import type { NativeFailure } from './addon-types.ts'

/** What helps where there is no GPU to work with. */
export const NO_DEVICE_HINTS: readonly string[] = [
  'install an NVIDIA driver of release 580 or later, which serves CUDA 13, and check that nvidia-smi lists the GPU',
  'in a container, pass the GPU through, for example with --gpus all',
  'use the CPU backend: leave "backend" out of createSampler()',
]

/**
 * Tells whether an error came from the library below the addon.
 *
 * @param error - Anything.
 */
export function isNativeFailure(error: unknown): error is NativeFailure {
  return error instanceof Error && 'status' in error && 'operation' in error
}

/**
 * The error of a machine whose library loads but that has no driver or GPU.
 *
 * @param action - What cannot be done, for example `create the CUDA backend`.
 * @param path - The addon's file.
 * @param failure - What the library reported.
 * @returns The error to throw.
 */
export function noDeviceError(
  action: string,
  path: string,
  failure: NativeFailure,
): BackendUnavailableError {
  const attempts = [{ backend: `cuda (${path})`, reason: failure.message }]
  return new BackendUnavailableError(`Cannot ${action}`, attempts, NO_DEVICE_HINTS)
}

/**
 * The public error for something that the addon threw; other errors come back unchanged.
 *
 * @param error - What was caught.
 * @returns The error to throw.
 */
export function toPublicError(error: unknown): unknown {
  if (!isNativeFailure(error)) return error
  const { status, operation, message, requestedBytes = 0 } = error
  const action = `Cannot ${operation}`
  switch (status) {
    case 'DISPOSED':
      return new DisposedError(operation)
    case 'UNAVAILABLE':
      return new BackendUnavailableError(
        action,
        [{ backend: 'cuda', reason: message }],
        NO_DEVICE_HINTS,
      )
    case 'UNSUPPORTED_DEVICE':
      return new UnsupportedDeviceError(operation, 'what the kernel asked for needs', message, {
        cause: error,
      })
    case 'NOT_SERVED':
      return new UnsupportedFeatureError(operation, `${action}: ${message}`)
    case 'OUT_OF_MEMORY':
      return new OutOfMemoryError(
        `${action} as ${requestedBytes} bytes do not fit: ${message}`,
        requestedBytes,
        { cause: error },
      )
    case 'CUDA_ERROR':
      return new CudaError(operation, message, { ...readCudaName(message), cause: error })
    default:
      return new RangeError(`${action}: ${message}`, { cause: error })
  }
}

/** CUDA's own name of an error, and its number where it follows in brackets. */
function readCudaName(message: string): { cudaName?: string; cudaCode?: number } {
  const match = /\b(cudaError\w*|CUDA_ERROR_\w+)(?: \((\d+)\))?/.exec(message)
  if (match === null) return {}
  return {
    cudaName: match[1] as string,
    ...(match[2] === undefined ? {} : { cudaCode: Number(match[2]) }),
  }
}

/**
 * Runs something that calls the addon and translates what it throws.
 *
 * @param run - The calls.
 * @returns What `run` returns.
 */
export function translateErrors<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw toPublicError(error)
  }
}

/**
 * Awaits something that calls the addon and translates what it rejects with.
 *
 * @param run - The calls.
 * @returns What `run` resolves to.
 */
export async function translateRejections<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw toPublicError(error)
  }
}
