/**
 * Measures the fastest plain read of memory that this process can do, by number of threads.
 *
 * Kernels are compared with this ceiling, taken in the same run: a buffer far larger than the last-level cache is read
 * once per pass by several methods, and the fastest method's median counts.
 *
 * @module
 */
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
  /** Threads that read at the same time, each the next chunk that is left. */
  threads: number
  /** Median rate, 1e9 bytes per second. */
  gigabytesPerSecond: number
  /** Passes over the buffer that were timed. */
  samples: number
}

/** Options of {@link openReadCeiling}. */
export interface ReadCeilingOptions {
  /** Size of the buffer, bytes, rounded down to a multiple of 2 MiB. @defaultValue 512 MiB */
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
   * Reads the next bytes of the buffer, from its start again behind its end.
   *
   * @param method - How.
   * @param threads - 1 to `maxThreads`.
   * @param byteLength - How much; see {@link ReadCeiling.roundBytes}.
   */
  read(method: ReadMethod, threads: number, byteLength: number): void
  /**
   * Bytes that {@link ReadCeiling.read} reads in place of a number of bytes: whole chunks, at least one.
   *
   * @param byteLength - Wanted number of bytes.
   * @returns Bytes.
   */
  roundBytes(byteLength: number): number
  /** Reads as much as four times the last-level cache holds, which leaves little else in it. */
  evict(): void
  /** Stops the threads. */
  close(): Promise<void>
}

const PAGE_BYTES = 65536
const CHUNK_BYTES = 2 * 2 ** 20
const METHODS: readonly ReadMethod[] = ['wasm-forward', 'wasm-quarters', 'memchr', 'float64-array']
const FILL_BYTE = 1
const WORKER_TIMEOUT_MS = 20_000

// Control words (i32): a job is published by its sequence number, each thread adds one to `done` at its end.
const SEQUENCE = 0
const METHOD = 1
const THREADS = 2
const DONE = 3
const NEXT_CHUNK = 4
const FIRST_CHUNK = 5
const CHUNK_COUNT = 6

/** What a thread needs to read. */
interface Reader {
  control: Int32Array
  buffer: ArrayBufferLike
  firstByte: number
  chunkBytes: number
  exports: {
    readForward(at: number, length: number): bigint
    readQuarters(at: number, length: number): bigint
  }
}

/**
 * Takes chunk after chunk until none is left, so that a thread that is held up costs the others little.
 *
 * Its source is also run inside the workers, so it may use nothing but its arguments and globals. Words of `control`:
 * 1 the method, 4 the next chunk, 5 the place of chunk 0 in the buffer, 6 how many chunks to read.
 */
function readChunks({ control, buffer, exports, firstByte, chunkBytes }: Reader): number {
  const numPlaces = Math.floor((buffer.byteLength - firstByte) / chunkBytes)
  const method = control[1]
  const place = control[5] as number
  const count = control[6] as number
  let sum = 0
  for (;;) {
    const chunk = Atomics.add(control, 4, 1)
    if (chunk >= count) return sum
    const start = firstByte + ((place + chunk) % numPlaces) * chunkBytes
    if (method === 0) sum += Number(exports.readForward(start, chunkBytes))
    else if (method === 1) sum += Number(exports.readQuarters(start, chunkBytes))
    else if (method === 2) sum += Buffer.from(buffer as ArrayBuffer, start, chunkBytes).indexOf(2)
    else {
      const numbers = new Float64Array(buffer, start, chunkBytes / 8)
      for (let i = 0; i < numbers.length; i++) sum += numbers[i] as number
    }
  }
}

const WORKER_SOURCE = `
const { workerData } = require('node:worker_threads')
const { control, memory, module, index } = workerData
const readChunks = ${readChunks.toString()}
const { exports } = new WebAssembly.Instance(module, { env: { memory, abort() {} } })
let sequence = 0
for (;;) {
  Atomics.wait(control, ${SEQUENCE}, sequence)
  sequence = Atomics.load(control, ${SEQUENCE})
  if (sequence < 0) break
  if (index >= control[${THREADS}]) continue
  readChunks({ control, buffer: memory.buffer, exports, firstByte: ${PAGE_BYTES}, chunkBytes: ${CHUNK_BYTES} })
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
  const wholeBytes = Math.max(1, Math.floor(byteLength / CHUNK_BYTES)) * CHUNK_BYTES
  const pages = wholeBytes / PAGE_BYTES + 1
  const memory = new WebAssembly.Memory({ initial: pages, maximum: 65536, shared: true })
  new Uint8Array(memory.buffer).fill(FILL_BYTE)
  const module = new WebAssembly.Module(Buffer.from(READ_CEILING_WASM, 'base64'))
  const exports = new WebAssembly.Instance(module, { env: { memory, abort: () => undefined } })
    .exports as unknown as Reader['exports']
  const evictChunks = chunksOf(4 * lastLevelCacheBytes())
  const control = new Int32Array(new SharedArrayBuffer(32))
  const workers: Worker[] = []
  for (let index = 1; index < maxThreads; index++) {
    const workerData = { control, memory, module, index }
    const worker = new Worker(WORKER_SOURCE, { eval: true, workerData })
    worker.unref()
    workers.push(worker)
  }

  const reader: Reader = {
    control,
    buffer: memory.buffer,
    firstByte: PAGE_BYTES,
    chunkBytes: CHUNK_BYTES,
    exports,
  }
  const numPlaces = wholeBytes / CHUNK_BYTES
  let place = 0
  const pass = (method: ReadMethod, threads: number, numChunks: number): void => {
    control[METHOD] = METHODS.indexOf(method)
    control[THREADS] = threads
    control[DONE] = 0
    control[NEXT_CHUNK] = 0
    control[FIRST_CHUNK] = place
    control[CHUNK_COUNT] = numChunks
    place = (place + numChunks) % numPlaces
    if (threads > 1) {
      Atomics.add(control, SEQUENCE, 1)
      Atomics.notify(control, SEQUENCE)
    }
    readChunks(reader)
    for (let done = 0; done < threads - 1; done = Atomics.load(control, DONE)) {
      if (Atomics.wait(control, DONE, done, WORKER_TIMEOUT_MS) === 'timed-out') {
        throw new Error(
          `Cannot measure the read ceiling as a thread gave no answer within ${WORKER_TIMEOUT_MS} ms`,
        )
      }
    }
  }
  const rateOf = (method: ReadMethod, threads: number): number => {
    const startedAt = performance.now()
    pass(method, threads, numPlaces)
    return wholeBytes / ((performance.now() - startedAt) * 1e6)
  }

  return {
    measure(threads, minTimeMs) {
      return METHODS.map((method) => {
        pass(method, threads, numPlaces)
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
    read: (method, threads, byteLength) => pass(method, threads, chunksOf(byteLength)),
    roundBytes: (byteLength) => chunksOf(byteLength) * CHUNK_BYTES,
    evict: () => pass('wasm-forward', 1, evictChunks),
    async close() {
      Atomics.store(control, SEQUENCE, -1)
      Atomics.notify(control, SEQUENCE)
      await Promise.all(workers.map((worker) => worker.terminate()))
    },
  }
}

function chunksOf(byteLength: number): number {
  return Math.max(1, Math.round(byteLength / CHUNK_BYTES))
}
