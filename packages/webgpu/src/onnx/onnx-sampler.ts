/**
 * Samplers behind onnxruntime-web: rows out of its tensors, tokens into the tensor of the next step.
 *
 * @module
 */
import {
  invalidArgument,
  type LmHead,
  type NoiseScheme,
  type SampleResult,
  type SamplingParams,
} from '@flashsampling/core'
import type { GpuRows } from '../gpu-rows.ts'
import { createLmHeadSampler, createLogitsSampler, type TokenDestination } from '../samplers.ts'
import { InputIdsRing } from './input-ids.ts'
import { deviceOf, type OrtModule, type OrtTensor, rowsOf } from './ort-tensors.ts'

/** What a call of {@link OnnxSampler} draws. */
export interface OnnxSampleOptions {
  /**
   * Hidden states or logits on the GPU, f32 or f16: `[batchSize, sequenceLength, width]`, or `[numRows, width]`. Dispose
   * it after the call has settled, not before.
   */
  tensor: OrtTensor
  /** One object for every sequence, or one per sequence; each draws once. */
  params: SamplingParams | readonly SamplingParams[]
  /**
   * Position to draw from in each sequence, for example where shorter ones are padded behind; rows, where the tensor is a
   * matrix. @defaultValue the last position of each sequence; all rows of a matrix
   */
  positions?: readonly number[] | undefined
}

/** The input of the model's next step. */
export interface OnnxInputIds<T> {
  /**
   * The drawn tokens, int64 `[batchSize, 1]` on the GPU. The tensor belongs to the sampler, and the call after the next one
   * writes into it again.
   */
  inputIds: T
}

/**
 * Draws from tensors that onnxruntime-web leaves on the GPU.
 *
 * @typeParam T - Tensors that the runtime makes.
 */
export interface OnnxSampler<T> extends AsyncDisposable {
  /** Tokens of the vocabulary. */
  readonly vocabSize: number
  /** Device of the runtime and of the sampler. */
  readonly device: GPUDevice
  /**
   * Draws and reads back token ids and log-probabilities: 8 bytes a sequence, and what `logprobs` asks for.
   *
   * @param options - Tensor and parameters.
   * @returns Token ids, log-probabilities and the input of the next step.
   * @throws {UnsupportedTensorError} when the tensor is not on the GPU, or of another type or shape.
   * @throws {RowError} when a row has NaN or +infinite logits, or every token masked; names the rows.
   * @throws {RangeError} when an argument is out of range.
   * @throws {WebGpuError} when WebGPU refuses the work, for example for a tensor of another device.
   * @throws {DeviceLostError} when the device is lost.
   * @throws {DisposedError} after disposal.
   */
  sample(options: OnnxSampleOptions): Promise<SampleResult & OnnxInputIds<T>>
  /**
   * Draws and reads back token ids alone: 4 bytes a sequence.
   *
   * @param options - Tensor and parameters.
   * @returns Token ids and the input of the next step.
   * @throws {RowError} as `sample()`.
   */
  sampleTokenIds(options: OnnxSampleOptions): Promise<{ tokenIds: Int32Array } & OnnxInputIds<T>>
  /**
   * Draws and reads nothing back, or, where a row has filters, 4 bytes a sequence: those tell whether the row needs an
   * exact further pass.
   *
   * A row without filters that has no valid draw gives -1 (NaN or +infinite logits) or -2 (every token masked) as token.
   *
   * @param options - Tensor and parameters.
   * @returns The input of the next step.
   * @throws {RowError} when a row with filters has no valid draw.
   */
  sampleInputIds(options: OnnxSampleOptions): Promise<T>
  /** Frees what the sampler owns, `inputIds` included. Further calls do nothing. */
  dispose(): Promise<void>
}

/**
 * Creates a sampler that draws inside the LM-head matmul from the hidden states of a model that ends in them; see
 * {@link cutOnnxLmHead}.
 *
 * @param options - `ort`: the module `onnxruntime-web/webgpu`, after its first session was created; `device`: the
 *   `GPUDevice` that its sessions were given, if any (default: the one that it made); `lmHead`: the head, see
 *   {@link readOnnxLmHead}; `noiseScheme` (default `flash`).
 * @returns The sampler, on the device of the runtime; it owns its buffers until `dispose()` (or `await using`).
 * @throws {TypeError} when an option has a wrong type, or the runtime has no device yet.
 * @throws {RangeError} when a size is out of range or does not fit the data.
 * @throws {OutOfMemoryError} when the head does not fit.
 * @throws {DeviceLostError} when the device is lost.
 */
