/**
 * Heads whose weights lie in a caller's GPU buffer already.
 *
 * @module
 */
import {
  type BackendBuffer,
  type CheckedShard,
  invalidArgument,
  invalidType,
} from '@flashsampling/core'
import type { BufferRange } from './buffer-range.ts'
import type { DeviceState } from './device-state.ts'
import { BUFFER_USAGE, STAGE_COMPUTE } from './gpu-constants.ts'
import { checkBuffer } from './gpu-rows.ts'
import type { StorageLayout } from './storage.ts'

/** Weights in a caller's GPU buffer; made by {@link gpuWeight}. */
export interface GpuWeight extends BackendBuffer {
  /** Backends of this name read it. */
  readonly backend: 'webgpu'
  /** The caller's buffer. */
  readonly buffer: GPUBuffer
  /** First byte of the first row. */
  readonly offset: number
  /** Bytes from there to the end of the buffer. */
  readonly byteLength: number
}

const ACTION = 'load the LM head'

/**
 * Names the weights of a head that lie on the GPU, so that it is read where it is: nothing is copied.
 *
 * Take it as `data` of a head of `f32`, `f16` or `bf16` whose `hiddenSize` is a multiple of 8. The buffer stays the
 * caller's: it must live, unchanged, as long as the samplers that read it, and disposing these does not destroy it. It
 * belongs to the sampler's device, was created with `GPUBufferUsage.STORAGE`, and has the rows one behind the other,
 * `[vocabSize, hiddenSize]`. Padding, scales and zero points of other formats are laid out on loading: pass typed arrays
 * for these.
 *
 * @param buffer - The buffer.
 * @param offset - First byte of the first row: a multiple of the device's `minStorageBufferOffsetAlignment`, 256 on most.
 * @returns The weights.
 * @throws {TypeError} when `buffer` is no `GPUBuffer`, or lacks `GPUBufferUsage.STORAGE`.
 * @throws {RangeError} when `offset` lies outside the buffer.
 * @example
 * ```ts
 * import { createLmHeadSampler, gpuWeight } from '@flashsampling/webgpu'
 *
 * const device = await (await globalThis.navigator?.gpu?.requestAdapter())?.requestDevice()
 * if (device !== undefined) {
 *   const usage = 0x80 | 0x08 // GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST
 *   const buffer = device.createBuffer({ size: 1000 * 64 * 2, usage })
 *   const lmHead = { dtype: 'f16', vocabSize: 1000, hiddenSize: 64, data: gpuWeight(buffer) } as const
 *   const sampler = await createLmHeadSampler({ device, lmHead })
 *   await sampler.dispose()
 *   buffer.destroy()
 * }
 * ```
 */
export function gpuWeight(buffer: GPUBuffer, offset = 0): GpuWeight {
  checkBuffer(buffer, 'buffer', ACTION)
  if ((buffer.usage & BUFFER_USAGE.STORAGE) === 0) {
    throw new TypeError(
      `Cannot ${ACTION} as "buffer" must have GPUBufferUsage.STORAGE: current usage is ${buffer.usage}`,
    )
  }
  if (!Number.isSafeInteger(offset) || offset < 0 || offset > buffer.size) {
    const rule = `a whole number from 0 to ${buffer.size}, the size of the buffer`
    throw invalidArgument(ACTION, 'offset', rule, offset)
  }
  return { backend: 'webgpu', buffer, offset, byteLength: buffer.size - offset }
}

/**
 * Checks weights on the GPU against what kernels read.
 *
 * @param shard - Checked by core; its data is no typed array.
 * @param layout - Its layout on the GPU.
 * @param limits - Limits of the device.
 * @returns The weights.
 * @throws {TypeError} when another backend owns them, or they were not made by `gpuWeight()`.
 * @throws {RangeError} when storage, width or alignment do not let kernels read them where they are.
 */
export function checkGpuWeight(
  { dtype, hiddenSize, data }: CheckedShard,
  layout: StorageLayout,
  limits: GPUSupportedLimits,
): GpuWeight {
  const { backend, buffer, offset } = data as Partial<GpuWeight>
  if (backend !== 'webgpu' || buffer === undefined || offset === undefined) {
    const rule = 'a typed array, or what gpuWeight() returns'
    throw invalidType(ACTION, 'lmHead.data', rule, data)
  }
  if (layout.numBlocks > 0) {
    const rule =
      'f32, f16 or bf16 for weights in a GPUBuffer: scales and offsets of quantised heads are laid out on loading'
    throw invalidArgument(ACTION, 'lmHead.dtype', rule, dtype)
  }
  if (hiddenSize % 8 !== 0) {
    const rule =
      'a multiple of 8 for weights in a GPUBuffer: other rows are padded on loading, as kernels read eight elements at a time'
    throw invalidArgument(ACTION, 'lmHead.hiddenSize', rule, hiddenSize)
  }
  const alignment = limits.minStorageBufferOffsetAlignment
  if (offset % alignment !== 0) {
    const rule = `a multiple of ${alignment}, the device's minStorageBufferOffsetAlignment`
    throw invalidArgument(ACTION, 'lmHead.data.offset', rule, offset)
  }
  return data as GpuWeight
}

/**
 * Lets the device check a caller's buffer before the first draw does: that it is the device's own, and not destroyed.
 *
 * @param state - The device.
 * @param range - What kernels will bind.
 * @throws {WebGpuError} when the device refuses it.
 * @throws {DeviceLostError} when the device is lost.
 */
export async function tryBinding(state: DeviceState, range: BufferRange): Promise<void> {
  const { device } = state
  const { checked } = state.capture(ACTION, () => {
    const layout = device.createBindGroupLayout({
      label: 'flashsampling weight',
      entries: [
        { binding: 0, visibility: STAGE_COMPUTE, buffer: { type: 'read-only-storage' as const } },
      ],
    })
    const entries = [{ binding: 0, resource: range }]
    const group = device.createBindGroup({ label: 'flashsampling weight', layout, entries })
    const encoder = device.createCommandEncoder({ label: 'flashsampling weight' })
    const pass = encoder.beginComputePass()
    pass.setBindGroup(0, group)
    pass.end()
    device.queue.submit([encoder.finish()])
  })
  await checked
}
