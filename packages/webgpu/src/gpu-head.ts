/**
 * A head in GPU memory: pieces that fit one binding each.
 *
 * @module
 */
import { type CheckedShard, UnsupportedDeviceError } from '@flashsampling/core'
import type { BufferRange } from './buffer-range.ts'
import type { DeviceState } from './device-state.ts'
import { BUFFER_USAGE } from './gpu-constants.ts'
import { checkGpuWeight, type GpuWeight, tryBinding } from './gpu-weight.ts'
import { CHUNK_BYTES, chunksPerLoad, type StorageLayout, storageLayout } from './storage.ts'
import type { Tuning } from './tuning.ts'
import { loadWeightFormat, type WeightFormat } from './weight-format.ts'

/** Rows of the vocabulary that one dispatch works on. */
export interface HeadPiece {
  layout: StorageLayout | 'logits'
  /** The file that reads the weights, behind its includes; empty for logits. */
  chunkSources: readonly string[]
  weight: BufferRange
  scales: BufferRange
  offsets: BufferRange
  /** What the shaders know as `shard`. */
  uniform: GPUBuffer
  numTokens: number
  numTiles: number
}

/** A head in GPU memory. */
export interface GpuHead {
  pieces: HeadPiece[]
  /** Shapes of its kernels. */
  tuning: Tuning
  /** Tiles of all pieces. */
  numTiles: number
  /** Chunks of eight elements in a row. */
  numChunks: number
  hiddenSize: number
  /** One past the highest token id. */
  vocabSize: number
  /** Memory of weights, scales and offsets that was allocated for the head, bytes. */
  byteLength: number
  /** Frees what was allocated for the head. */
  destroy(): void
}

/**
 * Rows of a piece are a multiple of one of these, so that each part of a larger buffer begins where bindings may: at a
 * multiple of 256 bytes. Rows of a dense head, the only ones in a caller's buffer, are a multiple of 16 bytes.
 */
const ROW_GRANULARITIES = [256, 16]

/** Most bytes that are converted and handed to the queue at a time. */
const UPLOAD_BYTES = 32 * 2 ** 20

const ACTION = 'load the LM head'

/** Rows of a shard that one piece can hold. */
export function rowsPerPiece(
  layout: StorageLayout,
  limits: GPUSupportedLimits,
  tile: number,
): number {
  const { maxStorageBufferBindingSize, maxBufferSize, maxComputeWorkgroupsPerDimension } = limits
  const bytes = Math.min(maxStorageBufferBindingSize, maxBufferSize)
  const largestRow = Math.max(
    layout.rowBytes,
    layout.numBlocks * layout.scaleBytes,
    layout.offsetRowBytes,
  )
  const rows = Math.min(Math.floor(bytes / largestRow), maxComputeWorkgroupsPerDimension * tile)
  if (rows < 1) {
    throw new UnsupportedDeviceError(
      ACTION,
      `maxStorageBufferBindingSize and maxBufferSize of at least ${largestRow} bytes, one row`,
      `${bytes} bytes`,
    )
  }
  const granularity = ROW_GRANULARITIES.find((step) => rows >= step) ?? 1
  return rows - (rows % granularity)
}

/**
 * Uploads a head, in as many pieces as the device's limits ask for. Weights in a caller's buffer stay there.
 *
 * @param state - The device.
 * @param shards - Checked by core, ascending.
 * @returns The head, owned by the caller.
 * @throws {TypeError} when another backend owns the weights.
 * @throws {RangeError} when kernels cannot read a caller's buffer as it lies.
 * @throws {WebGpuError} when a caller's buffer is another device's, or destroyed.
 * @throws {OutOfMemoryError} when the GPU has not enough memory.
 * @throws {ModuleLoadError} when the file for quantised heads does not load; a later call may.
 * @throws {UnsupportedDeviceError} when not even one row fits a binding.
 * @throws {DeviceLostError} when the device is lost.
 */
