/**
 * The embedded CPU backend: fused sampling tile by tile, by WebAssembly SIMD kernels on several threads, or in plain
 * TypeScript where there is no WebAssembly.
 *
 * @module
 */
import type { Backend, BackendCapabilities, SessionOptions } from '../backend.ts'
import { BackendUnavailableError, invalidArgument, invalidType } from '../errors.ts'
import { type CheckedShard, isBackendBuffer, STORAGE_FORMATS } from '../lm-head.ts'
import { isNBitsFormat } from '../nbits.ts'
import { MAX_LOGPROBS } from '../params.ts'
import type { LmHeadShard } from '../types.ts'
import { CpuBuffer, MAX_ARENA_BYTES } from './arena.ts'
import { CpuSession } from './cpu-session.ts'
import { Engine, type EngineOptions, loadedRowBytes, type ShardPart } from './engine.ts'
import { WEIGHTS_OFFSET } from './layout.ts'
import { canShareMemory, defaultThreads } from './runtime.ts'
import { hasWasmSimd } from './wasm-kernels.ts'

/** Options of {@link createCpuBackend}. */
export interface CpuBackendOptions {
  /**
   * Threads that draw, the calling one included, 1 to 64. More than one needs WebAssembly threads: Node, Deno, or a
   * cross-origin isolated page. @defaultValue the processors of the machine, at most 8; 1 for heads under 2^20 weights
   */
  threads?: number | undefined
  /** `auto` takes `wasm` where WebAssembly SIMD exists, else `typescript`. @defaultValue 'auto' */
  kernels?: 'auto' | 'wasm' | 'typescript' | undefined
  /** Vocabulary rows of a tile; affects speed only, never a token. @defaultValue 64 to 1024, by head, threads and batch */
  tileVocab?: number | undefined
  /** How long a draw waits for a worker thread before it fails, milliseconds. @defaultValue 30000 */
  workerTimeoutMs?: number | undefined
  /** Weight bytes that one WebAssembly memory holds; larger heads take several. @defaultValue 3758096384 (3.5 GiB) */
  maxMemoryBytes?: number | undefined
}

/** The embedded CPU backend. */
export interface CpuBackend extends Backend {
  /** Kernels that its sessions run. */
  readonly kernels: 'wasm' | 'typescript'
  /**
   * Allocates memory that a head can live in without another copy: write the weights into `bytes`, then pass the
   * buffer as `data`. A buffer serves one sampler at a time. Dense heads need a `hiddenSize` that is a multiple of 4.
   *
   * @param byteLength - Size of the head's data, at most `maxMemoryBytes`.
   * @returns The buffer.
   * @throws {OutOfMemoryError} when it cannot be reserved.
   */
  allocate(byteLength: number): CpuBuffer
}

const CAPABILITIES: BackendCapabilities = {
  dtypes: Object.keys(STORAGE_FORMATS) as (keyof typeof STORAGE_FORMATS)[],
  maxBatchSize: Infinity,
  features: ['topK', 'topP', 'minP', 'logitBias', 'allowedTokens', 'penalties', 'numSamples'],
  maxLogprobs: MAX_LOGPROBS,
  sharded: true,
  noiseSchemes: ['flash', 'vllm'],
}

/** Heads with fewer weights are drawn from on one thread: waking another costs more than it saves. */
const MIN_THREADED_WEIGHTS = 2 ** 20

/**
 * Makes the embedded CPU backend.
 *
 * Weights are read from its own memory: a head is copied into it once, unless it lives in a buffer from `allocate()`.
 * Drawing blocks the calling thread, which works along.
 *
 * @param options - Threads, kernels and tile size.
 * @returns The backend; it holds nothing until a sampler is created on it.
 * @throws {RangeError} when an option is out of range.
 * @throws {BackendUnavailableError} when `kernels` is `wasm` and there is no WebAssembly SIMD, or threads cannot be had.
 * @example
 * ```ts
 * createCpuBackend({ threads: 1, kernels: 'typescript' }).kernels // => 'typescript'
 * ```
 */
