/**
 * `createCudaBackend()`: one NVIDIA GPU as a backend of `@flashsampling/core`.
 *
 * @module
 */
import {
  type Backend,
  type BackendBuffer,
  type BackendCapabilities,
  type BackendSession,
  type CheckedShard,
  DisposedError,
  invalidArgument,
  invalidType,
  type SessionOptions,
  UnsupportedDeviceError,
  UnsupportedFeatureError,
} from '@flashsampling/core'
import { loadAddon } from './addon.ts'
import type {
  CudaDevice,
  NativeBuffer,
  NativeContext,
  NativeSessionOptions,
} from './addon-types.ts'
import { describeDevice, listDevices } from './availability.ts'
import { CudaBuffer, nativeBufferOf, upload } from './cuda-buffer.ts'
import { CudaSession } from './cuda-session.ts'
import { translateErrors } from './native-error.ts'

const ACTION = 'create the CUDA backend'

/** Kernel that draws: `sm90a` is made for Hopper, `smxx` runs from compute capability 8.0 on. */
export type CudaKernel = 'auto' | 'sm90a' | 'smxx'

/** Kernels in the order of `flashsampling_kernel`. */
const KERNELS: readonly CudaKernel[] = ['auto', 'sm90a', 'smxx']

/** Options of {@link createCudaBackend}. */
export interface CudaBackendOptions {
  /** CUDA ordinal of the GPU, as `CUDA_VISIBLE_DEVICES` numbers them. @defaultValue 0 */
  deviceIndex?: number | undefined
  /**
   * `auto` takes the fastest kernel that the GPU runs. Kernels sum in orders of their own: they may draw another token
   * where two scores are as close as the rounding of the logits.
   *
   * @defaultValue 'auto'
   */
  kernel?: CudaKernel | undefined
}

/** One NVIDIA GPU as a backend. */
export interface CudaBackend extends Backend, Disposable {
  /** The GPU. */
  readonly device: CudaDevice
  /** Kernel that was asked for. */
  readonly kernel: CudaKernel
  /**
   * Allocates device memory that an LM head can live in: write the weights into it, then pass it as `data`. The head's
   * `hiddenSize` must be a multiple of 8, and rows lie without padding.
   *
   * @param byteLength - Size of the head's data, at least 1.
   * @returns The buffer, owned by the caller.
   * @throws {RangeError} when `byteLength` is not a whole number >= 1.
   * @throws {OutOfMemoryError} when the GPU has not so much left.
   * @throws {DisposedError} after disposal.
   */
  allocate(byteLength: number): CudaBuffer
  /** Lets go of the GPU. Samplers and buffers live on; new ones are refused. Further calls do nothing. */
  dispose(): void
}

const CAPABILITIES: BackendCapabilities = {
  dtypes: ['bf16', 'f16'],
  maxBatchSize: Infinity,
  features: ['logitBias', 'allowedTokens', 'numSamples'],
  maxLogprobs: 0,
  sharded: true,
  noiseSchemes: ['flash', 'vllm'],
  hiddenStatesDtype: 'head',
  // Tensor cores cut off instead of rounding: docs/numbers.md, "Matrix units".
  accumulationError: 2 ** -23,
}

/**
 * Opens one NVIDIA GPU as a backend: heads of bf16 or f16 live in its memory, and every draw is one fused kernel that
 * writes no logits.
 *
 * Weights given as typed arrays are uploaded once, when a sampler is created; rows are padded on the device where
 * `hiddenSize` is no multiple of 8. Hidden states are rounded to the head's `dtype` (to nearest, ties to even) before
 * they are multiplied; those that a model computed in that type lose nothing. Large batches take several kernels.
 *
 * **Gotchas**
 * Loads the native library and starts the driver, which blocks for some 100 ms the first time. Device memory is freed
 * by `dispose()` of samplers and buffers; the garbage collector does not know its size.
 *
 * @param options - GPU and kernel.
 * @returns The backend; pass it to `createSampler()`.
 * @throws {BackendUnavailableError} when the native library, a driver or a GPU is missing; `attempts` says which.
 * @throws {UnsupportedDeviceError} when the GPU is too old, or does not run the kernel asked for.
 * @throws {RangeError} when there is no GPU of this index, or an option is out of range.
 * @throws {CudaError} when the driver fails.
 * @example
 * ```ts
 * import { BackendUnavailableError } from '@flashsampling/core'
 * import { createCudaBackend } from '@flashsampling/cuda'
 *
 * try {
 *   const backend = createCudaBackend({ deviceIndex: 0 })
 *   console.log(backend.device.name)
 *   backend.dispose()
 * } catch (error) {
 *   if (!(error instanceof BackendUnavailableError)) throw error
 *   console.log(error.attempts[0]?.reason)
 * }
 * ```
 * @see arXiv 2603.15854
 */