export async function uploadHead(
  state: DeviceState,
  shards: readonly CheckedShard[],
): Promise<GpuHead> {
  const buffers: GPUBuffer[] = []
  const destroy = (): void => {
    for (const buffer of buffers) buffer.destroy()
  }
  const pieces: HeadPiece[] = []
  let numTiles = 0
  let byteLength = 0
  try {
    for (const shard of shards) {
      const layout = storageLayout(shard, state.tuning.wideScales)
      const { limits } = state.device
      const ready = ArrayBuffer.isView(shard.data) ? null : checkGpuWeight(shard, layout, limits)
      const maxRows = rowsPerPiece(layout, limits, state.tuning.tile)
      const format = await loadWeightFormat(layout)
      for (let start = 0; start < shard.vocabSize; start += maxRows) {
        const numTokens = Math.min(maxRows, shard.vocabSize - start)
        const place = { start, numTokens, numTiles }
        const piece =
          ready === null
            ? await uploadPiece(state, shard, layout, format, place, buffers)
            : await bindPiece(state, shard.vocabStart, layout, format, place, ready, buffers)
        pieces.push(piece)
        numTiles += piece.numTiles
        if (ready === null) byteLength += piece.weight.size
        byteLength += piece.scales.size + piece.offsets.size
      }
    }
  } catch (error) {
    destroy()
    throw error
  }
  const last = shards.at(-1) as CheckedShard
  const { hiddenSize } = last
  const vocabSize = last.vocabStart + last.vocabSize
  const numChunks = Math.ceil(hiddenSize / 8)
  const { tuning } = state
  return { pieces, tuning, numTiles, numChunks, hiddenSize, vocabSize, byteLength, destroy }
}

async function uploadPiece(
  state: DeviceState,
  shard: CheckedShard,
  layout: StorageLayout,
  format: WeightFormat,
  place: { start: number; numTokens: number; numTiles: number },
  buffers: GPUBuffer[],
): Promise<HeadPiece> {
  const { start, numTokens } = place
  const rowBytes = {
    weight: layout.rowBytes,
    scales: layout.numBlocks * layout.scaleBytes,
    offsets: layout.offsetRowBytes,
  }
  const sizes = Object.values(rowBytes).map((bytes) => Math.max(16, alignUp(numTokens * bytes, 4)))
  const total = sizes.reduce((sum, size) => sum + size, 0)
  const { device } = state
  const { value, checked } = state.capture(
    ACTION,
    () => {
      const created = sizes.map((size, i) =>
        device.createBuffer({
          label: `flashsampling ${['weight', 'scales', 'offsets'][i]}`,
          size,
          usage: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_DST,
        }),
      )
      buffers.push(...created)
      const piece = describePiece(state, layout, shard.vocabStart + start, place)
      buffers.push(piece.uniform)
      return { created, piece }
    },
    total,
  )
  await checked
  const [weight, scales, offsets] = value.created as [GPUBuffer, GPUBuffer, GPUBuffer]
  const rowsAtOnce = uploadRows(layout)
  for (let row = 0; row < numTokens; row += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, numTokens - row)
    const source = sourceRows(shard, start + row, rows)
    const part = format.convertRows(shard, layout, source, start + row, rows)
    const upload = state.capture(ACTION, () => {
      write(device, weight, row * rowBytes.weight, part.weight)
      if (part.scales !== null) write(device, scales, row * rowBytes.scales, part.scales)
      if (part.offsets !== null) write(device, offsets, row * rowBytes.offsets, part.offsets)
    })
    await upload.checked
  }
  const range = (buffer: GPUBuffer): BufferRange => ({ buffer, offset: 0, size: buffer.size })
  return {
    ...{ ...value.piece, chunkSources: format.chunkSources },
    ...{ weight: range(weight), scales: range(scales), offsets: range(offsets) },
  }
}

/** The piece over a part of a caller's buffer; allocates what kernels bind beside it. */
async function bindPiece(
  state: DeviceState,
  vocabStart: number,
  layout: StorageLayout,
  format: WeightFormat,
  place: { start: number; numTokens: number; numTiles: number },
  { buffer, offset }: GpuWeight,
  buffers: GPUBuffer[],
): Promise<HeadPiece> {
  const { start, numTokens } = place
  const size = numTokens * layout.rowBytes
  const weight = { buffer, offset: offset + start * layout.rowBytes, size }
  await tryBinding(state, weight)
  const { value, checked } = state.capture(ACTION, () => {
    const unused = state.device.createBuffer({ size: 16, usage: BUFFER_USAGE.STORAGE })
    buffers.push(unused)
    const piece = describePiece(state, layout, vocabStart + start, place)
    buffers.push(piece.uniform)
    return { piece, unused: { buffer: unused, offset: 0, size: 16 } }
  })
  await checked
  const { chunkSources } = format
  return { ...value.piece, chunkSources, weight, scales: value.unused, offsets: value.unused }
}

