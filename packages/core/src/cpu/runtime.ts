/**
 * What the JavaScript engine around us offers, asked for without importing anything of it.
 *
 * @module
 */

/** The parts of `node:worker_threads` in use. */
export interface NodeWorkerThreads {
  Worker: new (code: string, options: { eval: true; workerData: unknown }) => NodeWorker
}

/** A Node worker. */
export interface NodeWorker {
  on(event: 'message' | 'error' | 'exit', listener: (value: unknown) => void): void
  unref(): void
  terminate(): Promise<number>
}

interface NodeProcess {
  getBuiltinModule?(id: string): unknown
}

/**
 * Loads a module of Node by name, where there is one; a static import would keep the package out of browsers.
 *
 * @param id - For example `node:os`.
 * @returns The module, or `null` outside Node.
 */
export function nodeBuiltin<T>(id: string): T | null {
  const process = (globalThis as { process?: NodeProcess }).process
  return (process?.getBuiltinModule?.(id) as T | undefined) ?? null
}

/** Whether worker threads can work on one memory here. */
export function canShareMemory(): boolean {
  if (typeof SharedArrayBuffer !== 'function' || typeof WebAssembly !== 'object') return false
  if (nodeBuiltin('node:worker_threads') !== null) return true
  const scope = globalThis as { crossOriginIsolated?: boolean; Worker?: unknown }
  return scope.crossOriginIsolated === true && typeof scope.Worker === 'function'
}

/** Threads that a large head is drawn from where the caller names no number. */
export function defaultThreads(): number {
  if (!canShareMemory()) return 1
  const os = nodeBuiltin<{ availableParallelism(): number }>('node:os')
  const scope = globalThis as { navigator?: { hardwareConcurrency?: number } }
  const processors = os?.availableParallelism() ?? scope.navigator?.hardwareConcurrency ?? 1
  return Math.max(1, Math.min(8, processors))
}
