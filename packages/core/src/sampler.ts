/**
 * `createSampler()`: checks arguments, picks a backend, keeps calls in order.
 *
 * @module
 */
import type { Backend, BackendCapabilities, BackendSession } from './backend.ts'
import { createCpuBackend } from './cpu/cpu-backend.ts'
import {
  BackendUnavailableError,
  DisposedError,
  invalidArgument,
  invalidType,
  RowError,
  UnsupportedFeatureError,
} from './errors.ts'
import { f16ToNumber } from './half-floats.ts'
import { isBackendBuffer, normalizeLmHead } from './lm-head.ts'
import type { NoiseScheme } from './noise.ts'
import { normalizeBatchParams, type RowParams } from './params.ts'
import type { DType, LmHead, SampleOptions, SampleResult, Sampler } from './types.ts'

/** Options of {@link createSampler}. */
export interface CreateSamplerOptions {
  /** The LM head; `data` is read while the promise is pending and may be dropped afterwards. */
  lmHead: LmHead
  /** `auto` and `cpu` take the embedded CPU backend; pass a backend object for any other. @defaultValue 'auto' */
  backend?: 'auto' | 'cpu' | Backend | undefined
  /** Noise of every draw. @defaultValue 'flash' */
  noiseScheme?: NoiseScheme | undefined
}

/**
 * Creates a sampler: draws tokens from `softmax(hiddenStates · weightᵀ)` without ever storing the logits.
 *
 * @param options - Head, backend and noise scheme.
 * @returns The sampler; it owns its buffers and threads until `dispose()` (or `await using`).
 * @throws {TypeError} when an option has a wrong type.
 * @throws {RangeError} when a size is out of range or does not fit the data.
 * @throws {BackendUnavailableError} when the backend cannot run here.
 * @throws {UnsupportedFeatureError} when the backend cannot serve this head.
 * @throws {OutOfMemoryError} when the head does not fit.
 * @example
 * ```ts
 * const sampler = await createSampler({
 *   lmHead: { dtype: 'f32', vocabSize: 2, hiddenSize: 2, data: Float32Array.of(1, 0, 0, 1) },
 * })
 * const { tokenIds } = await sampler.sample({
 *   hiddenStates: Float32Array.of(9, -9),
 *   params: { seed: 7n },
 * })
 * tokenIds[0] // => 0
 * await sampler.dispose()
 * ```
 * @see arXiv 2603.15854
 */
export async function createSampler(options: CreateSamplerOptions): Promise<Sampler> {
  if (typeof options !== 'object' || options === null) {
    throw invalidType('create a sampler', 'options', 'an object with "lmHead"', options)
  }
  const { shards, hiddenSize, vocabSize } = normalizeLmHead(options.lmHead)
  const noiseScheme = options.noiseScheme ?? 'flash'
  const backend = resolveBackend(options.backend ?? 'auto')
  const { capabilities } = backend
  if (!capabilities.noiseSchemes.includes(noiseScheme)) {
    throw invalidArgument(
      'create a sampler',
      'noiseScheme',
      `one of ${capabilities.noiseSchemes.join(', ')}`,
      noiseScheme,
    )
  }
  if (shards.length > 1 && !capabilities.sharded) {
    throw new UnsupportedFeatureError(
      'shards',
      `Cannot create a sampler as backend ${backend.name} takes one shard: current value is ${shards.length}`,
    )
  }
  for (const shard of shards) {
    if (!capabilities.dtypes.includes(shard.dtype)) {
      throw new UnsupportedFeatureError(
        shard.dtype,
        `Cannot create a sampler as backend ${backend.name} stores heads as ` +
          `${capabilities.dtypes.join(', ')}: current value is "${shard.dtype}"`,
      )
    }
    if (isBackendBuffer(shard.data) && shard.data.backend !== backend.name) {
      throw new TypeError(
        `Cannot create a sampler as the head lives in memory of backend ${shard.data.backend}: ` +
          `current backend is ${backend.name}`,
      )
    }
  }
  const session = await backend.createSession({ shards, noiseScheme })
  return new SessionSampler(backend, session, vocabSize, hiddenSize, noiseScheme)
}

function resolveBackend(backend: 'auto' | 'cpu' | Backend): Backend {
  if (backend === 'auto' || backend === 'cpu') return createCpuBackend()
  if (
    typeof backend === 'object' &&
    backend !== null &&
    typeof backend.createSession === 'function'
  ) {
    return backend
  }
  throw new BackendUnavailableError(
    'Cannot create a sampler as the backend is unknown',
    [{ backend: String(backend), reason: 'not a backend object, "auto" or "cpu"' }],
    ['pass the object that a backend package makes, for example createCpuBackend()'],
  )
}

class SessionSampler implements Sampler {
  readonly vocabSize: number
  readonly hiddenSize: number
  readonly backend: string
  readonly noiseScheme: NoiseScheme
  readonly #capabilities: BackendCapabilities
  readonly #session: BackendSession
  /** Tail of the queue: each call starts when the one before it has settled. */
  #tail: Promise<unknown> = Promise.resolve()
  #disposal: Promise<void> | null = null

  constructor(
    backend: Backend,
    session: BackendSession,
    vocabSize: number,
    hiddenSize: number,
    noiseScheme: NoiseScheme,
  ) {
    this.backend = backend.name
    this.#capabilities = backend.capabilities
    this.#session = session
    this.vocabSize = vocabSize
    this.hiddenSize = hiddenSize
    this.noiseScheme = noiseScheme
  }

