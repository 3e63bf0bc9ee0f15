/**
 * `createLmHeadSampler()` and `createLogitsSampler()`: draws whose inputs and token ids may stay on the GPU.
 *
 * @module
 */
import {
  DisposedError,
  invalidArgument,
  invalidType,
  type LmHead,
  type NoiseScheme,
  normalizeBatchParams,
  normalizeHiddenStates,
  normalizeLmHead,
  type RowParams,
  type SampleOptions,
  type SampleResult,
  type SamplingParams,
} from '@flashsampling/core'
import { DeviceState } from './device-state.ts'
import { BUFFER_USAGE } from './gpu-constants.ts'
import { logitsHead, uploadHead } from './gpu-head.ts'
import { checkBuffer, type GpuRows, placeRows, type RowShape } from './gpu-rows.ts'
import { type CheckedDestination, type DrawOptions, GpuSession } from './gpu-session.ts'
import { logitsSource, productSource } from './kernels.ts'
import type { RowSource } from './pass-runner.ts'
import { isFiltered } from './plan.ts'

/** Memory on the sampler's device that token ids are written to, one behind the other in the order of rows and draws. */
export interface TokenDestination {
  /** Needs `GPUBufferUsage.STORAGE`, and `COPY_DST` where a row has filters. */
  buffer: GPUBuffer
  /** Type of a token id. */
  dtype: 'i32' | 'i64'
  /** First byte, a multiple of the size of a token id. @defaultValue 0 */
  offset?: number | undefined
}

/** What a call draws: rows on the GPU and their parameters. */
export interface GpuSampleOptions {
  /** One object for every row, or one per row. */
  params: SamplingParams | readonly SamplingParams[]
}

/** Draws that may leave token ids on the GPU. */
export interface GpuSampler<Input> extends AsyncDisposable {
  /** Tokens of the vocabulary. */
  readonly vocabSize: number
  /** Device of every buffer. */
  readonly device: GPUDevice
  /**
   * Draws and reads back token ids and log-probabilities: 8 bytes a draw, and what `logprobs` asks for.
   *
   * @param options - Rows and parameters.
   * @returns Token ids and log-probabilities.
   * @throws {RowError} when a row has NaN or +infinite logits, or every token masked; names the rows.
   * @throws {TypeError} when an argument has a wrong type, or a buffer lacks a usage.
   * @throws {RangeError} when an argument is out of range.
   * @throws {WebGpuError} when WebGPU refuses the work, for example a buffer of another device.
   * @throws {DeviceLostError} when the device is lost.
   * @throws {DisposedError} after disposal.
   */
  sample(options: Input & GpuSampleOptions): Promise<SampleResult>
  /**
   * Draws and reads back token ids alone: 4 bytes a draw. `logprobs` of the parameters has no effect.
   *
   * @param options - Rows and parameters.
   * @returns Token ids; a row's draws lie behind those of the rows before it.
   * @throws {RowError} as `sample()`.
   */
  sampleTokenIds(options: Input & GpuSampleOptions): Promise<Int32Array>
  /**
   * Draws into memory of the caller and reads nothing back, or, where a row has filters, 4 bytes a draw: those tell
   * whether the row needs an exact further pass.
   *
   * A row without filters that has no valid draw gets -1 (NaN or +infinite logits) or -2 (every token masked).
   *
   * @param options - Rows, parameters and the memory.
   * @throws {RowError} when a row with filters has no valid draw.
   * @throws {TypeError} when the memory lacks a usage.
   * @throws {RangeError} when the token ids do not fit.
   */
  sampleInto(options: Input & GpuSampleOptions & { destination: TokenDestination }): Promise<void>
  /** Frees what the sampler owns. Further calls do nothing. */
  dispose(): Promise<void>
}

/** Rows of a call of an LM-head sampler: in memory, or on the GPU. */
export interface HiddenStatesInput {
  /** `[batchSize, hiddenSize]` f32 row-major, a record that names dtype and batch size, or rows on the GPU. */
  hiddenStates: SampleOptions['hiddenStates'] | GpuRows
}

/** Rows of a call of a logits sampler. */
export interface LogitsInput {
  /** Rows of `vocabSize` logits on the GPU. */
  logits: GpuRows
}

/** Draws from an LM head; made by {@link createLmHeadSampler}. */
export interface LmHeadSampler extends GpuSampler<HiddenStatesInput> {
  /** Width of a hidden state, elements. */
  readonly hiddenSize: number
}

