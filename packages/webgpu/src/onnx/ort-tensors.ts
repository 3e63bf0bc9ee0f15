/**
 * Tensors of onnxruntime-web as rows in GPU memory. The package is described by its shape and never imported: any of its
 * builds will do.
 *
 * @module
 */
import { invalidArgument, invalidType } from '@flashsampling/core'
import type { GpuRows } from '../gpu-rows.ts'
import { UnsupportedTensorError } from './errors.ts'

/** What the adapter uses of a tensor of onnxruntime. */
export interface OrtTensor {
  /** Type of the elements, for example `float32`. */
  readonly type: string
  /** Shape. */
  readonly dims: readonly number[]
  /** Where the data is, for example `gpu-buffer`. */
  readonly location: string
  /** Its buffer; throws where the data is elsewhere. */
  readonly gpuBuffer: unknown
}

/**
 * What the adapter uses of onnxruntime-web: the module itself, `import * as ort from 'onnxruntime-web/webgpu'`.
 *
 * @typeParam T - Tensors that it makes.
 */
export interface OrtModule<T> {
  /** Its settings. */
  readonly env: {
    /** Those of WebGPU. */
    readonly webgpu: {
      /** The device of its sessions. */
      readonly device: unknown
    }
  }
  /** Its class of tensors. */
  readonly Tensor: {
    /** Makes a tensor over a buffer. */
    // biome-ignore lint/suspicious/noExplicitAny: the type of a GPU buffer depends on the program's libraries
    fromGpuBuffer(buffer: any, options: { dataType: 'int64'; dims: readonly number[] }): T
  }
}

const ACTION = 'sample tokens'

/**
 * The device of an onnxruntime-web module.
 *
 * @param ort - The module.
 * @param own - The device that its sessions were given, if they were given one.
 * @returns That device, or the one that the module made for its first session.
 * @throws {TypeError} when it is no onnxruntime-web with WebGPU, or has no device yet.
 */
export async function deviceOf<T>(ort: OrtModule<T>, own?: GPUDevice): Promise<GPUDevice> {
  const device = own ?? ((await ort?.env?.webgpu?.device) as GPUDevice | undefined)
  if (
    typeof device?.createBuffer === 'function' &&
    typeof ort.Tensor?.fromGpuBuffer === 'function'
  ) {
    return device
  }
  throw invalidType(
    'create a sampler for onnxruntime-web',
    'ort',
    'the module "onnxruntime-web/webgpu" with a session on WebGPU, which brings a GPUDevice',
    device,
  )
}

/**
 * Finds the rows to sample from: one position of each sequence, or rows of a matrix.
 *
 * @param tensor - `[batchSize, sequenceLength, width]`, or `[numRows, width]`.
 * @param width - Elements of a row.
 * @param positions - Position in each sequence, by default the last one; rows of a matrix, by default all.
 * @returns The rows.
 * @throws {UnsupportedTensorError} when the tensor is not on the GPU, or of another type or shape.
 * @throws {RangeError} when a position is outside the sequence, or their number is not that of the sequences.
 */
export function rowsOf(
  tensor: OrtTensor,
  width: number,
  positions: readonly number[] | undefined,
): GpuRows {
  if (typeof tensor !== 'object' || tensor === null || !Array.isArray(tensor.dims)) {
    throw invalidType(ACTION, 'tensor', 'a tensor of onnxruntime-web', tensor)
  }
  checkTensor(tensor, width)
  const dtype = tensor.type === 'float32' ? 'f32' : 'f16'
  const rowBytes = width * (dtype === 'f32' ? 4 : 2)
  const offsets = rowNumbers(tensor.dims, positions).map((row) => row * rowBytes)
  return { buffer: tensor.gpuBuffer as GPUBuffer, offsets, dtype }
}

function checkTensor({ type, dims, location }: OrtTensor, width: number): void {
  const shape = `${type} [${dims.join(', ')}]`
  if (location !== 'gpu-buffer') {
    const remedy =
      location === 'none'
        ? 'sample before you dispose it'
        : "create the session with preferredOutputLocation: 'gpu-buffer' and leave the data there"
    throw unfit('must be on the GPU', `${shape} on ${location}`, remedy)
  }
  if (type !== 'float32' && type !== 'float16') {
    throw unfit('must be of float32 or float16', shape, 'cast it in the model')
  }
  if ((dims.length !== 2 && dims.length !== 3) || dims.at(-1) !== width) {
    const rule = `must be [batchSize, sequenceLength, ${width}] or [numRows, ${width}]`
    throw unfit(rule, shape, 'pass the output that belongs to the head')
  }
  if (dims.includes(0)) throw unfit('must not be empty', shape, 'pass a row at least')
}

function rowNumbers(dims: readonly number[], positions: readonly number[] | undefined): number[] {
  const [first = 0, second = 0] = dims
  const isMatrix = dims.length === 2
  const length = isMatrix ? first : second
  const chosen =
    positions ?? (isMatrix ? [...Array(first).keys()] : new Array<number>(first).fill(length - 1))
  if (!isMatrix && chosen.length !== first) {
    throw invalidArgument(ACTION, 'positions', `one for each of ${first} sequences`, positions)
  }
  return chosen.map((position, i) => {
    if (!Number.isInteger(position) || position < 0 || position >= length) {
      throw invalidArgument(ACTION, `positions[${i}]`, `a whole number below ${length}`, position)
    }
    return isMatrix ? position : i * length + position
  })
}

function unfit(rule: string, found: string, remedy: string): UnsupportedTensorError {
  return new UnsupportedTensorError(
    `Cannot ${ACTION} as the tensor ${rule}: current one is ${found}; ${remedy}`,
    found,
  )
}
