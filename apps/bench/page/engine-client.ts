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

/** {@link Engine} in a worker. */
export class EngineClient implements Engine {
  #remote: Remote<Engine>
  /** Rejects when the worker dies. */
  #death: Promise<never>

  constructor() {
    const { remote, death } = startWorker()
    this.#remote = remote
    this.#death = death
  }

  describe(): Promise<Environment> {
    return this.#call(this.#remote.describe())
  }

  load(
    source: Blob | string,
    name: string,
    onProgress: (progress: WorkProgress) => void,
  ): Promise<ModelInfo> {
    return this.#call(this.#remote.load(source, name, proxy(onProgress)))
  }

  generate(request: GenerateRequest, events: GenerationEvents): Promise<GenerationSummary> {
    return this.#call(this.#remote.generate(request, proxy(events)))
  }

  verify(onProgress: (progress: WorkProgress) => void): Promise<Verification> {
    return this.#call(this.#remote.verify(proxy(onProgress)))
  }

  stop(): void {
    void this.#remote.stop()
  }

  /** A dead worker answers nothing, so every call also waits for its death. */
  async #call<T>(answer: Promise<T>): Promise<T> {
    const death = this.#death
    try {
      return await Promise.race([answer, death])
    } catch (error) {
      if (error instanceof WorkerLostError && this.#death === death) {
        const fresh = startWorker()
        this.#remote = fresh.remote
        this.#death = fresh.death
      }
      throw error
    }
  }
}

function startWorker(): { remote: Remote<Engine>; death: Promise<never> } {
  const worker = new Worker(new URL('./engine.worker.ts', import.meta.url), { type: 'module' })
  const death = new Promise<never>((_, reject) => {
    worker.onerror = (event) => {
      worker.terminate()
      reject(
        new WorkerLostError(
          `The worker that ran the model has ended (${event.message || 'no reason given'}): load the model again`,
        ),
      )
    }
  })
  // Nobody may be waiting when it dies.
  death.catch(() => {})
  return { remote: wrap<Engine>(worker), death }
}