/** Draws from logits on the GPU; made by {@link createLogitsSampler}. */
export interface LogitsSampler extends GpuSampler<LogitsInput> {}

/**
 * Creates a sampler that draws inside the LM-head matmul, from hidden states in memory or on the GPU.
 *
 * @param options - `device`: the device of all buffers; `lmHead`: the head, read while the promise is pending;
 *   `noiseScheme` (default `flash`).
 * @returns The sampler; it owns its buffers until `dispose()` (or `await using`).
 * @throws {TypeError} when an option has a wrong type.
 * @throws {RangeError} when a size is out of range or does not fit the data.
 * @throws {OutOfMemoryError} when the head does not fit.
 * @throws {DeviceLostError} when the device is lost.
 * @see arXiv 2603.15854
 */
export async function createLmHeadSampler(options: {
  device: GPUDevice
  lmHead: LmHead
  noiseScheme?: NoiseScheme | undefined
}): Promise<LmHeadSampler> {
  checkOptions(options)
  const { device, lmHead, noiseScheme = 'flash' } = options
  const state = DeviceState.of(CREATE, device)
  const { shards } = normalizeLmHead(lmHead)
  checkNoiseScheme(noiseScheme)
  state.checkAlive()
  const head = await uploadHead(state, shards)
  return new FusedSampler(state, new GpuSession(state, head, productSource, noiseScheme))
}

/**
 * Creates a sampler that draws from logits that a model left on the GPU.
 *
 * @param options - `device`: the device of all buffers; `vocabSize`: logits of a row, 1 to 2^22; `noiseScheme` (default
 *   `flash`).
 * @returns The sampler; it owns its workspace until `dispose()` (or `await using`).
 * @throws {TypeError} when an option has a wrong type.
 * @throws {RangeError} when `vocabSize` is out of range.
 * @throws {DeviceLostError} when the device is lost.
 */
export async function createLogitsSampler(options: {
  device: GPUDevice
  vocabSize: number
  noiseScheme?: NoiseScheme | undefined
}): Promise<LogitsSampler> {
  checkOptions(options)
  const { device, vocabSize, noiseScheme = 'flash' } = options
  const state = DeviceState.of(CREATE, device)
  if (!Number.isInteger(vocabSize) || vocabSize < 1 || vocabSize > MAX_VOCAB_SIZE) {
    const rule = `a whole number from 1 to ${MAX_VOCAB_SIZE}`
    throw invalidArgument(CREATE, 'vocabSize', rule, vocabSize)
  }
  checkNoiseScheme(noiseScheme)
  state.checkAlive()
  const head = await logitsHead(state, vocabSize)
  return new StoredLogitsSampler(state, new GpuSession(state, head, logitsSource, noiseScheme))
}

const CREATE = 'create a sampler'
const ACTION = 'sample tokens'
const MAX_VOCAB_SIZE = 2 ** 22

function checkOptions(options: unknown): void {
  if (typeof options !== 'object' || options === null) {
    throw invalidType(CREATE, 'options', 'an object with "device"', options)
  }
}

function checkNoiseScheme(noiseScheme: unknown): void {
  if (noiseScheme !== 'flash' && noiseScheme !== 'vllm') {
    throw invalidArgument(CREATE, 'noiseScheme', '"flash" or "vllm"', noiseScheme)
  }
}

/** What both samplers share: parameters, destinations, the ways to read back. */
abstract class SessionSampler<Input> implements GpuSampler<Input> {
  protected readonly state: DeviceState
  protected readonly session: GpuSession
  #isDisposed = false

  constructor(state: DeviceState, session: GpuSession) {
    this.state = state
    this.session = session
  }

  get vocabSize(): number {
    return this.session.head.vocabSize
  }

  get device(): GPUDevice {
    return this.state.device
  }

  async sample(options: Input & GpuSampleOptions): Promise<SampleResult> {
    return this.#draw(options, { reads: 'all' })
  }

