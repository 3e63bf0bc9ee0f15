/**
 * Runs passes over a head on the GPU: memory, dispatches and what is read back. `sample-pass.ts` and `ranking/` say what
 * a pass does.
 *
 * @module
 */
import type { NoiseScheme } from '@flashsampling/core'
import type { BufferRange } from './buffer-range.ts'
import { type DestinationWords, type EncodedCall, encodeCall, type Task } from './call-layout.ts'
import type { DeviceState } from './device-state.ts'
import { ShaderCompileError } from './errors.ts'
import { MAP_MODE_READ } from './gpu-constants.ts'
import type { GpuHead } from './gpu-head.ts'
import type { PlacedRows } from './gpu-rows.ts'
import type { CompiledKernel, Kernel } from './kernel.ts'
import { chooseWalk, type TileSource, type TileVariant } from './kernels.ts'
import { Workspace } from './workspace.ts'

/** Hidden states or logits of a call: in memory, or in a buffer of the device. */
export type RowSource = { data: Float32Array; batchSize: number } | PlacedRows

/** The kernels of a dispatch over tiles, one for each piece of the head. */
export interface TileKernels {
  /** Rows of a workgroup. */
  rows: number
  numTasks: number
  kernels: CompiledKernel[]
}

/** A bind group with what it was made of. */
interface BoundRanges {
  layout: GPUBindGroupLayout
  ranges: readonly BufferRange[]
  group: GPUBindGroup
}

/** Few, as a group keeps a caller's buffer from being collected. */
const KEPT_GROUPS = 16

const ACTION = 'sample tokens'

/** Passes of one head, one after the other, as they share the workspace. */
export class PassRunner {
  readonly head: GpuHead
  readonly noiseScheme: NoiseScheme
  readonly workspace: Workspace
  readonly #state: DeviceState
  readonly #source: TileSource
  /** Bind groups of the last dispatches: calls mostly bind what the one before did. */
  readonly #groups: BoundRanges[] = []

  /**
   * @param state - The device.
   * @param head - What is sampled from; stays the caller's.
   * @param source - Where the head's raw logits come from.
   * @param noiseScheme - Noise of every draw.
   */
  constructor(state: DeviceState, head: GpuHead, source: TileSource, noiseScheme: NoiseScheme) {
    this.#state = state
    this.#source = source
    this.head = head
    this.noiseScheme = noiseScheme
    this.workspace = new Workspace(state.device)
  }

  /**
   * Writes a call in words.
   *
   * @param tasks - What is to be done.
   * @param rows - Where the tasks' rows lie.
   * @param destination - Where token ids go beside; by default nowhere.
   * @returns The words.
   */
  encode(
    tasks: readonly Task[],
    rows: RowSource,
    destination: DestinationWords = { words: 0, at: 0 },
  ): EncodedCall {
    const { numTiles, numChunks } = this.head
    // A chunk of f32 is two elements of its buffer.
    const rowStart = (row: number): number =>
      'data' in rows ? row * numChunks * 2 : (rows.starts[row] as number)
    return encodeCall(tasks, { numTiles, noiseScheme: this.noiseScheme, destination, rowStart })
  }

  /**
   * Compiles a kernel, or finds it compiled.
   *
   * @param kernel - The kernel.
   * @returns Its pipeline.
   * @throws {ShaderCompileError} when the device refuses it; its messages have the names of the sources.
   */
  async compile(kernel: Kernel): Promise<CompiledKernel> {
    try {
      return await this.#state.pipelines.get(kernel)
    } catch (error) {
      if (!(error instanceof ShaderCompileError)) throw error
      const names = await import('./source-names.ts').catch(() => null)
      throw names?.withSourceNames(error) ?? error
    }
  }

  /**
   * Compiles the kernels of a dispatch over tiles.
   *
   * @param tasks - What is to be done.
   * @param rows - Where the tasks' rows lie.
   * @param isListed - Whether tiles list their best tokens.
   * @param kernel - Makes the kernel of a piece.
   * @returns The kernels.
   */
  async compileTiles(
    tasks: readonly Task[],
    rows: RowSource,
    isListed: boolean,
    kernel: (variant: TileVariant) => Kernel,
  ): Promise<TileKernels> {
    const { noiseScheme } = this
    const { tuning, pieces } = this.head
    // The least power of two that holds the batch, as far as the tuning goes.
    const mostRows = Math.min(...pieces.map(({ layout }) => chooseWalk(tuning, layout).rows))
    let numRows = 1
    while (numRows < tasks.length && numRows < mostRows) numRows *= 2
    const common = {
      source: this.#source,
      tuning,
      hidden: 'data' in rows ? 'f32' : rows.format,
      rows: numRows,
      noiseScheme,
      isListed,
    } as const
    const kernels = await Promise.all(
      pieces.map(({ layout, chunkSources }) =>
        this.compile(kernel({ ...common, layout, chunkSources })),
      ),
    )
    return { rows: numRows, numTasks: tasks.length, kernels }
  }

