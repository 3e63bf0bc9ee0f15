/**
 * Worker threads that run the kernels over one shared memory.
 *
 * A worker sleeps on the sequence word in shared memory, so starting a pass costs no message; it takes tiles from the
 * same counter as the calling thread.
 *
 * @module
 */
import { WorkerFailedError } from '../errors.ts'
import {
  CONTROL_DONE,
  CONTROL_FAILED,
  CONTROL_JOB,
  CONTROL_SEQUENCE,
  CONTROL_SHUTDOWN,
} from './layout.ts'
import { type NodeWorker, type NodeWorkerThreads, nodeBuiltin } from './runtime.ts'

/** What a worker is started with. */
interface WorkerData {
  module: WebAssembly.Module
  memory: WebAssembly.Memory
  /** Index of the thread: the caller is 0. */
  thread: number
}

/** Runs in the worker; text because a package that is bundled has no file of its own to start one from. */
const WORKER_CODE = `
const start = ({ module, memory, thread }, report) => {
  const control = new Int32Array(memory.buffer, 0, 64)
  const { scan } = new WebAssembly.Instance(module, { env: { memory } }).exports
  let sequence = Atomics.load(control, ${CONTROL_SEQUENCE >> 2})
  report('ready')
  for (;;) {
    Atomics.wait(control, ${CONTROL_SEQUENCE >> 2}, sequence)
    const next = Atomics.load(control, ${CONTROL_SEQUENCE >> 2})
    if (Atomics.load(control, ${CONTROL_SHUTDOWN >> 2}) !== 0) return
    if (next === sequence) continue
    sequence = next
    try {
      scan(Atomics.load(control, ${CONTROL_JOB >> 2}) >>> 0, thread)
    } catch (error) {
      Atomics.store(control, ${CONTROL_FAILED >> 2}, 1)
      report(String(error))
    }
    Atomics.add(control, ${CONTROL_DONE >> 2}, 1)
    Atomics.notify(control, ${CONTROL_DONE >> 2})
  }
}
`
const NODE_WORKER_CODE = `${WORKER_CODE}
const { parentPort, workerData } = require('node:worker_threads')
start(workerData, (message) => parentPort.postMessage(message))
`
const WEB_WORKER_CODE = `${WORKER_CODE}
onmessage = ({ data }) => start(data, (message) => postMessage(message))
`

/** A started worker, whatever the platform. */
interface PoolWorker {
  ready: Promise<void>
  stop(): void | Promise<unknown>
}

/** Worker threads over one shared memory. */
export class WorkerPool {
  readonly #memory: WebAssembly.Memory
  readonly #workers: PoolWorker[]
  readonly #timeoutMs: number

  private constructor(memory: WebAssembly.Memory, workers: PoolWorker[], timeoutMs: number) {
    this.#memory = memory
    this.#workers = workers
    this.#timeoutMs = timeoutMs
  }

