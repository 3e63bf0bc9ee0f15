/**
 * What the Node addon offers, written by hand: one declaration for every function of `csrc/addon`.
 *
 * Functions check types and lengths, throw on the spot for those, and reject for what fails on the device. Their errors
 * carry the fields of {@link NativeFailure}.
 *
 * @module
 */

/** One GPU as the library sees it. */
export interface CudaDevice {
  /** CUDA ordinal. */
  deviceIndex: number
  /** Name, for example `NVIDIA H100 80GB HBM3`. */
  name: string
  /** Compute capability before the dot. */
  computeMajor: number
  /** Compute capability after the dot. */
  computeMinor: number
  /** Streaming multiprocessors. */
  numMultiprocessors: number
  /** Size of the L2 cache, bytes. */
  l2Bytes: number
  /** Device memory, bytes. */
  totalMemoryBytes: number
  /** Highest CUDA version that the driver serves: 13000 is 13.0. */
  driverVersion: number
  /** CUDA version of the runtime inside the library: 13000 is 13.0. */
  runtimeVersion: number
  /** Whether the Hopper kernel runs here. */
  servesSm90a: boolean
  /** Whether the portable kernel runs here. */
  servesSmxx: boolean
}

/** The addon's module. */
export interface NativeAddon {
  /** ABI version of the `libflashsampling.so` that was loaded. */
  readonly abiVersion: number
  /** ABI version that the addon was compiled against. */
  readonly builtForAbiVersion: number
  /** Version of the library, for example `0.1.0`. */
  readonly version: string
  /** @returns Number of GPUs, at least 1. */
  deviceCount(): number
  /**
   * @param deviceIndex - CUDA ordinal.
   * @returns Properties of the GPU.
   */
  deviceProperties(deviceIndex: number): CudaDevice
  /** Opens a GPU. */
  readonly Context: new (
    deviceIndex: number,
  ) => NativeContext
}

/** One opened GPU. */
export interface NativeContext {
  /**
   * @param byteLength - At least 1.
   * @returns Device memory with undefined content.
   */
  allocate(byteLength: number): NativeBuffer
  /**
   * @param options - The head on the device.
   * @returns The session; it keeps the shards' memory alive.
   */
  createSession(options: NativeSessionOptions): NativeSession
  /** Frees the page-locked memory that uploads went through. */
  releaseStaging(): void
  /** Refuses further calls; what was made from it lives on. */
  dispose(): void
}

/** Device memory. */
export interface NativeBuffer {
  /** Size, bytes. */
  readonly byteLength: number
  /**
   * Copies rows to the device and fills each up with zeros. The source is read before the call returns.
   *
   * @param source - Whole rows.
   * @param byteOffset - Where the first row goes.
   * @param rowBytes - Size of a row in the source.
   * @param rowStrideBytes - Distance of rows on the device, at least `rowBytes`.
   */
  write(
    source: Uint8Array,
    byteOffset: number,
    rowBytes: number,
    rowStrideBytes: number,
  ): Promise<void>
  /** Frees the memory once no session uses it. */
  dispose(): void
}

/** What a session is made from. */
export interface NativeSessionOptions {
  /** Elements of a hidden state; rows of weights are padded with zeros to a multiple of 8. */
  hiddenSize: number
  /** One past the highest token id. */
  vocabSize: number
  /** `flashsampling_dtype`: 0 bf16, 1 f16. */
  dtype: number
  /** `flashsampling_noise_scheme`: 0 flash, 1 vllm. */
  noiseScheme: number
  /** `flashsampling_kernel`: 0 auto, 1 sm90a, 2 smxx. */
  kernel: number
  /** Shards in ascending order, at least one. */
  shards: readonly { buffer: NativeBuffer; rows: number; vocabStart: number }[]
}

/** A head ready to draw from. */
export interface NativeSession {
  /**
   * Draws; one call at a time. The arrays are read before the call returns.
   *
   * @param call - Rows.
   * @returns Results of every row, also of rows with an error status.
   */
  sample(call: NativeSampleCall): Promise<NativeSampleResult>
  /** Frees the session once no call is in flight. */
  dispose(): void
}

/** Rows of one call. */
export interface NativeSampleCall {
  /** Rows, at least 1. */
  batchSize: number
  /** Columns of the results, at least 1. */
  maxNumSamples: number
  /** `flashsampling_logprobs_mode`: 0 transformed, 1 raw. */
  logprobsMode: number
  /** `[batchSize, hiddenSize]`. */
  hiddenStates: Float32Array
  /** `[batchSize]`, >= 0 and finite. */
  temperature: Float32Array
  /** `[batchSize]`. */
  seed: BigUint64Array
  /** `[batchSize]`. */
  position: BigUint64Array
  /** `[batchSize]`. */
  drawIndex: Uint32Array
  /** `[batchSize]`, at most `maxNumSamples`. */
  numSamples: Uint32Array
  /** Masks: 0, 1 for all rows together, or `batchSize`. */
  numMasks: number
  /** `[numMasks, ceil(vocabSize / 32)]` bitmask words; not read for 0 masks. */
  allowedTokens: Int32Array | null
  /** Rows of biases: 0, 1 for all rows together, or `batchSize`. */
  numBiases: number
  /** `[numBiases + 1]`, start of each row in the two arrays below; not read for 0 rows. */
  biasOffsets: Uint32Array | null
  /** Token ids, below `vocabSize`. */
  biasTokenIds: Uint32Array | null
  /** Biases, finite or -Infinity. */
  biasValues: Float32Array | null
}

/** Results of one call. */
export interface NativeSampleResult {
  /** `[batchSize, maxNumSamples]`; -1 where there is no draw. */
  tokenIds: Int32Array
  /** `[batchSize, maxNumSamples]`; NaN where there is no draw. */
  logprobs: Float32Array
  /** `[batchSize]`, log-sum-exp of the logits that log-probabilities refer to. */
  logSumExp: Float32Array
  /** `[batchSize]`, `flashsampling_row_status`. */
  rowStatus: Int32Array
  /** Memory that the session holds beside the weights, bytes. */
  workspaceBytes: number
}

/** Values of {@link NativeSampleResult.rowStatus}. */
export const ROW_STATUS = {
  ok: 0,
  invalidLogits: 1,
  allTokensMasked: 2,
  invalidParameters: 3,
} as const

/** Fields of an error that the library reported through the addon. */
export interface NativeFailure extends Error {
  /** Name of the `flashsampling_status` without its prefix, or `DISPOSED`. */
  status: string
  /** What was being done, for example `upload the weights`; for `DISPOSED`: what was used. */
  operation: string
  /** Bytes asked for, of an allocation that failed. */
  requestedBytes?: number
}