  async sampleTokenIds(options: Input & GpuSampleOptions): Promise<Int32Array> {
    return (await this.#draw(options, { reads: 'tokens' })).tokenIds
  }

  async sampleInto(
    options: Input & GpuSampleOptions & { destination: TokenDestination },
  ): Promise<void> {
    const destination = checkDestination(options?.destination)
    await this.#draw(options, { reads: 'none', destination })
  }

  async dispose(): Promise<void> {
    if (this.#isDisposed) return
    this.#isDisposed = true
    await this.session.dispose()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }

  async #draw(options: Input & GpuSampleOptions, how: DrawOptions): Promise<SampleResult> {
    if (this.#isDisposed) throw new DisposedError('sampler')
    if (typeof options !== 'object' || options === null) {
      throw invalidType(ACTION, 'options', 'an object with rows and "params"', options)
    }
    this.state.checkAlive()
    const { source, batchSize } = this.rowsOf(options)
    let rows = normalizeBatchParams(options.params, batchSize, this.vocabSize)
    if (how.reads !== 'all') {
      // Nothing of them would be read. Rows that share their parameters go on sharing them.
      const plain = new Map(
        rows.map((row) => [row, { ...row, logprobs: 0, logprobsMode: 'transformed' as const }]),
      )
      rows = rows.map((row) => plain.get(row) as RowParams)
    }
    if (how.destination != null) checkRoom(how.destination, rows)
    return this.session.draw(rows, source, how)
  }

  /** The rows of a call. */
  protected abstract rowsOf(options: Input): { source: RowSource; batchSize: number }

  protected place(rows: GpuRows, shape: RowShape): { source: RowSource; batchSize: number } {
    const source = placeRows(rows, shape, this.device.limits)
    return { source, batchSize: source.starts.length }
  }
}

class FusedSampler extends SessionSampler<HiddenStatesInput> implements LmHeadSampler {
  get hiddenSize(): number {
    return this.session.head.hiddenSize
  }

  protected rowsOf({ hiddenStates }: HiddenStatesInput): { source: RowSource; batchSize: number } {
    const { hiddenSize } = this
    if (typeof hiddenStates === 'object' && hiddenStates !== null && 'offsets' in hiddenStates) {
      const paddedWidth = this.session.head.numChunks * 8
      const shape = {
        name: 'hiddenStates',
        width: hiddenSize,
        paddedWidth,
        alignment: 16,
        unit: 16,
      }
      return this.place(hiddenStates, shape)
    }
    const { hiddenStates: data, batchSize } = normalizeHiddenStates(hiddenStates, hiddenSize)
    return { source: { data, batchSize }, batchSize }
  }
}

class StoredLogitsSampler extends SessionSampler<LogitsInput> implements LogitsSampler {
  protected rowsOf({ logits }: LogitsInput): { source: RowSource; batchSize: number } {
    const width = this.vocabSize
    const unit = logits?.dtype === 'f16' ? 2 : 4
    return this.place(logits, { name: 'logits', width, paddedWidth: width, alignment: unit, unit })
  }
}

function checkDestination(destination: TokenDestination): CheckedDestination {
  if (typeof destination !== 'object' || destination === null) {
    throw invalidType(ACTION, 'destination', 'an object with "buffer" and "dtype"', destination)
  }
  const { buffer, dtype, offset = 0 } = destination
  checkBuffer(buffer, 'destination.buffer')
  if (dtype !== 'i32' && dtype !== 'i64') {
    throw invalidArgument(ACTION, 'destination.dtype', '"i32" or "i64"', dtype)
  }
  const words = dtype === 'i64' ? 2 : 1
  if (!Number.isSafeInteger(offset) || offset < 0 || offset % (words * 4) !== 0) {
    const rule = `a multiple of ${words * 4}, the size of an ${dtype}`
    throw invalidArgument(ACTION, 'destination.offset', rule, offset)
  }
  if ((buffer.usage & BUFFER_USAGE.STORAGE) === 0) {
    throw new TypeError(
      `Cannot ${ACTION} as "destination.buffer" must have GPUBufferUsage.STORAGE: current usage is ${buffer.usage}`,
    )
  }
  return { buffer, words, offset }
}

function checkRoom(
  { buffer, words, offset }: CheckedDestination,
  rows: readonly RowParams[],
): void {
  const draws = rows.reduce((sum, { numSamples }) => sum + numSamples, 0)
  const bytes = draws * words * 4
  if (offset + bytes > buffer.size) {
    throw new RangeError(
      `Cannot ${ACTION} as "destination" must have room for ${draws} token ids (${bytes} bytes from offset ${offset}): ` +
        `current size is ${buffer.size}`,
    )
  }
  if (rows.some(isFiltered) && (buffer.usage & BUFFER_USAGE.COPY_DST) === 0) {
    throw new TypeError(
      `Cannot ${ACTION} as "destination.buffer" must have GPUBufferUsage.COPY_DST where a row has filters: ` +
        `current usage is ${buffer.usage}`,
    )
  }
}
