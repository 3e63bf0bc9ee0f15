/**
 * `createSampler()`: checks arguments, picks a backend, keeps calls in order.
 *
 * @module
 */
import type { Backend, BackendCapabilities, BackendSession } from './backend.ts'
import {
  BackendUnavailableError,
  DisposedError,
  invalidArgument,
  invalidType,
  UnsupportedFeatureError,
} from './errors.ts'
import { normalizeHiddenStates } from './hidden-states.ts'
import { isBackendBuffer, normalizeLmHead } from './lm-head.ts'
import type { NoiseScheme } from './noise.ts'
import { normalizeBatchParams, type RowParams } from './params.ts'
import type { LmHead, SampleOptions, SampleResult, Sampler } from './types.ts'

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
  const noiseScheme = options.noiseScheme ?? 'flash'
  const wanted = options.backend ?? 'auto'
  const backend = wanted === 'auto' || wanted === 'cpu' ? await loadCpuBackend() : wanted
  checkBackend(backend)
  // NOTE: nothing is awaited from here to createSession(), so that a caller who takes the head's memory away cannot do so
  // between its check and its use.
  const { shards, hiddenSize, vocabSize } = normalizeLmHead(options.lmHead)
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

function checkBackend(backend: unknown): asserts backend is Backend {
  if (
    typeof backend === 'object' &&
    backend !== null &&
    'createSession' in backend &&
    typeof backend.createSession === 'function'
  ) {
    return
  }
  throw new BackendUnavailableError(
    'Cannot create a sampler as the backend is unknown',
    [{ backend: String(backend), reason: 'not a backend object, "auto" or "cpu"' }],
    ['pass the object that a backend package makes, for example createCpuBackend()'],
  )
}

/** Loads the CPU backend where it is wanted: a page that draws on another backend does not download it. */
async function loadCpuBackend(): Promise<Backend> {
  try {
    const { createCpuBackend } = await import('./cpu/cpu-backend.ts')
    return createCpuBackend()
  } catch (cause) {
    throw new BackendUnavailableError(
      'Cannot create a sampler as the CPU backend did not load',
      [{ backend: 'cpu', reason: cause instanceof Error ? cause.message : String(cause) }],
      ['try again: where its file was not reached, a later call may reach it'],
    )
  }
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
    const { hiddenStates, batchSize } = normalizeHiddenStates(options.hiddenStates, this.hiddenSize)
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
