/**
 * Runs passes over a head on the GPU.
 *
 * @module
 */
import type { NoiseScheme } from '@flashsampling/core'
import { type DestinationWords, encodeCall, type Task } from './call-layout.ts'
import type { DeviceState } from './device-state.ts'
import { MAP_MODE_READ } from './gpu-constants.ts'
import type { BufferRange, GpuHead, HeadPiece } from './gpu-head.ts'
import type { CompiledKernel } from './kernel.ts'
import { type HiddenFormat, LIST_ENTRIES, mergeSampleKernel, tileSampleKernel } from './kernels.ts'
import { Workspace } from './workspace.ts'

/** Hidden states of a call: in memory, or in a buffer of the device. */
export type HiddenSource =
  | { data: Float32Array; batchSize: number }
  | { range: BufferRange; format: HiddenFormat }

/** Where token ids go. */
export interface Destination extends DestinationWords {
  range: BufferRange
}

/** What a pass is asked for. */
export interface PassOptions {
  /** Whether log-probabilities are read back. */
  readsLogprobs: boolean
  /** Whether token ids are read back. */
  readsTokens: boolean
  destination: Destination | null
}

/** What was read back; empty arrays where nothing was. */
export interface PassResult {
  /** One entry a draw; negative where the row has no result. */
  tokenIds: Int32Array
  logprobs: Float32Array
}

const ACTION = 'sample tokens'

const BYTES = { candidate: 16, mass: 16, listEntry: 8 } as const

/** Passes of one head. */
export class Engine {
  readonly #state: DeviceState
  readonly #head: GpuHead
  readonly #noiseScheme: NoiseScheme
  readonly workspace: Workspace

  constructor(state: DeviceState, head: GpuHead, noiseScheme: NoiseScheme) {
    this.#state = state
    this.#head = head
    this.#noiseScheme = noiseScheme
    this.workspace = new Workspace(state.device)
  }