export async function createOnnxLmHeadSampler<T>(options: {
  ort: OrtModule<T>
  device?: GPUDevice | undefined
  lmHead: LmHead
  noiseScheme?: NoiseScheme | undefined
}): Promise<OnnxSampler<T>> {
  const { ort, lmHead, noiseScheme } = options
  const device = await deviceOf(ort, options.device)
  const sampler = await createLmHeadSampler({ device, lmHead, noiseScheme })
  return new TensorSampler(ort, device, sampler.vocabSize, sampler.hiddenSize, {
    sample: (hiddenStates, params) => sampler.sample({ hiddenStates, params }),
    sampleTokenIds: (hiddenStates, params) => sampler.sampleTokenIds({ hiddenStates, params }),
    sampleInto: (hiddenStates, params, destination) =>
      sampler.sampleInto({ hiddenStates, params, destination }),
    dispose: () => sampler.dispose(),
  })
}

/**
 * Creates a sampler that draws from the logits of a model, which stay on the GPU.
 *
 * @param options - `ort`: the module `onnxruntime-web/webgpu`, after its first session was created; `device`: the
 *   `GPUDevice` that its sessions were given, if any (default: the one that it made); `vocabSize`: logits of a row, 1 to
 *   2^22; `noiseScheme` (default `flash`).
 * @returns The sampler, on the device of the runtime; it owns its workspace until `dispose()` (or `await using`).
 * @throws {TypeError} when an option has a wrong type, or the runtime has no device yet.
 * @throws {RangeError} when `vocabSize` is out of range.
 * @throws {DeviceLostError} when the device is lost.
 */
export async function createOnnxLogitsSampler<T>(options: {
  ort: OrtModule<T>
  device?: GPUDevice | undefined
  vocabSize: number
  noiseScheme?: NoiseScheme | undefined
}): Promise<OnnxSampler<T>> {
  const { ort, vocabSize, noiseScheme } = options
  const device = await deviceOf(ort, options.device)
  const sampler = await createLogitsSampler({ device, vocabSize, noiseScheme })
  return new TensorSampler(ort, device, vocabSize, vocabSize, {
    sample: (logits, params) => sampler.sample({ logits, params }),
    sampleTokenIds: (logits, params) => sampler.sampleTokenIds({ logits, params }),
    sampleInto: (logits, params, destination) =>
      sampler.sampleInto({ logits, params, destination }),
    dispose: () => sampler.dispose(),
  })
}

type Params = OnnxSampleOptions['params']

/** A sampler of the package, whatever its rows are. */
interface RowSampler {
  sample(rows: GpuRows, params: Params): Promise<SampleResult>
  sampleTokenIds(rows: GpuRows, params: Params): Promise<Int32Array>
  sampleInto(rows: GpuRows, params: Params, destination: TokenDestination): Promise<void>
  dispose(): Promise<void>
}

class TensorSampler<T> implements OnnxSampler<T> {
  readonly device: GPUDevice
  readonly vocabSize: number
  readonly #width: number
  readonly #rows: RowSampler
  readonly #inputIds: InputIdsRing<T>

  constructor(
    ort: OrtModule<T>,
    device: GPUDevice,
    vocabSize: number,
    width: number,
    rows: RowSampler,
  ) {
    this.device = device
    this.vocabSize = vocabSize
    this.#width = width
    this.#rows = rows
    this.#inputIds = new InputIdsRing(ort, device)
  }

  async sample(options: OnnxSampleOptions): Promise<SampleResult & OnnxInputIds<T>> {
    const rows = this.#rowsOf(options)
    const result = await this.#rows.sample(rows, options.params)
    return { ...result, inputIds: this.#inputIds.write(result.tokenIds) }
  }

  async sampleTokenIds(
    options: OnnxSampleOptions,
  ): Promise<{ tokenIds: Int32Array } & OnnxInputIds<T>> {
    const rows = this.#rowsOf(options)
    const tokenIds = await this.#rows.sampleTokenIds(rows, options.params)
    return { tokenIds, inputIds: this.#inputIds.write(tokenIds) }
  }

  async sampleInputIds(options: OnnxSampleOptions): Promise<T> {
    const rows = this.#rowsOf(options)
    const { buffer, tensor } = this.#inputIds.next(rows.offsets.length)
    await this.#rows.sampleInto(rows, options.params, { buffer, dtype: 'i64' })
    return tensor
  }

  async dispose(): Promise<void> {
    await this.#rows.dispose()
    this.#inputIds.destroy()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }

  #rowsOf({ tensor, params, positions }: OnnxSampleOptions): GpuRows {
    for (const { numSamples = 1 } of [params].flat()) {
      if (numSamples === 1) continue
      const rule = '1, as a sequence goes on with one token'
      throw invalidArgument('sample tokens', 'params.numSamples', rule, numSamples)
    }
    return rowsOf(tensor, this.#width, positions)
  }
}