export function createCpuBackend(options: CpuBackendOptions = {}): CpuBackend {
  const action = 'create the CPU backend'
  const wanted = options.kernels ?? 'auto'
  if (wanted !== 'auto' && wanted !== 'wasm' && wanted !== 'typescript') {
    throw invalidArgument(action, 'kernels', '"auto", "wasm" or "typescript"', wanted)
  }
  const kernels = wanted === 'auto' ? (hasWasmSimd() ? 'wasm' : 'typescript') : wanted
  if (kernels === 'wasm' && !hasWasmSimd()) {
    throw new BackendUnavailableError(
      `Cannot ${action} with WebAssembly kernels`,
      [{ backend: 'cpu (wasm)', reason: 'this JavaScript engine has no WebAssembly SIMD' }],
      ['leave "kernels" at "auto": plain TypeScript draws the same tokens'],
    )
  }
  const threads = options.threads
  checkInteger(action, 'threads', threads, 1, 64)
  if (threads !== undefined && threads > 1 && kernels === 'wasm' && !canShareMemory()) {
    throw new BackendUnavailableError(
      `Cannot ${action} with ${threads} threads`,
      [{ backend: 'cpu (wasm)', reason: 'shared memory or worker threads are missing here' }],
      ['serve the page cross-origin isolated (COOP and COEP headers)', 'pass threads: 1'],
    )
  }
  const tileVocab = options.tileVocab ?? null
  checkInteger(action, 'tileVocab', options.tileVocab, 1, 2 ** 24)
  const workerTimeoutMs = options.workerTimeoutMs ?? 30_000
  checkInteger(action, 'workerTimeoutMs', workerTimeoutMs, 1, 2 ** 31 - 1)
  const maxMemoryBytes = options.maxMemoryBytes ?? 3.5 * 2 ** 30
  checkInteger(action, 'maxMemoryBytes', maxMemoryBytes, 2 ** 10, MAX_ARENA_BYTES - WEIGHTS_OFFSET)
  const threadsFor = (numWeights: number): number => {
    if (kernels === 'typescript') return 1
    if (threads !== undefined) return threads
    return numWeights < MIN_THREADED_WEIGHTS ? 1 : defaultThreads()
  }
  return {
    name: 'cpu',
    kernels,
    capabilities: CAPABILITIES,
    allocate: (byteLength) => {
      checkInteger('allocate CPU memory', 'byteLength', byteLength, 1, maxMemoryBytes)
      return new CpuBuffer(byteLength, threadsFor(Infinity) > 1)
    },
    createSession: async ({ shards, noiseScheme }: SessionOptions) => {
      const numWeights = shards.reduce((sum, shard) => sum + shard.vocabSize * shard.hiddenSize, 0)
      const isOwned = shards.some((shard) => isBackendBuffer(shard.data))
      const engineOptions: EngineOptions = {
        kernels,
        workerTimeoutMs,
        // A buffer's memory is shared or not from the start, so its head takes the threads that were foreseen then.
        numThreads: threadsFor(isOwned ? Infinity : numWeights),
      }
      const engines: Engine[] = []
      try {
        for (const parts of groupParts(shards, maxMemoryBytes)) {
          engines.push(await Engine.create(parts, engineOptions))
        }
      } catch (error) {
        await Promise.all(engines.map((engine) => engine.dispose()))
        throw error
      }
      return new CpuSession(engines, (shards[0] as LmHeadShard).hiddenSize, tileVocab, noiseScheme)
    },
  }
}

function checkInteger(
  action: string,
  name: string,
  value: unknown,
  low: number,
  high: number,
): void {
  if (value === undefined) return
  if (typeof value !== 'number') throw invalidType(action, name, 'a number', value)
  if (!Number.isInteger(value) || value < low || value > high) {
    throw invalidArgument(action, name, `a whole number from ${low} to ${high}`, value)
  }
}

/** Distributes shards over memories of at most `maxBytes`; a shard that is larger is cut at a row. */
function groupParts(shards: readonly CheckedShard[], maxBytes: number): ShardPart[][] {
  const groups: ShardPart[][] = []
  let room = 0
  for (const shard of shards) {
    if (isBackendBuffer(shard.data)) {
      if (isNBitsFormat(shard.dtype)) {
        throw new TypeError(
          `Cannot load the LM head as ${shard.dtype} weights are packed anew for the kernels: pass typed arrays`,
        )
      }
      const isPadded = loadedRowBytes(shard) * shard.vocabSize !== shard.data.byteLength
      if (!(shard.data instanceof CpuBuffer) || isPadded) {
        throw new TypeError(
          'Cannot load the LM head as "data" must be a buffer of exactly its size from allocate(), ' +
            'with hiddenSize a multiple of 4',
        )
      }
      groups.push([{ shard, firstRow: 0, numRows: shard.vocabSize }])
      room = 0
      continue
    }
    // Each part may be rounded up to 64 bytes.
    const rowBytes = loadedRowBytes(shard)
    for (let firstRow = 0; firstRow < shard.vocabSize; ) {
      if (room < rowBytes + 64) {
        groups.push([])
        room = Math.max(maxBytes, rowBytes + 64)
      }
      const numRows = Math.min(shard.vocabSize - firstRow, Math.floor((room - 64) / rowBytes))
      ;(groups.at(-1) as ShardPart[]).push({ shard, firstRow, numRows })
      room -= numRows * rowBytes + 64
      firstRow += numRows
    }
  }
  return groups
}