  /**
   * Starts workers and waits until they are ready.
   *
   * @param module - Kernels that import the shared memory.
   * @param memory - Shared memory.
   * @param numWorkers - Workers beside the calling thread.
   * @param timeoutMs - How long to wait for a worker, at start and in a pass.
   * @returns The pool.
   * @throws {WorkerFailedError} when a worker does not start.
   */
  static async start(
    module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    numWorkers: number,
    timeoutMs: number,
  ): Promise<WorkerPool> {
    // A memory that served a pool before still holds that pool's signal to end.
    Atomics.store(new Int32Array(memory.buffer, 0, 64), CONTROL_SHUTDOWN >> 2, 0)
    const nodeThreads = nodeBuiltin<NodeWorkerThreads>('node:worker_threads')
    const workers: PoolWorker[] = []
    for (let i = 0; i < numWorkers; i++) {
      const data: WorkerData = { module, memory, thread: i + 1 }
      workers.push(nodeThreads === null ? startWebWorker(data) : startNodeWorker(nodeThreads, data))
    }
    const pool = new WorkerPool(memory, workers, timeoutMs)
    let timer: ReturnType<typeof setTimeout> | undefined
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(
          new WorkerFailedError(`Cannot start worker threads: no answer within ${timeoutMs} ms`),
        )
      }, timeoutMs)
    })
    try {
      await Promise.race([Promise.all(workers.map((worker) => worker.ready)), timeout])
    } catch (error) {
      await pool.dispose()
      throw error
    } finally {
      clearTimeout(timer)
    }
    return pool
  }

  /**
   * Runs one pass: wakes the workers, works along, and waits for them.
   *
   * @param job - Byte address of the job.
   * @param work - The calling thread's share.
   * @throws {WorkerFailedError} when a worker fails or does not finish in time.
   */
  run(job: number, work: () => void): void {
    const control = new Int32Array(this.#memory.buffer, 0, 64)
    Atomics.store(control, CONTROL_DONE >> 2, 0)
    Atomics.store(control, CONTROL_FAILED >> 2, 0)
    Atomics.store(control, CONTROL_JOB >> 2, job | 0)
    Atomics.add(control, CONTROL_SEQUENCE >> 2, 1)
    Atomics.notify(control, CONTROL_SEQUENCE >> 2)
    work()
    this.#waitForWorkers(control)
    if (Atomics.load(control, CONTROL_FAILED >> 2) !== 0) {
      throw new WorkerFailedError(
        'Cannot sample tokens as a worker thread failed: create a new sampler',
      )
    }
  }

  /** Ends the workers. */
  async dispose(): Promise<void> {
    const control = new Int32Array(this.#memory.buffer, 0, 64)
    Atomics.store(control, CONTROL_SHUTDOWN >> 2, 1)
    Atomics.notify(control, CONTROL_SEQUENCE >> 2)
    await Promise.all(this.#workers.map((worker) => worker.stop()))
  }

  /** No tile is left when this starts, so it waits for one tile at most; pages may not block and spin instead. */
  #waitForWorkers(control: Int32Array): void {
    const deadline = Date.now() + this.#timeoutMs
    for (let spins = 0; ; spins++) {
      const done = Atomics.load(control, CONTROL_DONE >> 2)
      if (done === this.#workers.length) return
      if (spins < 2000) continue
      if (Date.now() > deadline) {
        throw new WorkerFailedError(
          `Cannot sample tokens as ${this.#workers.length - done} worker threads gave no answer within ` +
            `${this.#timeoutMs} ms: create a new sampler, or raise workerTimeoutMs`,
        )
      }
      if (mayBlock()) Atomics.wait(control, CONTROL_DONE >> 2, done, 100)
    }
  }
}

/** Blocking waits are allowed everywhere but on the main thread of a page. */
function mayBlock(): boolean {
  return typeof (globalThis as { document?: unknown }).document === 'undefined'
}

function startNodeWorker(threads: NodeWorkerThreads, workerData: WorkerData): PoolWorker {
  const worker: NodeWorker = new threads.Worker(NODE_WORKER_CODE, { eval: true, workerData })
  const ready = new Promise<void>((resolve, reject) => {
    worker.on('message', (message) => {
      if (message === 'ready') {
        // From here on the worker must not keep a finished program alive.
        worker.unref()
        resolve()
      }
    })
    worker.on('error', (cause) =>
      reject(new WorkerFailedError('Cannot start a worker thread', { cause })),
    )
    worker.on('exit', () =>
      reject(new WorkerFailedError('Cannot start a worker thread: it ended at once')),
    )
  })
  return { ready, stop: () => worker.terminate() }
}

function startWebWorker(data: WorkerData): PoolWorker {
  const url = URL.createObjectURL(new Blob([WEB_WORKER_CODE], { type: 'text/javascript' }))
  const worker = new Worker(url)
  const ready = new Promise<void>((resolve, reject) => {
    worker.onmessage = ({ data: message }) => {
      URL.revokeObjectURL(url)
      if (message === 'ready') resolve()
    }
    worker.onerror = (event) => {
      reject(new WorkerFailedError(`Cannot start a worker thread: ${event.message}`))
    }
  })
  worker.postMessage(data)
  return { ready, stop: () => worker.terminate() }
}
