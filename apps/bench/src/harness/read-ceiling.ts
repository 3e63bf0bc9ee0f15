/**
 * Measures the fastest plain read of memory that this process can do, by number of threads.
 *
 * Kernels are compared with this ceiling, taken in the same run: a buffer far larger than the last-level cache is read
 * once per pass by several methods, and the fastest method's median counts.
 *
 * @module
 */
import { Buffer } from 'node:buffer'
import { Worker } from 'node:worker_threads'
import { lastLevelCacheBytes } from './environment.ts'
import { READ_CEILING_WASM } from './read-ceiling.generated.ts'
import { summarize } from './stats.ts'

/** A way to read memory. */
export type ReadMethod = 'wasm-forward' | 'wasm-quarters' | 'memchr' | 'float64-array'

/** One measured method. */
export interface ReadRate {
  /** How the buffer was read. */
  method: ReadMethod
  /** Threads that read at the same time, each a part of its own. */
  threads: number
  /** Median rate, 1e9 bytes per second. */
  gigabytesPerSecond: number
  /** Passes over the buffer that were timed. */
  samples: number
}

/** Options of {@link openReadCeiling}. */
export interface ReadCeilingOptions {
  /** Size of the buffer, bytes, rounded down to a multiple of 64 KiB per thread. @defaultValue 512 MiB */
  byteLength?: number | undefined
  /** Most threads that will be asked for, the calling one included. */
  maxThreads: number
}

/** A buffer and threads to read it with. */
export interface ReadCeiling {
  /**
   * Times every method.
   *
   * @param threads - 1 to `maxThreads`.
   * @param minTimeMs - Time to spend on each method after one pass to warm up.
   * @returns One rate per method.
   */
  measure(threads: number, minTimeMs: number): ReadRate[]
  /**
   * Reads the whole buffer once.
   *
   * @param method - How.
   * @param threads - 1 to `maxThreads`.
   */
  read(method: ReadMethod, threads: number): void
  /**
   * Bytes that {@link ReadCeiling.read} reads.
   *
   * @param threads - 1 to `maxThreads`.
   * @returns Bytes.
   */
  readBytes(threads: number): number
  /** Reads as much as four times the last-level cache holds, which leaves little else in it. */
  evict(): void
  /** Stops the threads. */
  close(): Promise<void>
}

const PAGE_BYTES = 65536
const METHODS: readonly ReadMethod[] = ['wasm-forward', 'wasm-quarters', 'memchr', 'float64-array']
const FILL_BYTE = 1

// Control words (i32): a job is published by its sequence number, each thread adds one to `done` at its end.
const SEQUENCE = 0
const METHOD = 1
const THREADS = 2
const DONE = 3

/** Reads one part of the buffer. Also runs inside the workers, so it may use nothing from outside its arguments. */
function readPart(
  method: number,
  exports: {
    readForward(at: number, n: number): bigint
    readQuarters(at: number, n: number): bigint
  },
  bytes: { indexOf(value: number): number },
  numbers: Float64Array,
  start: number,
  length: number,
): number {
  if (method === 0) return Number(exports.readForward(start, length))
  if (method === 1) return Number(exports.readQuarters(start, length))
  if (method === 2) return bytes.indexOf(2)
  let sum = 0
  for (let i = 0; i < numbers.length; i++) sum += numbers[i] as number
  return sum
}

const WORKER_SOURCE = `
const { workerData } = require('node:worker_threads')
const { control, memory, module, index, pageBytes } = workerData
const readPart = ${readPart.toString()}
const { exports } = new WebAssembly.Instance(module, { env: { memory, abort() {} } })
let sequence = 0
for (;;) {
  Atomics.wait(control, ${SEQUENCE}, sequence)
  sequence = Atomics.load(control, ${SEQUENCE})
  if (sequence < 0) break
  const threads = control[${THREADS}]
  if (index >= threads) continue
  const length = Math.floor((memory.buffer.byteLength - pageBytes) / pageBytes / threads) * pageBytes
  const start = pageBytes + index * length
  readPart(control[${METHOD}], exports, Buffer.from(memory.buffer, start, length),
    new Float64Array(memory.buffer, start, length / 8), start, length)
  Atomics.add(control, ${DONE}, 1)
  Atomics.notify(control, ${DONE})
}
`