  /**
   * Encodes and submits commands, and reads back what they copied.
   *
   * @param allocated - Bytes that the commands need, for messages where they do not fit.
   * @param readBytes - Bytes to read back.
   * @param encode - Encodes; `staging` is the buffer that is read back, `null` where nothing is.
   * @returns The bytes.
   */
  async run(
    allocated: number,
    readBytes: number,
    encode: (encoder: GPUCommandEncoder, staging: GPUBuffer | null) => void,
  ): Promise<ArrayBuffer> {
    const { device } = this.#state
    const mappedBytes = Math.ceil(readBytes / 4) * 4
    const { value, checked } = this.#state.capture(
      ACTION,
      () => {
        const staging = readBytes > 0 ? this.workspace.get('readback', readBytes) : null
        const encoder = device.createCommandEncoder({ label: 'flashsampling' })
        encode(encoder, staging)
        device.queue.submit([encoder.finish()])
        // Asked for before the errors are known: a turn of the event loop less for each call.
        return { staging, mapped: staging?.mapAsync(MAP_MODE_READ, 0, mappedBytes) }
      },
      allocated + readBytes,
    )
    const { staging, mapped } = value
    const [failed, unmapped] = await Promise.allSettled([checked, mapped])
    if (failed.status === 'rejected') {
      staging?.unmap()
      throw failed.reason
    }
    if (unmapped.status === 'rejected') return this.#state.explain(ACTION, unmapped.reason)
    if (staging === null) return new ArrayBuffer(0)
    const copy = staging.getMappedRange(0, mappedBytes).slice(0, readBytes)
    staging.unmap()
    return copy
  }

  /** Adds a dispatch over all tiles: one for each piece of the head. */
  dispatchTiles(
    pass: GPUComputePassEncoder,
    { rows, numTasks, kernels }: TileKernels,
    call: BufferRange,
    hidden: BufferRange,
    outputs: readonly BufferRange[],
  ): void {
    this.head.pieces.forEach(({ uniform, weight, scales, offsets, numTiles }, i) => {
      const ranges = [call, whole(uniform), hidden, weight, scales, offsets, ...outputs]
      const grid = [Math.ceil(numTasks / rows), numTiles] as const
      this.dispatch(pass, kernels[i] as CompiledKernel, ranges, grid)
    })
  }

  /** Adds a dispatch; ranges are its bindings, in order. */
  dispatch(
    pass: GPUComputePassEncoder,
    { pipeline, layout }: CompiledKernel,
    ranges: readonly BufferRange[],
    grid: readonly [number, number],
  ): void {
    pass.setPipeline(pipeline)
    pass.setBindGroup(0, this.#bind(layout, ranges))
    pass.dispatchWorkgroups(...grid)
  }

  #bind(layout: GPUBindGroupLayout, ranges: readonly BufferRange[]): GPUBindGroup {
    const isSame = (range: BufferRange, i: number): boolean => {
      const { buffer, offset, size } = ranges[i] as BufferRange
      return range.buffer === buffer && range.offset === offset && range.size === size
    }
    const found = this.#groups.find(
      (group) => group.layout === layout && group.ranges.every(isSame),
    )
    if (found !== undefined) return found.group
    const entries = ranges.map((resource, binding) => ({ binding, resource }))
    const group = this.#state.device.createBindGroup({ layout, entries })
    this.#groups.push({ layout, ranges, group })
    if (this.#groups.length > KEPT_GROUPS) this.#groups.shift()
    return group
  }

  /** Brings a call's words to the GPU. */
  writeCall({ words }: EncodedCall): BufferRange {
    const buffer = this.workspace.get('call', words.byteLength)
    this.#state.device.queue.writeBuffer(buffer, 0, words as Uint32Array<ArrayBuffer>)
    return whole(buffer)
  }

  /** Brings rows to where kernels read them. */
  placeRows(encoder: GPUCommandEncoder, source: RowSource): BufferRange {
    if (!('data' in source)) {
      if (source.range !== null) return source.range
      const target = this.workspace.get('hidden', source.copiedBytes)
      // Columns behind the row's end count as zero.
      encoder.clearBuffer(target, 0, source.copiedBytes)
      for (const { from, to, byteLength } of source.copies) {
        encoder.copyBufferToBuffer(source.source, from, target, to, byteLength)
      }
      return whole(target)
    }
    const { hiddenSize, numChunks } = this.head
    const { data, batchSize } = source
    const stride = numChunks * 8
    const buffer = this.workspace.get('hidden', batchSize * stride * 4)
    let rows = data
    if (stride !== hiddenSize) {
      rows = new Float32Array(batchSize * stride)
      for (let row = 0; row < batchSize; row++) {
        rows.set(data.subarray(row * hiddenSize, (row + 1) * hiddenSize), row * stride)
      }
    }
    this.#state.device.queue.writeBuffer(buffer, 0, rows as Float32Array<ArrayBuffer>)
    return whole(buffer)
  }

  /** Frees the workspace. */
  destroy(): void {
    this.#groups.length = 0
    this.workspace.destroy()
  }
}

/** All of a buffer. */
export function whole(buffer: GPUBuffer): BufferRange {
  return { buffer, offset: 0, size: buffer.size }
}
