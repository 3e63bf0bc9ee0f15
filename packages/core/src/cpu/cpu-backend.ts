/**
 * The embedded CPU backend: fused sampling tile by tile, by WebAssembly SIMD kernels on several threads, or in plain
 * TypeScript where there is no WebAssembly.
 *
 * @module
 */
import type {
  Backend,
  BackendCapabilities,
  BackendSession,
  RowBatch,
  SessionOptions,
} from '../backend.ts'
import { BackendUnavailableError, invalidArgument, invalidType, RowError } from '../errors.ts'
import { type CheckedShard, isBackendBuffer, STORAGE_FORMATS } from '../lm-head.ts'
import type { NoiseScheme } from '../noise.ts'
import { MAX_LOGPROBS } from '../params.ts'
import type { LmHeadShard, SampleResult } from '../types.ts'
import { CpuBuffer, MAX_ARENA_BYTES } from './arena.ts'
import {
  Engine,
  type EngineOptions,
  emptyAnswers,
  loadedRowBytes,
  type ShardPart,
} from './engine.ts'
import type { RowStatuses, RowTask } from './job.ts'
import { STATUS_NAN, WEIGHTS_OFFSET } from './layout.ts'
import type { PassAnswer, RowProcess } from './passes.ts'
import { processRow, type RowOutcome } from './row-process.ts'
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
  /** Vocabulary rows of a tile; affects speed only, never a token. @defaultValue 64 */
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
   * buffer as `data`. Dense heads need a `hiddenSize` that is a multiple of 4.
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

/** Rows of one pass; larger batches take several passes over the head. */
const MAX_PASS_ROWS = 64
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
  const tileVocab = options.tileVocab ?? 64
  checkInteger(action, 'tileVocab', tileVocab, 1, 2 ** 24)
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

/** A row between passes. */
interface OpenRow {
  row: number
  process: RowProcess<RowOutcome | null>
  task: RowTask
}

class CpuSession implements BackendSession {
  #engines: Engine[]
  readonly #hiddenSize: number
  readonly #tileVocab: number
  readonly #noiseScheme: NoiseScheme

  constructor(engines: Engine[], hiddenSize: number, tileVocab: number, noiseScheme: NoiseScheme) {
    this.#engines = engines
    this.#hiddenSize = hiddenSize
    this.#tileVocab = tileVocab
    this.#noiseScheme = noiseScheme
  }

  async sample(batch: RowBatch): Promise<SampleResult> {
    const outcomes = new Array<RowOutcome | null>(batch.batchSize)
    let open: OpenRow[] = []
    for (let row = 0; row < batch.batchSize; row++) {
      const params = batch.rows[row] as RowBatch['rows'][number]
      const process = processRow(params, this.#noiseScheme)
      const first = process.next()
      if (first.done === true) outcomes[row] = first.value
      else open.push({ row, process, task: { row, params, request: first.value } })
    }
    let passes = 0
    let secondPassRows = 0
    while (open.length > 0) {
      passes++
      const stillOpen: OpenRow[] = []
      for (let start = 0; start < open.length; start += MAX_PASS_ROWS) {
        const group = open.slice(start, start + MAX_PASS_ROWS)
        const answers = this.#runPass(
          group.map(({ task }) => task),
          batch.hiddenStates,
        )
        group.forEach((entry, i) => {
          const step = entry.process.next(answers[i] as PassAnswer)
          if (step.done === true) outcomes[entry.row] = step.value
          else stillOpen.push({ ...entry, task: { ...entry.task, request: step.value } })
        })
      }
      if (passes === 1) secondPassRows = stillOpen.length
      open = stillOpen
    }
    const workspaceBytes = this.#engines.reduce((sum, engine) => sum + engine.workspaceBytes, 0)
    return collect(outcomes, { secondPassRows, passes, workspaceBytes })
  }

  async dispose(): Promise<void> {
    const engines = this.#engines
    this.#engines = []
    await Promise.all(engines.map((engine) => engine.dispose()))
  }

  #runPass(tasks: readonly RowTask[], hiddenStates: Float32Array): PassAnswer[] {
    const answers = emptyAnswers(tasks)
    const statuses: RowStatuses = new Map()
    const shape = { tileVocab: this.#tileVocab, noiseScheme: this.#noiseScheme }
    for (const engine of this.#engines) {
      engine.run(tasks, hiddenStates, this.#hiddenSize, shape, answers, statuses)
    }
    if (statuses.size > 0) throw invalidLogitsError(statuses)
    return answers
  }
}

function invalidLogitsError(statuses: RowStatuses): RowError {
  const rows = [...statuses.keys()].sort((a, b) => a - b)
  const hasNaN = [...statuses.values()].some((status) => (status & STATUS_NAN) !== 0)
  return new RowError(
    'INVALID_LOGITS',
    `Cannot sample tokens as logits of row ${rows.join(', ')} are ${hasNaN ? 'NaN' : '+Infinity'}: ` +
      'check the hidden states and the weights',
    rows,
  )
}

function collect(
  outcomes: readonly (RowOutcome | null)[],
  stats: SampleResult['stats'],
): SampleResult {
  const masked = outcomes.flatMap((outcome, row) => (outcome === null ? [row] : []))
  if (masked.length > 0) {
    throw new RowError(
      'ALL_TOKENS_MASKED',
      `Cannot sample tokens as every token of row ${masked.join(', ')} is masked: allow at least one token`,
      masked,
    )
  }
  const rows = outcomes as readonly RowOutcome[]
  const rowOffsets = new Int32Array(rows.length + 1)
  rows.forEach((row, i) => {
    rowOffsets[i + 1] = (rowOffsets[i] as number) + row.tokenIds.length
  })
  return {
    tokenIds: Int32Array.from(rows.flatMap((row) => row.tokenIds)),
    logprobs: Float32Array.from(rows.flatMap((row) => row.logprobs)),
    rowOffsets,
    topLogprobs: rows.map(
      ({ top }) =>
        top && {
          tokenIds: Int32Array.from(top.tokenIds),
          logprobs: Float32Array.from(top.logprobs),
        },
    ),
    stats,
  }
}
