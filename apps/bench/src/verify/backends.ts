/**
 * Backends that `verify` checks: every kernel and several thread counts of the embedded CPU backend.
 *
 * @module
 */
import { availableParallelism } from 'node:os'
import { type Backend, createCpuBackend } from '@flashsampling/core'
import { messageOf } from '../ui/user-error.ts'

/** A backend to check, or the reason why it cannot be had. */
export interface VerifiedBackend {
  /** Names the backend in tables, for example `cpu wasm x2`. */
  name: string
  /** The backend; `null` when it is not available here. */
  backend: Backend | null
  /** Why it is not available, one line. */
  reason?: string
}

/**
 * Opens every backend of this machine.
 *
 * @returns The backends in the order of the report; unavailable ones with the reason.
 */
export function openBackends(): VerifiedBackend[] {
  // Two threads at least, so that the work of threads is checked on a machine with one processor too.
  const threads = Math.max(2, Math.min(8, availableParallelism()))
  return [
    open('cpu wasm x1', () => createCpuBackend({ kernels: 'wasm', threads: 1 })),
    open(`cpu wasm x${threads}`, () => createCpuBackend({ kernels: 'wasm', threads })),
    open('cpu typescript', () => createCpuBackend({ kernels: 'typescript', threads: 1 })),
  ]
}

function open(name: string, create: () => Backend): VerifiedBackend {
  try {
    return { name, backend: create() }
  } catch (error) {
    return { name, backend: null, reason: messageOf(error).replaceAll('\n', ' ') }
  }
}