  async sample(options: SampleOptions): Promise<SampleResult> {
    if (this.#disposal !== null) throw new DisposedError('sampler')
    if (typeof options !== 'object' || options === null) {
      throw invalidType(
        'sample tokens',
        'options',
        'an object with "hiddenStates" and "params"',
        options,
      )
    }
    const { hiddenStates, batchSize } = this.#readHiddenStates(options.hiddenStates)
    if (batchSize > this.#capabilities.maxBatchSize) {
      throw invalidArgument(
        'sample tokens',
        'batchSize',
        `<= ${this.#capabilities.maxBatchSize}`,
        batchSize,
      )
    }
    const rows = normalizeBatchParams(options.params, batchSize, this.vocabSize)
    for (const row of new Set(rows)) this.#checkFeatures(row)
    const call = this.#tail.then(() => this.#session.sample({ hiddenStates, batchSize, rows }))
    this.#tail = call.catch(() => undefined)
    return call
  }

  dispose(): Promise<void> {
    this.#disposal ??= this.#tail.then(() => this.#session.dispose())
    return this.#disposal
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }

  #readHiddenStates(input: SampleOptions['hiddenStates']): {
    hiddenStates: Float32Array
    batchSize: number
  } {
    const record =
      input instanceof Float32Array
        ? { data: input, dtype: 'f32' as const, batchSize: input.length / this.hiddenSize }
        : input
    if (typeof record !== 'object' || record === null || !ArrayBuffer.isView(record.data)) {
      throw invalidType(
        'sample tokens',
        'hiddenStates',
        'a Float32Array or { data, dtype, batchSize }',
        input,
      )
    }
    const { data, dtype, batchSize } = record
    if (
      !Number.isSafeInteger(batchSize) ||
      batchSize < 1 ||
      data.length !== batchSize * this.hiddenSize
    ) {
      throw new RangeError(
        `Cannot sample tokens as "hiddenStates" must have batchSize * hiddenSize elements ` +
          `(hiddenSize = ${this.hiddenSize}, batchSize >= 1): current length is ${data.length}` +
          (input instanceof Float32Array ? '' : `, current batchSize is ${batchSize}`),
      )
    }
    const hiddenStates = widenHiddenStates(data, dtype)
    const nanRows: number[] = []
    for (let row = 0; row < batchSize; row++) {
      for (let i = row * this.hiddenSize; i < (row + 1) * this.hiddenSize; i++) {
        const value = hiddenStates[i] as number
        // x - x is NaN for NaN and for infinities, 0 for everything else.
        if (value - value !== 0) {
          nanRows.push(row)
          break
        }
      }
    }
    if (nanRows.length > 0) {
      throw new RowError(
        'INVALID_LOGITS',
        `Cannot sample tokens as the hidden states of row ${nanRows.join(', ')} contain NaN or infinite values: ` +
          'check the model output',
        nanRows,
      )
    }
    return { hiddenStates, batchSize }
  }

  #checkFeatures(row: RowParams): void {
    const { features, maxLogprobs } = this.#capabilities
    const wanted: [BackendCapabilities['features'][number], boolean][] = [
      ['topK', row.topK > 0],
      ['topP', row.topP < 1],
      ['minP', row.minP > 0],
      ['logitBias', row.edits.some((edit) => edit.bias !== 0)],
      ['penalties', row.edits.some((edit) => edit.repeated || edit.penalty !== 0)],
      ['allowedTokens', row.allowedMask !== null],
      ['numSamples', row.numSamples > 1],
    ]
    for (const [feature, isWanted] of wanted) {
      if (isWanted && !features.includes(feature)) {
        throw new UnsupportedFeatureError(
          feature,
          `Cannot sample tokens as backend ${this.backend} does not serve "${feature}": ` +
            `it serves ${features.join(', ') || 'none'}`,
        )
      }
    }
    if (row.logprobs > Math.max(0, maxLogprobs)) {
      throw new UnsupportedFeatureError(
        'logprobs',
        `Cannot sample tokens as backend ${this.backend} reports at most ${Math.max(0, maxLogprobs)} ` +
          `log-probabilities: current value is ${row.logprobs}`,
      )
    }
  }
}

function widenHiddenStates(data: Float32Array | Uint16Array, dtype: DType): Float32Array {
  // A copy: a queued call must not see what the caller writes into the buffer for the next one.
  if (dtype === 'f32' && data instanceof Float32Array) return data.slice()
  if ((dtype === 'f16' || dtype === 'bf16') && data instanceof Uint16Array) {
    return dtype === 'f16' ? widenF16(data) : widenBf16(data)
  }
  throw invalidType(
    'sample tokens',
    'hiddenStates',
    'a Float32Array for "f32", or a Uint16Array for "f16" and "bf16"',
    data,
  )
}

// Plain loops: at the batch sizes of a GPU, a callback for each element takes longer than the draw.

function widenBf16(data: Uint16Array): Float32Array {
  const bits = new Uint32Array(data.length)
  for (let i = 0; i < data.length; i++) bits[i] = (data[i] as number) << 16
  return new Float32Array(bits.buffer)
}

function widenF16(data: Uint16Array): Float32Array {
  const widened = new Float32Array(data.length)
  for (let i = 0; i < data.length; i++) widened[i] = f16ToNumber(data[i] as number)
  return widened
}
