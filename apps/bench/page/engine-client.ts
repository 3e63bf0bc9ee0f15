/**
 * The page's end of the worker: calls, and a fresh worker when one has died.
 *
 * @module
 */
import { proxy, type Remote, wrap } from 'comlink'
import type {
  Engine,
  Environment,
  GenerateRequest,
  GenerationEvents,
  GenerationSummary,
  ModelInfo,
  Verification,
  WorkProgress,
} from './engine-types.ts'

/** Thrown when the worker died; what it held is gone. */
export class WorkerLostError extends Error {}

interface EngineWorker {
  remote: Remote<Engine>
  /** Rejects when the worker dies. */
  death: Promise<never>
}

/** {@link Engine} in a worker, which starts with the first call and anew when it has died. */
export class EngineClient implements Engine {
  #worker: EngineWorker | null = null

  describe(): Promise<Environment> {
    return this.#call((remote) => remote.describe())
  }

  load(
    source: Blob | string,
    name: string,
    onProgress: (progress: WorkProgress) => void,
  ): Promise<ModelInfo> {
    return this.#call((remote) => remote.load(source, name, proxy(onProgress)))
  }

  generate(request: GenerateRequest, events: GenerationEvents): Promise<GenerationSummary> {
    return this.#call((remote) => remote.generate(request, proxy(events)))
  }

  verify(onProgress: (progress: WorkProgress) => void): Promise<Verification> {
    return this.#call((remote) => remote.verify(proxy(onProgress)))
  }

  stop(): void {
    void this.#worker?.remote.stop()
  }

  /** A dead worker answers nothing, so every call also waits for its death. */
  async #call<T>(ask: (remote: Remote<Engine>) => Promise<T>): Promise<T> {
    this.#worker ??= startWorker()
    const worker = this.#worker
    try {
      return await Promise.race([ask(worker.remote), worker.death])
    } catch (error) {
      if (error instanceof WorkerLostError && this.#worker === worker) this.#worker = null
      throw error
    }
  }
}

function startWorker(): EngineWorker {
  const worker = new Worker(new URL('./engine.worker.ts', import.meta.url), { type: 'module' })
  const death = new Promise<never>((_, reject) => {
    worker.onerror = (event) => {
      worker.terminate()
      const reason = event.message || 'no reason given'
      reject(
        new WorkerLostError(
          `The worker that runs the model has ended (${reason}): load the model again`,
        ),
      )
    }
  })
  // Nobody may be waiting when it dies.
  death.catch(() => {})
  return { remote: wrap<Engine>(worker), death }
}
