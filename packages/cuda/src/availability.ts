/**
 * Tells whether, and why not, this machine can draw with CUDA.
 *
 * @module
 */
import { type BackendAttempt, BackendUnavailableError } from '@flashsampling/core'
import { type LoadedAddon, loadAddon } from './addon.ts'
import type { CudaDevice } from './addon-types.ts'
import { isNativeFailure, NO_DEVICE_HINTS, noDeviceError, toPublicError } from './native-error.ts'

/** Outcome of {@link checkAvailability}. */
export interface CudaAvailability {
  /** Whether `createCudaBackend()` can be expected to work with one of `devices`. */
  available: boolean
  /** Why not, in one line; empty when available. */
  reason: string
  /** What was tried, in order; empty when available. */
  attempts: readonly BackendAttempt[]
  /** What the user can do about it; empty when available. */
  hints: readonly string[]
  /** Every GPU that the driver shows, usable or not. */
  devices: readonly CudaDevice[]
}

/**
 * Tells whether this machine can draw with CUDA: the native library loads, there is a driver, and a GPU that is new
 * enough. Never throws. The first call takes about 50 ms, and what the driver takes to start.
 *
 * @returns `false` also where something is broken; {@link checkAvailability} says what.
 * @example
 * ```ts
 * import { createSampler } from '@flashsampling/core'
 * import { createCudaBackend, isAvailable } from '@flashsampling/cuda'
 *
 * const sampler = await createSampler({
 *   lmHead: { dtype: 'bf16', vocabSize: 2, hiddenSize: 1, data: Uint16Array.of(0x3f80, 0xbf80) },
 *   backend: isAvailable() ? createCudaBackend() : 'cpu',
 * })
 * const { tokenIds } = await sampler.sample({ hiddenStates: Float32Array.of(90), params: { seed: 1n } })
 * tokenIds[0] // => 0
 * await sampler.dispose()
 * ```
 */
export function isAvailable(): boolean {
  return checkAvailability().available
}

/**
 * Tells what {@link isAvailable} rests on: the reason where CUDA cannot be used, and the GPUs. Never throws.
 *
 * @returns Reason, attempts, hints and devices.
 */
export function checkAvailability(): CudaAvailability {
  try {
    const devices = listDevices('look for CUDA devices', loadAddon())
    if (devices.some((device) => device.servesSm90a || device.servesSmxx)) {
      return { available: true, reason: '', attempts: [], hints: [], devices }
    }
    const attempts = devices.map((device) => ({
      backend: `cuda:${device.deviceIndex}`,
      reason: `${describeDevice(device)}, and 8.0 or later is needed`,
    }))
    return {
      available: false,
      reason: attempts.map(({ reason }) => reason).join('; '),
      attempts,
      hints: NO_DEVICE_HINTS.slice(-1),
      devices,
    }
  } catch (error) {
    const { attempts, hints } =
      error instanceof BackendUnavailableError
        ? error
        : { attempts: [{ backend: 'cuda', reason: String(error) }], hints: [] }
    const reason = attempts.map((attempt) => `${attempt.backend}: ${attempt.reason}`).join('; ')
    return { available: false, reason, attempts, hints, devices: [] }
  }
}

/**
 * Lists the GPUs.
 *
 * @param action - What they are wanted for, for the error's message.
 * @param library - The addon.
 * @returns One entry per GPU, at least one.
 * @throws {BackendUnavailableError} when there is no driver or no GPU.
 */
export function listDevices(action: string, { addon, path }: LoadedAddon): CudaDevice[] {
  try {
    return Array.from({ length: addon.deviceCount() }, (_, deviceIndex) =>
      addon.deviceProperties(deviceIndex),
    )
  } catch (error) {
    if (isNativeFailure(error) && error.status === 'UNAVAILABLE') {
      throw noDeviceError(action, path, error)
    }
    throw toPublicError(error)
  }
}

/**
 * Names a GPU for messages.
 *
 * @param device - The GPU.
 * @returns For example `compute capability 7.5 (Tesla T4)`.
 */
export function describeDevice(device: CudaDevice): string {
  return `compute capability ${device.computeMajor}.${device.computeMinor} (${device.name})`
}