/** The caller's bytes of rows, counted from the start of the shard; data is in memory. */
function sourceRows({ data, vocabSize }: CheckedShard, firstRow: number, numRows: number) {
  const { buffer, byteOffset, byteLength } = data as Float32Array | Uint16Array | Uint8Array
  const rowBytes = byteLength / vocabSize
  return new Uint8Array(buffer, byteOffset + firstRow * rowBytes, numRows * rowBytes)
}

/** Rows of one upload: a multiple of 4, so that every part begins at a whole word. */
function uploadRows(layout: StorageLayout): number {
  return Math.max(4, Math.floor(UPLOAD_BYTES / layout.rowBytes / 4) * 4)
}

function write(device: GPUDevice, buffer: GPUBuffer, offset: number, bytes: Uint8Array): void {
  const whole = bytes.byteLength - (bytes.byteLength % 4)
  if (whole > 0) {
    device.queue.writeBuffer(buffer, offset, bytes.buffer as ArrayBuffer, bytes.byteOffset, whole)
  }
  if (whole < bytes.byteLength) {
    // The last part alone: copies are whole words.
    const tail = new Uint8Array(4)
    tail.set(bytes.subarray(whole))
    device.queue.writeBuffer(buffer, offset + whole, tail)
  }
}

/** The piece without its buffers of weights; allocates and fills its uniform buffer. */
function describePiece(
  { device, tuning }: { device: GPUDevice; tuning: Tuning },
  layout: StorageLayout | 'logits',
  vocabStart: number,
  { numTokens, numTiles }: { numTokens: number; numTiles: number },
): Omit<HeadPiece, 'chunkSources' | 'weight' | 'scales' | 'offsets'> {
  // As `Shard` of src/shaders/include/tile.wgsl.
  const words = new Uint32Array(8)
  words.set([vocabStart, numTokens])
  if (layout !== 'logits') {
    words[2] = layout.numChunks
    words[3] = layout.rowBytes / CHUNK_BYTES[layout.chunk] / chunksPerLoad(layout)
    words[4] = Math.log2(layout.blockSize / 8)
    words[5] = layout.numBlocks
    words[6] = layout.offsetRowBytes
  }
  words[7] = numTiles
  const uniform = device.createBuffer({
    label: 'flashsampling shard',
    size: words.byteLength,
    usage: BUFFER_USAGE.UNIFORM | BUFFER_USAGE.COPY_DST,
  })
  device.queue.writeBuffer(uniform, 0, words)
  return { layout, uniform, numTokens, numTiles: Math.ceil(numTokens / tuning.tile) }
}

/** Tokens of a tile of logits: nothing is multiplied, so that a thread takes one each. */
const LOGITS_TILE = 256

/**
 * What stands for a head where logits are in memory already.
 *
 * @param state - The device.
 * @param vocabSize - Logits of a row.
 * @returns The head, owned by the caller.
 */
export async function logitsHead(state: DeviceState, vocabSize: number): Promise<GpuHead> {
  const tuning = { ...state.tuning, tile: LOGITS_TILE }
  const { device } = state
  const { value, checked } = state.capture('create a sampler', () => {
    const place = { numTokens: vocabSize, numTiles: 0 }
    const unused = device.createBuffer({ size: 16, usage: BUFFER_USAGE.STORAGE })
    return { piece: describePiece({ device, tuning }, 'logits', 0, place), unused }
  })
  await checked
  const { piece, unused } = value
  const range = { buffer: unused, offset: 0, size: 16 }
  const destroy = (): void => {
    unused.destroy()
    piece.uniform.destroy()
  }
  const logits = { ...piece, chunkSources: [], weight: range, scales: range, offsets: range }
  return {
    ...{ pieces: [logits], tuning },
    ...{ numTiles: piece.numTiles, numChunks: 0, hiddenSize: 0, vocabSize, byteLength: 0, destroy },
  }
}

function alignUp(value: number, step: number): number {
  return Math.ceil(value / step) * step
}
