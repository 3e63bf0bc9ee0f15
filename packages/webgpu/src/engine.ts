/**
 * Runs passes over a head on the GPU.
 *
 * @module
 */
import type { NoiseScheme, RankSum } from '@flashsampling/core'
import { type DestinationWords, type EncodedCall, encodeCall, type Task } from './call-layout.ts'
import type { DeviceState } from './device-state.ts'
import { MAP_MODE_READ } from './gpu-constants.ts'
import type { BufferRange, GpuHead } from './gpu-head.ts'
import type { PlacedRows } from './gpu-rows.ts'
import type { CompiledKernel, Kernel } from './kernel.ts'
import {
  ENTRY_WORDS,
  INTERVAL_WORDS,
  LIST_ENTRIES,
  MAX_PIVOTS,
  mergeListsKernel,
  mergeSampleKernel,
  type TileVariant,
  tileGatherKernel,
  tileRankKernel,
  tileSampleKernel,
} from './kernels.ts'
import { Workspace } from './workspace.ts'

/** Hidden states or logits of a call: in memory, or in a buffer of the device. */
export type RowSource = { data: Float32Array; batchSize: number } | PlacedRows

/** Where token ids go. */
export interface Destination extends DestinationWords {
  range: BufferRange
}

/** What of a pass's draws is read back: nothing, token ids, or also log-probabilities and reports. */
export type ReadPlanes = 0 | 1 | 2

/** Draws of a pass, as far as they were read back. */
export interface PassResult {
  /** One entry a draw; negative where the row has no result, see `TOKEN_STATUS`. */
  tokenIds: Int32Array
  logprobs: Float32Array
  /** One entry a list; `null` where the lists hold too little. */
  reports: (Report | null)[]
}

/** The token with the best score of each draw, whether or not it passes the filters. */
export interface BestScores {
  logits: Float32Array
  rawLogits: Float32Array
  scores: Float32Array
  tokenIds: Int32Array
}

/** The most likely tokens of a task. */
export interface Report {
  tokenIds: number[]
  logprobs: number[]
}

/** A listed token. */
export interface GpuListEntry {
  logit: number
  tokenId: number
  rawLogit: number
}

