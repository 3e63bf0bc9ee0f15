/**
 * One linear memory with its kernels and threads: loads shards, runs passes.
 *
 * @module
 */
import { describeValue } from '../errors.ts'
import { type CheckedShard, isBackendBuffer, rowByteLength } from '../lm-head.ts'
import { isNBitsFormat } from '../nbits.ts'
import type { DType, GgufFormat, LmHeadShard } from '../types.ts'
import { Arena, type CpuBuffer } from './arena.ts'
import { Job, type JobShape, type LoadedShard, type RowStatuses } from './job.ts'
import type { ExactAnswer } from './job-answers.ts'
import type { RowTask } from './job-rows.ts'
import * as layout from './layout.ts'
import { loadedNBitsRowBytes, nbitsCode, packNBitsRows } from './nbits-rows.ts'
import { createTypeScriptKernels } from './typescript/scan.ts'
import { instantiateKernels } from './wasm-kernels.ts'
import { WorkerPool } from './worker-pool.ts'

const DTYPE_CODES: Record<DType | GgufFormat, number> = {
  f32: layout.DTYPE_F32,
  f16: layout.DTYPE_F16,
  bf16: layout.DTYPE_BF16,
  q8_0: layout.DTYPE_Q8_0,
  q4_0: layout.DTYPE_Q4_0,
  q4_1: layout.DTYPE_Q4_1,
  q6_k: layout.DTYPE_Q6_K,
}

/** A contiguous part of a caller's shard that one engine holds. */
export interface ShardPart {
  shard: CheckedShard
  /** First row of the part in the shard. */
  firstRow: number
  numRows: number
}

/** How an engine computes. */
export interface EngineOptions {
  kernels: 'wasm' | 'typescript'
  numThreads: number
  workerTimeoutMs: number
}

/** Elements of a hidden-state row in memory: a multiple of 4. */
export function paddedHiddenSize(hiddenSize: number): number {
  return (hiddenSize + 3) & ~3
}

/**
 * Bytes of a weight row in an engine's memory; dense rows are padded with zeros to a multiple of four weights.
 *
 * @param shard - Its dtype and sizes.
 * @returns Bytes.
 */
export function loadedRowBytes(
  shard: Pick<LmHeadShard, 'dtype' | 'hiddenSize' | 'quantization'>,
): number {
  if (isNBitsFormat(shard.dtype)) return loadedNBitsRowBytes(shard)
  const isDense = shard.dtype === 'f32' || shard.dtype === 'f16' || shard.dtype === 'bf16'
  return rowByteLength(shard.dtype, isDense ? paddedHiddenSize(shard.hiddenSize) : shard.hiddenSize)
}

/** One linear memory with its kernels and threads. */
export class Engine {
  readonly #arena: Arena
  readonly #shards: LoadedShard[]
  readonly #scan: (job: number, thread: number) => void
  readonly #pool: WorkerPool | null
  readonly #numThreads: number

  private constructor(
    arena: Arena,
    shards: LoadedShard[],
    scan: (job: number, thread: number) => void,
    pool: WorkerPool | null,
    numThreads: number,
  ) {
    this.#arena = arena
    this.#shards = shards
    this.#scan = scan
    this.#pool = pool
    this.#numThreads = numThreads
  }

  /**
   * Loads weights and starts threads.
   *
   * @param parts - What the engine holds, at least one part; one alone where it lives in a backend buffer.
   * @param options - Kernels and threads.
   * @returns The engine.
   * @throws {OutOfMemoryError} when the weights do not fit.
   * @throws {WorkerFailedError} when a thread does not start.
   */
  static async create(parts: readonly ShardPart[], options: EngineOptions): Promise<Engine> {
    const { kernels, numThreads, workerTimeoutMs } = options
    const { arena, shards } = loadShards(parts, numThreads > 1)
    arena.isInUse = true
    try {
      if (kernels === 'typescript') {
        return new Engine(arena, shards, createTypeScriptKernels(arena), null, 1)
      }
      const { scan, module } = await instantiateKernels(arena.memory, numThreads > 1)
      const pool =
        numThreads > 1
          ? await WorkerPool.start(module, arena.memory, numThreads - 1, workerTimeoutMs)
          : null
      return new Engine(arena, shards, scan, pool, numThreads)
    } catch (error) {
      arena.isInUse = false
      throw error
    }
  }