  /**
   * Draws and makes masses and lists: one dispatch for each piece of the head, and one to merge.
   *
   * @param tasks - Rows with their draws.
   * @param hidden - Hidden states that the tasks' rows point into.
   * @param options - What to read back.
   * @returns What was read back.
   */
  async sample(
    tasks: readonly Task[],
    hidden: HiddenSource,
    options: PassOptions,
  ): Promise<PassResult> {
    const { numTiles } = this.#head
    const { destination, readsLogprobs, readsTokens } = options
    const call = encodeCall(tasks, {
      numTiles,
      noiseScheme: this.#noiseScheme,
      destination: destination ?? { words: 0, at: 0 },
    })
    const format = 'format' in hidden ? hidden.format : 'f32'
    const rows = this.#rowsPerWorkgroup(tasks.length)
    const isListed = call.numLists > 0
    const [tileKernels, merge] = await Promise.all([
      Promise.all(
        this.#head.pieces.map((piece) => this.#tileKernel(piece, { rows, format, isListed })),
      ),
      this.#state.pipelines.get(mergeSampleKernel(this.#state.tuning)),
    ])
    const readWords = (readsTokens ? call.numSlots : 0) + (readsLogprobs ? call.numSlots : 0)
    const sizes = {
      candidates: call.numSlots * numTiles * BYTES.candidate,
      masses: tasks.length * numTiles * BYTES.mass,
      lists: call.numLists * numTiles * LIST_ENTRIES * BYTES.listEntry,
      results: call.numSlots * 8,
    }
    const requested = sizes.candidates + sizes.masses + sizes.lists + sizes.results
    const { device } = this.#state
    const { value: readback, checked } = this.#state.capture(
      ACTION,
      () => {
        const { workspace } = this
        const callBuffer = workspace.get('call', call.words.byteLength)
        device.queue.writeBuffer(callBuffer, 0, call.words as Uint32Array<ArrayBuffer>)
        const hiddenRange = this.#hiddenRange(hidden)
        const whole = (buffer: GPUBuffer): BufferRange => ({ buffer, offset: 0, size: buffer.size })
        const candidates = whole(workspace.get('candidates', sizes.candidates))
        const masses = whole(workspace.get('masses', sizes.masses))
        const lists = whole(workspace.get('lists', sizes.lists))
        const results = whole(workspace.get('results', sizes.results))
        const encoder = device.createCommandEncoder({ label: 'flashsampling sample' })
        const pass = encoder.beginComputePass({ label: 'flashsampling sample' })
        this.#head.pieces.forEach((piece, i) => {
          this.#dispatch(pass, tileKernels[i] as CompiledKernel, {
            ranges: [
              whole(callBuffer),
              whole(piece.uniform),
              hiddenRange,
              piece.weight,
              piece.scales,
              piece.offsets,
              candidates,
              masses,
              lists,
            ],
            grid: [Math.ceil(tasks.length / rows), piece.numTiles],
          })
        })
        if (call.numSlots > 0) {
          // Without a destination, something must be bound in its place that nothing else of the kernel uses.
          const target = destination?.range ?? lists
          this.#dispatch(pass, merge, {
            ranges: [whole(callBuffer), candidates, masses, results, target],
            grid: [call.numSlots, 1],
          })
        }
        pass.end()
        let staging: GPUBuffer | null = null
        if (readWords > 0) {
          staging = workspace.get('readback', readWords * 4)
          const from = readsTokens ? 0 : call.numSlots * 4
          encoder.copyBufferToBuffer(results.buffer, from, staging, 0, readWords * 4)
        }
        device.queue.submit([encoder.finish()])
        return staging
      },
      requested,
    )
    await checked
    const none = { tokenIds: new Int32Array(0), logprobs: new Float32Array(0) }
    if (readback === null) return none
    const bytes = await this.read(readback, readWords * 4)
    const split = readsTokens ? call.numSlots * 4 : 0
    return {
      tokenIds: new Int32Array(bytes.slice(0, split)),
      logprobs: new Float32Array(bytes.slice(split)),
    }
  }

  /**
   * Reads the first bytes of a mappable buffer.
   *
   * @param buffer - Buffer with the results of submitted work.
   * @param byteLength - Bytes.
   * @returns A copy.
   */
  async read(buffer: GPUBuffer, byteLength: number): Promise<ArrayBuffer> {
    try {
      await buffer.mapAsync(MAP_MODE_READ, 0, byteLength)
      const copy = buffer.getMappedRange(0, byteLength).slice(0)
      buffer.unmap()
      return copy
    } catch (cause) {
      return this.#state.explain(ACTION, cause)
    }
  }

  /** Frees the workspace. */
  destroy(): void {
    this.workspace.destroy()
  }

  /** Rows of a workgroup: the least power of two that holds the batch, as far as the tuning goes. */
  #rowsPerWorkgroup(numTasks: number): number {
    let rows = 1
    while (rows < numTasks && rows < this.#state.tuning.maxRows) rows *= 2
    return rows
  }

  #tileKernel(
    piece: HeadPiece,
    { rows, format, isListed }: { rows: number; format: HiddenFormat; isListed: boolean },
  ): Promise<CompiledKernel> {
    const { tuning, pipelines } = this.#state
    const { layout } = piece
    const noiseScheme = this.#noiseScheme
    return pipelines.get(
      tileSampleKernel({ tuning, layout, hidden: format, rows, noiseScheme, isListed }),
    )
  }

  #dispatch(
    pass: GPUComputePassEncoder,
    { pipeline, layout }: CompiledKernel,
    { ranges, grid }: { ranges: readonly BufferRange[]; grid: readonly [number, number] },
  ): void {
    pass.setPipeline(pipeline)
    const entries = ranges.map((resource, binding) => ({ binding, resource }))
    pass.setBindGroup(0, this.#state.device.createBindGroup({ layout, entries }))
    pass.dispatchWorkgroups(...grid)
  }

  #hiddenRange(hidden: HiddenSource): BufferRange {
    if ('range' in hidden) return hidden.range
    const { hiddenSize, numChunks } = this.#head
    const stride = numChunks * 8
    const size = hidden.batchSize * stride * 4
    const buffer = this.workspace.get('hidden', size)
    let rows = hidden.data
    if (stride !== hiddenSize) {
      rows = new Float32Array(hidden.batchSize * stride)
      for (let row = 0; row < hidden.batchSize; row++) {
        rows.set(hidden.data.subarray(row * hiddenSize, (row + 1) * hiddenSize), row * stride)
      }
    }
    this.#state.device.queue.writeBuffer(buffer, 0, rows as Float32Array<ArrayBuffer>)
    return { buffer, offset: 0, size: buffer.size }
  }
}