const ACTION = 'sample tokens'
const REPORT_OPEN = 0xffff_ffff

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
   * Draws: one dispatch for each piece of the head and one to merge; one more for rows with lists.
   *
   * @param tasks - Rows with their draws.
   * @param hidden - Hidden states that the tasks' rows point into.
   * @param options - What to read back, where token ids go beside, and, for measurements, how often to draw the same.
   * @returns What was read back.
   */
  async sample(
    tasks: readonly Task[],
    hidden: RowSource,
    {
      planes,
      destination,
      repeats = 1,
    }: { planes: ReadPlanes; destination: Destination | null; repeats?: number },
  ): Promise<PassResult> {
    const { numTiles } = this.#head
    const call = this.#encode(tasks, hidden, destination ?? { words: 0, at: 0 })
    const { numSlots, numLists, reportWords } = call
    const { pipelines } = this.#state
    const { tuning } = this.#head
    const [tiles, mergeSample, mergeLists] = await Promise.all([
      this.#compileTiles(tasks, hidden, numLists > 0, tileSampleKernel),
      pipelines.get(mergeSampleKernel(tuning)),
      numLists > 0 ? pipelines.get(mergeListsKernel(tuning, this.#noiseScheme)) : null,
    ])
    const sizes = {
      candidates: numSlots * numTiles * 16,
      masses: tasks.length * numTiles * 16,
      lists: numLists * numTiles * LIST_ENTRIES * ENTRY_WORDS * 4,
      results: numSlots * 24,
      reports: numLists * reportWords * 4,
    }
    const readsReports = planes === 2 && tasks.some(({ numReported }) => numReported > 0)
    const drawBytes = planes * numSlots * 4
    const readBytes = drawBytes + (readsReports ? sizes.reports : 0)
    const staging = await this.#submit(sizes, readBytes, (encoder, target) => {
      const { workspace } = this
      const callRange = this.#writeCall(call)
      const [candidates, masses, lists, results, reports] = (
        ['candidates', 'masses', 'lists', 'results', 'reports'] as const
      ).map((name) => whole(workspace.get(name, sizes[name]))) as [
        BufferRange,
        BufferRange,
        BufferRange,
        BufferRange,
        BufferRange,
      ]
      const hiddenRange = this.#prepareRows(encoder, hidden)
      const pass = encoder.beginComputePass({ label: 'flashsampling sample' })
      // Without a destination, something must be bound in its place that nothing else of the kernel uses.
      const memory = destination?.range ?? whole(workspace.get('unused', 16))
      const merged = [callRange, candidates, masses, results, memory]
      for (let repeat = 0; repeat < repeats; repeat++) {
        this.#dispatchTiles(pass, tiles, callRange, hiddenRange, [candidates, masses, lists])
        if (numSlots > 0) this.#dispatch(pass, mergeSample, merged, [numSlots, 1])
        if (mergeLists !== null) {
          this.#dispatch(pass, mergeLists, [...merged, lists, reports], [numLists, 1])
        }
      }
      pass.end()
      if (target === null) return
      if (drawBytes > 0) encoder.copyBufferToBuffer(results.buffer, 0, target, 0, drawBytes)
      if (readsReports) {
        encoder.copyBufferToBuffer(reports.buffer, 0, target, drawBytes, sizes.reports)
      }
    })
    const bytes = staging === null ? new ArrayBuffer(0) : await this.#read(staging, readBytes)
    const plane = (index: number): ArrayBuffer =>
      index < planes
        ? bytes.slice(index * numSlots * 4, (index + 1) * numSlots * 4)
        : bytes.slice(0, 0)
    return {
      tokenIds: new Int32Array(plane(0)),
      logprobs: new Float32Array(plane(1)),
      reports: readsReports
        ? Array.from({ length: numLists }, (_, list) =>
            readReport(bytes, drawBytes + list * reportWords * 4),
          )
        : [],
    }
  }

  /**
   * Reads the best scores of the pass before this call.
   *
   * @param numSlots - Draws of that pass.
   * @returns One entry a draw.
   */
  async readBest(numSlots: number): Promise<BestScores> {
    const planeBytes = numSlots * 4
    const readBytes = 4 * planeBytes
    const staging = await this.#submit({}, readBytes, (encoder, target) => {
      const results = this.workspace.get('results', numSlots * 24)
      encoder.copyBufferToBuffer(results, 2 * planeBytes, target as GPUBuffer, 0, readBytes)
    })
    const bytes = await this.#read(staging as GPUBuffer, readBytes)
    const plane = (index: number): ArrayBuffer =>
      bytes.slice(index * planeBytes, (index + 1) * planeBytes)
    return {
      logits: new Float32Array(plane(0)),
      rawLogits: new Float32Array(plane(1)),
      scores: new Float32Array(plane(2)),
      tokenIds: new Int32Array(plane(3)),
    }
  }

  /**
   * Reads masses and lists of the pass before this call.
   *
   * @param numTasks - Tasks of that pass.
   * @param numLists - Lists of that pass.
   * @returns Per task its log-mass; per list the listed tokens of each tile.
   */
  async readLists(
    numTasks: number,
    numLists: number,
  ): Promise<{ masses: { max: number; logMass: number }[]; lists: GpuListEntry[][][] }> {
    const { numTiles } = this.#head
    const massBytes = numTasks * numTiles * 16
    const listBytes = numLists * numTiles * LIST_ENTRIES * ENTRY_WORDS * 4
    const sizes = { readback: massBytes + listBytes }
    const staging = await this.#submit(sizes, sizes.readback, (encoder, target) => {
      if (target === null) return
      const { workspace } = this
      encoder.copyBufferToBuffer(workspace.get('masses', massBytes), 0, target, 0, massBytes)
      if (listBytes === 0) return
      const lists = workspace.get('lists', listBytes)
      encoder.copyBufferToBuffer(lists, 0, target, massBytes, listBytes)
    })
    const bytes = await this.#read(staging as GPUBuffer, sizes.readback)
    const values = new Float32Array(bytes)
    const words = new Uint32Array(bytes)
    const masses = Array.from({ length: numTasks }, (_, task) =>
      mergeMasses(values.subarray(task * numTiles * 4, (task + 1) * numTiles * 4)),
    )
    const lists = Array.from({ length: numLists }, (_, list) =>
      Array.from({ length: numTiles }, (_, tile) => {
        const at = massBytes / 4 + (list * numTiles + tile) * LIST_ENTRIES * ENTRY_WORDS
        return readEntries(values, words, at, LIST_ENTRIES)
      }),
    )
    return { masses, lists }
  }

  /**
   * Counts tokens and mass up to places in rank order, by one pass over the head.
   *
   * @param tasks - Rows with pivots; the logit of `boundary` is their unit of mass.
   * @param hidden - Hidden states.
   * @returns Sums, per task one for each pivot.
   */
  async rank(tasks: readonly Task[], hidden: RowSource): Promise<RankSum[][]> {
    const taskBytes = MAX_PIVOTS * INTERVAL_WORDS * 4
    const byteLength = tasks.length * taskBytes
    const words = new Uint32Array(await this.#secondPass(tasks, hidden, byteLength, tileRankKernel))
    return tasks.map(({ pivots }, task) => {
      let count = 0
      let mass = 0
      return pivots.map((_, pivot) => {
        const at = (task * taskBytes) / 4 + pivot * INTERVAL_WORDS
        const [number, ...limbs] = words.subarray(at, at + INTERVAL_WORDS) as unknown as number[]
        count += number as number
        mass += limbs.reduce((sum, limb, i) => sum + limb * 2 ** (-9 - 10 * i), 0)
        return { count, mass }
      })
    })
  }

  /**
   * Finds all tokens that do not rank behind a place, by one pass over the head.
   *
   * @param tasks - Rows with the place as `boundary`.
   * @param hidden - Hidden states.
   * @param capacity - Most tokens that a row may have there.
   * @returns Per task the tokens, in no order.
   */
  async gather(
    tasks: readonly Task[],
    hidden: RowSource,
    capacity: number,
  ): Promise<GpuListEntry[][]> {
    const byteLength = tasks.length * (1 + capacity * ENTRY_WORDS) * 4
    const bytes = await this.#secondPass(tasks, hidden, byteLength, (variant) =>
      tileGatherKernel(variant, capacity),
    )
    const values = new Float32Array(bytes)
    const words = new Uint32Array(bytes)
    return tasks.map((_, task) =>
      readEntries(
        values,
        words,
        tasks.length + task * capacity * ENTRY_WORDS,
        words[task] as number,
      ),
    )
  }

  /** Frees the workspace. */
  destroy(): void {
    this.workspace.destroy()
  }

  /** A pass whose result is one buffer of sums. */
  async #secondPass(
    tasks: readonly Task[],
    hidden: RowSource,
    byteLength: number,
    kernel: (variant: TileVariant) => Kernel,
  ): Promise<ArrayBuffer> {
    const call = this.#encode(tasks, hidden, { words: 0, at: 0 })
    const tiles = await this.#compileTiles(tasks, hidden, false, kernel)
    const staging = await this.#submit({ counts: byteLength }, byteLength, (encoder, target) => {
      const counts = this.workspace.get('counts', byteLength)
      const callRange = this.#writeCall(call)
      encoder.clearBuffer(counts, 0, byteLength)
      const hiddenRange = this.#prepareRows(encoder, hidden)
      const pass = encoder.beginComputePass({ label: 'flashsampling second pass' })
      this.#dispatchTiles(pass, tiles, callRange, hiddenRange, [whole(counts)])
      pass.end()
      encoder.copyBufferToBuffer(counts, 0, target as GPUBuffer, 0, byteLength)
    })
    return this.#read(staging as GPUBuffer, byteLength)
  }

  #encode(tasks: readonly Task[], hidden: RowSource, destination: DestinationWords): EncodedCall {
    const { numTiles, numChunks } = this.#head
    // A chunk of f32 is two elements of its buffer.
    const rowStart = (row: number): number =>
      'data' in hidden ? row * numChunks * 2 : (hidden.starts[row] as number)
    return encodeCall(tasks, { numTiles, noiseScheme: this.#noiseScheme, destination, rowStart })
  }

  /** Encodes and submits; gives the buffer to read from, if any. */
  async #submit(
    sizes: Readonly<Record<string, number>>,
    readBytes: number,
    encode: (encoder: GPUCommandEncoder, staging: GPUBuffer | null) => void,
  ): Promise<GPUBuffer | null> {
    const { device } = this.#state
    const requested = Object.values(sizes).reduce((sum, size) => sum + size, readBytes)
    const { value, checked } = this.#state.capture(
      ACTION,
      () => {
        const staging = readBytes > 0 ? this.workspace.get('readback', readBytes) : null
        const encoder = device.createCommandEncoder({ label: 'flashsampling' })
        encode(encoder, staging)
        device.queue.submit([encoder.finish()])
        return staging
      },
      requested,
    )
    await checked
    return value
  }

  async #read(buffer: GPUBuffer, byteLength: number): Promise<ArrayBuffer> {
    try {
      await buffer.mapAsync(MAP_MODE_READ, 0, Math.ceil(byteLength / 4) * 4)
      const copy = buffer.getMappedRange(0, Math.ceil(byteLength / 4) * 4).slice(0, byteLength)
      buffer.unmap()
      return copy
    } catch (cause) {
      return this.#state.explain(ACTION, cause)
    }
  }

  #compileTiles(
    tasks: readonly Task[],
    hidden: RowSource,
    isListed: boolean,
    kernel: (variant: TileVariant) => Kernel,
  ): Promise<{ rows: number; numTasks: number; kernels: CompiledKernel[] }> {
    const { pipelines } = this.#state
    const { tuning } = this.#head
    // The least power of two that holds the batch, as far as the tuning goes.
    let rows = 1
    while (rows < tasks.length && rows < tuning.maxRows) rows *= 2
    const format = 'data' in hidden ? 'f32' : hidden.format
    const noiseScheme = this.#noiseScheme
    const compiling = this.#head.pieces.map(({ layout }) =>
      pipelines.get(kernel({ tuning, layout, hidden: format, rows, noiseScheme, isListed })),
    )
    return Promise.all(compiling).then((kernels) => ({ rows, numTasks: tasks.length, kernels }))
  }

  #dispatchTiles(
    pass: GPUComputePassEncoder,
    { rows, numTasks, kernels }: { rows: number; numTasks: number; kernels: CompiledKernel[] },
    call: BufferRange,
    hidden: BufferRange,
    outputs: readonly BufferRange[],
  ): void {
    this.#head.pieces.forEach(({ uniform, weight, scales, offsets, numTiles }, i) => {
      const ranges = [call, whole(uniform), hidden, weight, scales, offsets, ...outputs]
      this.#dispatch(pass, kernels[i] as CompiledKernel, ranges, [
        Math.ceil(numTasks / rows),
        numTiles,
      ])
    })
  }

  #dispatch(
    pass: GPUComputePassEncoder,
    { pipeline, layout }: CompiledKernel,
    ranges: readonly BufferRange[],
    grid: readonly [number, number],
  ): void {
    pass.setPipeline(pipeline)
    const entries = ranges.map((resource, binding) => ({ binding, resource }))
    pass.setBindGroup(0, this.#state.device.createBindGroup({ layout, entries }))
    pass.dispatchWorkgroups(...grid)
  }

  #writeCall({ words }: EncodedCall): BufferRange {
    const buffer = this.workspace.get('call', words.byteLength)
    this.#state.device.queue.writeBuffer(buffer, 0, words as Uint32Array<ArrayBuffer>)
    return whole(buffer)
  }

  /** Brings the rows to where kernels read them. */
  #prepareRows(encoder: GPUCommandEncoder, hidden: RowSource): BufferRange {
    if (!('data' in hidden)) {
      if (hidden.range !== null) return hidden.range
      const { copies, copiedBytes, source } = hidden
      const target = this.workspace.get('hidden', copiedBytes)
      // Columns behind the row's end count as zero.
      encoder.clearBuffer(target, 0, copiedBytes)
      for (const { from, to, byteLength } of copies) {
        encoder.copyBufferToBuffer(source, from, target, to, byteLength)
      }
      return whole(target)
    }
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
    return whole(buffer)
  }
}