  /**
   * Vocabulary rows of a tile where the caller names no number.
   *
   * @param batchSize - Rows of the pass.
   * @returns Rows of the vocabulary.
   */
  defaultTileVocab(batchSize: number): number {
    const numRows = this.#shards.reduce((sum, shard) => sum + shard.numRows, 0)
    return chooseTileVocab(numRows, this.#numThreads, batchSize)
  }

  /** Bytes of memory beside the weights. */
  get workspaceBytes(): number {
    return this.#arena.workspaceBytes
  }

  /**
   * Runs one pass over the engine's shards.
   *
   * @param tasks - Rows of the pass.
   * @param hiddenStates - `[batchSize, hiddenSize]` of the caller's batch.
   * @param hiddenSize - Elements of a row there.
   * @param shape - Tile size and noise scheme.
   * @param answers - One per task, filled further; see `emptyAnswers()`.
   * @param statuses - Receives rows without a valid draw.
   */
  run(
    tasks: readonly RowTask[],
    hiddenStates: Float32Array,
    hiddenSize: number,
    shape: Pick<JobShape, 'tileVocab' | 'noiseScheme'>,
    answers: readonly ExactAnswer[],
    statuses: RowStatuses,
  ): void {
    const job = new Job(tasks, this.#shards, {
      ...shape,
      hiddenSize: paddedHiddenSize(hiddenSize),
      numThreads: this.#numThreads,
    })
    this.#arena.ensureWorkspace(job.workspaceBytes)
    job.write(this.#arena.buffer, this.#arena.workspaceOffset, hiddenStates, hiddenSize)
    new Int32Array(this.#arena.buffer)[layout.CONTROL_NEXT_TILE >> 2] = 0
    if (this.#pool === null) this.#scan(job.address, 0)
    else this.#pool.run(job.address, () => this.#scan(job.address, 0))
    job.read(this.#arena.buffer, answers, statuses)
  }

  /** Stops the threads and drops the memory. */
  async dispose(): Promise<void> {
    await this.#pool?.dispose()
    this.#arena.isInUse = false
  }
}

/**
 * Chooses the tile: large, so that reading memory is seldom interrupted by the work on finished logits; small enough
 * that sixteen tiles a thread even out, and that a batch's logits of a tile stay in a second-level cache.
 *
 * @param numRows - Rows of the vocabulary.
 * @param numThreads - Threads that share them.
 * @param batchSize - Rows of the pass.
 * @returns A multiple of 16 from 64 to 1024; for example 1024 for 49,152 rows, two threads and a batch of one.
 */
export function chooseTileVocab(numRows: number, numThreads: number, batchSize: number): number {
  const tile = Math.min(1024, numRows / (numThreads * 16), 8192 / batchSize)
  return Math.max(64, Math.floor(tile / 16) * 16)
}

function loadShards(
  parts: readonly ShardPart[],
  isShared: boolean,
): { arena: Arena; shards: LoadedShard[] } {
  const first = (parts[0] as ShardPart).shard
  if (isBackendBuffer(first.data)) {
    const { arena } = first.data as CpuBuffer
    if (arena.isInUse) {
      throw new TypeError(
        'Cannot load the LM head as its buffer belongs to another sampler: dispose that one first',
      )
    }
    return { arena, shards: [describeShard(parts[0] as ShardPart, layout.WEIGHTS_OFFSET)] }
  }
  const sizes = parts.map(
    ({ shard, numRows }) => Math.ceil((numRows * loadedRowBytes(shard)) / 64) * 64,
  )
  const arena = new Arena(
    sizes.reduce((sum, bytes) => sum + bytes, 0),
    isShared,
  )
  let address = layout.WEIGHTS_OFFSET
  const shards = parts.map((part, i) => {
    copyRows(part, arena.buffer, address)
    const shard = describeShard(part, address)
    address += sizes[i] as number
    return shard
  })
  return { arena, shards }
}

function describeShard({ shard, firstRow, numRows }: ShardPart, weight: number): LoadedShard {
  return {
    dtype: isNBitsFormat(shard.dtype) ? nbitsCode(shard) : DTYPE_CODES[shard.dtype],
    weight,
    rowStride: loadedRowBytes(shard),
    numRows,
    vocabStart: shard.vocabStart + firstRow,
  }
}

function copyRows(
  { shard, firstRow, numRows }: ShardPart,
  buffer: ArrayBufferLike,
  address: number,
): void {
  const { data, dtype, hiddenSize } = shard
  if (!ArrayBuffer.isView(data)) {
    throw new TypeError(`Cannot load the LM head as its data is ${describeValue(data)}`)
  }
  if (isNBitsFormat(dtype)) {
    packNBitsRows(shard, firstRow, numRows, buffer, address)
    return
  }
  const sourceBytes = rowByteLength(dtype, hiddenSize)
  const targetBytes = loadedRowBytes(shard)
  const source = new Uint8Array(
    data.buffer,
    data.byteOffset + firstRow * sourceBytes,
    numRows * sourceBytes,
  )
  const target = new Uint8Array(buffer, address, numRows * targetBytes)
  if (sourceBytes === targetBytes) {
    target.set(source)
    return
  }
  for (let row = 0; row < numRows; row++) {
    target.set(source.subarray(row * sourceBytes, (row + 1) * sourceBytes), row * targetBytes)
  }
}