export function createCudaBackend(options: CudaBackendOptions = {}): CudaBackend {
  if (typeof options !== 'object' || options === null) {
    throw invalidType(ACTION, 'options', 'an object', options)
  }
  const { deviceIndex = 0, kernel = 'auto' } = options
  if (typeof deviceIndex !== 'number')
    throw invalidType(ACTION, 'deviceIndex', 'a number', deviceIndex)
  if (!Number.isInteger(deviceIndex) || deviceIndex < 0) {
    throw invalidArgument(ACTION, 'deviceIndex', 'a whole number >= 0', deviceIndex)
  }
  if (!KERNELS.includes(kernel)) {
    throw invalidArgument(ACTION, 'kernel', '"auto", "sm90a" or "smxx"', kernel)
  }
  const library = loadAddon()
  const devices = listDevices(ACTION, library)
  const device = devices[deviceIndex]
  if (device === undefined) {
    const rule = devices.length === 1 ? '0, the only GPU' : `from 0 to ${devices.length - 1}`
    throw invalidArgument(ACTION, 'deviceIndex', rule, deviceIndex)
  }
  checkKernel(device, kernel)
  const context = translateErrors(() => new library.addon.Context(deviceIndex))
  return new ContextBackend(context, device, kernel)
}

function checkKernel(device: CudaDevice, kernel: CudaKernel): void {
  const { servesSm90a, servesSmxx } = device
  const isServed = { auto: servesSm90a || servesSmxx, sm90a: servesSm90a, smxx: servesSmxx }[kernel]
  if (isServed) return
  throw new UnsupportedDeviceError(
    ACTION,
    kernel === 'sm90a'
      ? 'compute capability 9.0 for kernel "sm90a"'
      : 'compute capability 8.0 or later',
    describeDevice(device),
  )
}

class ContextBackend implements CudaBackend {
  readonly name = 'cuda'
  readonly capabilities = CAPABILITIES
  readonly device: CudaDevice
  readonly kernel: CudaKernel
  #context: NativeContext | null

  constructor(context: NativeContext, device: CudaDevice, kernel: CudaKernel) {
    this.#context = context
    this.device = device
    this.kernel = kernel
  }

  allocate(byteLength: number): CudaBuffer {
    const context = this.#openContext()
    const action = 'allocate device memory'
    if (typeof byteLength !== 'number')
      throw invalidType(action, 'byteLength', 'a number', byteLength)
    if (!Number.isSafeInteger(byteLength) || byteLength < 1) {
      throw invalidArgument(action, 'byteLength', 'a whole number >= 1', byteLength)
    }
    const native = translateErrors(() => context.allocate(byteLength))
    return new CudaBuffer(native, this.device.deviceIndex)
  }

  async createSession({ shards, noiseScheme }: SessionOptions): Promise<BackendSession> {
    const context = this.#openContext()
    const { hiddenSize, dtype } = shards[0] as CheckedShard
    const vocabSize = Math.max(...shards.map((shard) => shard.vocabStart + shard.vocabSize))
    const owned: NativeBuffer[] = []
    try {
      const loaded: NativeSessionOptions['shards'][number][] = []
      for (const shard of shards) {
        if (shard.dtype !== dtype) {
          throw new UnsupportedFeatureError(
            'shards',
            `Cannot load the LM head as all of its shards must have one dtype: current dtypes are "${dtype}" and "${shard.dtype}"`,
          )
        }
        const buffer = isOwnedByBackend(shard.data)
          ? this.#checkBuffer(shard, shard.data)
          : await uploadShard(context, shard, shard.data, owned)
        loaded.push({ buffer, rows: shard.vocabSize, vocabStart: shard.vocabStart })
      }
      const native = translateErrors(() =>
        context.createSession({
          hiddenSize,
          vocabSize,
          dtype: dtype === 'bf16' ? 0 : 1,
          noiseScheme: noiseScheme === 'vllm' ? 1 : 0,
          kernel: KERNELS.indexOf(this.kernel),
          shards: loaded,
        }),
      )
      return new CudaSession(native, owned, hiddenSize, vocabSize)
    } catch (error) {
      for (const buffer of owned) buffer.dispose()
      throw error
    } finally {
      context.releaseStaging()
    }
  }

  dispose(): void {
    this.#context?.dispose()
    this.#context = null
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  #openContext(): NativeContext {
    if (this.#context === null) throw new DisposedError('CUDA backend')
    return this.#context
  }

  #checkBuffer(shard: CheckedShard, data: BackendBuffer): NativeBuffer {
    const native = nativeBufferOf(data)
    const { deviceIndex } = this.device
    if (native === undefined || (data as CudaBuffer).deviceIndex !== deviceIndex) {
      throw new TypeError(
        `Cannot load the LM head as "data" must be a buffer from allocate() of device ${deviceIndex}` +
          (native === undefined ? '' : `: current device is ${(data as CudaBuffer).deviceIndex}`),
      )
    }
    if (shard.hiddenSize % 8 !== 0) {
      throw invalidArgument(
        'load the LM head',
        'lmHead.hiddenSize',
        'a multiple of 8 for a head in device memory',
        shard.hiddenSize,
      )
    }
    return native
  }
}

function isOwnedByBackend(data: CheckedShard['data']): data is BackendBuffer {
  return !ArrayBuffer.isView(data)
}

/** Brings one shard to the device, rows padded with zeros to a multiple of 8 elements. */
async function uploadShard(
  context: NativeContext,
  shard: CheckedShard,
  data: ArrayBufferView,
  owned: NativeBuffer[],
): Promise<NativeBuffer> {
  const rowBytes = shard.hiddenSize * 2
  const rowStrideBytes = Math.ceil(shard.hiddenSize / 8) * 16
  const buffer = translateErrors(() => context.allocate(shard.vocabSize * rowStrideBytes))
  owned.push(buffer)
  await upload(buffer, data, 0, rowBytes, rowStrideBytes)
  return buffer
}