function whole(buffer: GPUBuffer): BufferRange {
  return { buffer, offset: 0, size: buffer.size }
}

function readReport(bytes: ArrayBuffer, at: number): Report | null {
  const view = new DataView(bytes, at)
  const count = view.getUint32(0, true)
  if (count === REPORT_OPEN) return null
  const report: Report = { tokenIds: [], logprobs: [] }
  for (let i = 0; i < count; i++) {
    report.tokenIds.push(view.getUint32(4 + 8 * i, true))
    report.logprobs.push(view.getFloat32(8 + 8 * i, true))
  }
  return report
}

/** Lowest finite fp32 value: what the kernels write for a token that cannot be drawn. */
const DEAD = -3.4028234663852886e38

function readEntries(
  values: Float32Array,
  words: Uint32Array,
  at: number,
  count: number,
): GpuListEntry[] {
  const entries: GpuListEntry[] = []
  for (let i = 0; i < count; i++) {
    const word = at + i * ENTRY_WORDS
    const logit = values[word] as number
    if (logit <= DEAD) break
    const tokenId = words[word + 1] as number
    entries.push({ logit, tokenId, rawLogit: values[word + 2] as number })
  }
  return entries
}

/** Maximum and log-sum-exp of tiles. */
function mergeMasses(tiles: Float32Array): { max: number; logMass: number } {
  let max = -Infinity
  for (let i = 0; i < tiles.length; i += 4) {
    const highest = tiles[i] as number
    if (highest > DEAD) max = Math.max(max, highest)
  }
  let sum = 0
  for (let i = 0; i < tiles.length; i += 4) {
    const highest = tiles[i] as number
    if (highest > DEAD) sum += (tiles[i + 1] as number) * Math.exp(highest - max)
  }
  return { max, logMass: max + Math.log(sum) }
}