/**
 * Allocates the buffer and starts the threads.
 *
 * @param options - Size and number of threads.
 * @returns The meter, owned by the caller.
 */
export function openReadCeiling(options: ReadCeilingOptions): ReadCeiling {
  const { byteLength = 512 * 2 ** 20, maxThreads } = options
  const pages = Math.floor(byteLength / PAGE_BYTES / maxThreads) * maxThreads + 1
  const memory = new WebAssembly.Memory({ initial: pages, maximum: 65536, shared: true })
  new Uint8Array(memory.buffer).fill(FILL_BYTE)
  const module = new WebAssembly.Module(Buffer.from(READ_CEILING_WASM, 'base64'))
  const exports = new WebAssembly.Instance(module, { env: { memory, abort: () => undefined } })
    .exports as unknown as Parameters<typeof readPart>[1]
  const wholeBytes = memory.buffer.byteLength - PAGE_BYTES
  const evictBytes = Math.min(wholeBytes, 4 * lastLevelCacheBytes())
  const control = new Int32Array(new SharedArrayBuffer(16))
  const workers: Worker[] = []
  for (let index = 1; index < maxThreads; index++) {
    const workerData = { control, memory, module, index, pageBytes: PAGE_BYTES }
    const worker = new Worker(WORKER_SOURCE, { eval: true, workerData })
    worker.unref()
    workers.push(worker)
  }

  const partBytes = (threads: number): number => Math.floor((pages - 1) / threads) * PAGE_BYTES
  const pass = (method: ReadMethod, threads: number): void => {
    const length = partBytes(threads)
    const bytes = Buffer.from(memory.buffer, PAGE_BYTES, length)
    const numbers = new Float64Array(memory.buffer, PAGE_BYTES, length / 8)
    const code = METHODS.indexOf(method)
    control[METHOD] = code
    control[THREADS] = threads
    control[DONE] = 0
    if (threads > 1) {
      Atomics.add(control, SEQUENCE, 1)
      Atomics.notify(control, SEQUENCE)
    }
    readPart(code, exports, bytes, numbers, PAGE_BYTES, length)
    for (let done = 0; done < threads - 1; done = Atomics.load(control, DONE)) {
      Atomics.wait(control, DONE, done)
    }
  }
  const rateOf = (method: ReadMethod, threads: number): number => {
    const startedAt = performance.now()
    pass(method, threads)
    return (partBytes(threads) * threads) / ((performance.now() - startedAt) * 1e6)
  }

  return {
    measure(threads, minTimeMs) {
      return METHODS.map((method) => {
        pass(method, threads)
        const rates: number[] = []
        const endAt = performance.now() + minTimeMs
        while (rates.length < 3 || performance.now() < endAt) rates.push(rateOf(method, threads))
        return {
          method,
          threads,
          gigabytesPerSecond: summarize(rates).median,
          samples: rates.length,
        }
      })
    },
    read: pass,
    readBytes: (threads) => partBytes(threads) * threads,
    evict() {
      exports.readForward(PAGE_BYTES, evictBytes)
    },
    async close() {
      Atomics.store(control, SEQUENCE, -1)
      Atomics.notify(control, SEQUENCE)
      await Promise.all(workers.map((worker) => worker.terminate()))
    },
  }
}

/**
 * Picks the ceiling for a number of threads.
 *
 * @param rates - Measured rates, in any order.
 * @param threads - Number of threads.
 * @returns The highest rate at that number of threads, 1e9 bytes per second.
 * @throws {RangeError} when nothing was measured at that number of threads.
 */
export function readCeilingAt(rates: readonly ReadRate[], threads: number): number {
  const matching = rates.filter((rate) => rate.threads === threads)
  if (matching.length === 0) {
    throw new RangeError(
      `Cannot find a read ceiling as "threads" must be one of the measured numbers: current value is ${threads}`,
    )
  }
  return Math.max(...matching.map((rate) => rate.gigabytesPerSecond))
}
