/**
 * Reads LM heads out of ONNX files.
 *
 * @module
 */
import { readAffine } from './affine-head.ts'
import { appendBias } from './bias-columns.ts'
import { readScales, viewF32, viewU16 } from './element-views.ts'
import { UnsupportedOnnxModelError } from './errors.ts'
import { type FoundHead, findHead } from './find-head.ts'
import { dataTypeName, type OnnxModelBytes, type OnnxTensor, parseModel } from './graph.ts'
import type { NBitsHead } from './head-product.ts'
import type { OnnxLmHead } from './onnx-lm-head.ts'
import { type ExternalDataLoader, readTensorBytes } from './tensor-data.ts'

/** Options of {@link readOnnxLmHead}. */
export interface ReadOnnxLmHeadOptions {
  /** Reads files beside the model; needed where the head's weights lie in one. @defaultValue none */
  loadExternalData?: ExternalDataLoader | undefined
  /** Name of the output with the logits. @defaultValue `logits`, or the only name that ends so */
  logitsOutput?: string | undefined
  /**
   * Name of a constant `[vocabSize, hiddenSize]` of f32, f16 or bf16 to take as the head, for models that were exported
   * without theirs but share it with the embedding. @defaultValue the head that the logits come from
   */
  initializer?: string | undefined
}

/**
 * Reads the LM head of a model: of `MatMul`, `Gemm` and `FusedMatMul` as f32, f16 or bf16; of `MatMulNBits`, weights
 * behind `DequantizeLinear` and `MatMulInteger` as `nbits4` or `nbits8`.
 *
 * No weight is rounded. Those that are stored as `[hiddenSize, vocabSize]` are turned around; where the order is right, the
 * result's arrays are views of `model`. A bias becomes a column of the weight, so that `hiddenSize` is that of the body
 * that {@link cutOnnxLmHead} writes: its hidden states end in ones.
 *
 * @param model - The ONNX file, also one that {@link cutOnnxLmHead} wrote.
 * @param options - Where files beside the model are read from, and which output or constant to take.
 * @returns The head, ready for `createSampler` or a sampler of this package.
 * @throws {InvalidOnnxModelError} when the bytes are no ONNX model, or weights are missing.
 * @throws {UnsupportedOnnxModelError} when the model has no head that can be fused; says what it has.
 */
export async function readOnnxLmHead(
  model: OnnxModelBytes,
  options: ReadOnnxLmHeadOptions = {},
): Promise<OnnxLmHead> {
  const { loadExternalData: load, initializer } = options
  const parsed = parseModel(model)
  if (initializer !== undefined) {
    const tensor = parsed.initializers.get(initializer)
    if (tensor === undefined) throw missingInitializer(initializer, parsed.initializers)
    return readNamed(tensor, load)
  }
  const found = findHead(parsed, options.logitsOutput)
  if (found.scale !== 1) {
    throw new UnsupportedOnnxModelError(
      `Cannot read the LM head as the logits of the ONNX model are its product times ${found.scale}, which cutting it ` +
        'off moves into the hidden states: read it from the head that cutOnnxLmHead() wrote',
      `the scale ${found.scale}`,
    )
  }
  const head = await readStored(found, load)
  if (found.bias === null) return head
  const { tensor } = found.bias
  const bias = readScales(tensor, await readTensorBytes(tensor, load))
  return appendBias(head, bias, found.paddedColumns)
}

async function readStored(
  { vocabSize, hiddenSize, storage }: FoundHead,
  load: ExternalDataLoader | undefined,
): Promise<OnnxLmHead> {
  const sizes = { vocabSize, hiddenSize }
  if (storage.kind === 'nbits') return { ...sizes, ...(await readNBits(storage, load)) }
  if (storage.kind === 'affine') return readAffine(storage, vocabSize, hiddenSize, load)
  const { tensor } = storage.weight
  const { dtype, data } = await readDense(tensor, load)
  if (storage.isRowMajor) return { dtype, ...sizes, data }
  return { dtype, ...sizes, data: transpose(data, hiddenSize, vocabSize) }
}

function missingInitializer(
  name: string,
  known: ReadonlyMap<string, OnnxTensor>,
): UnsupportedOnnxModelError {
  const matrices = [...known.values()]
    .filter((tensor) => tensor.dims.length === 2)
    .sort((a, b) => (b.dims[0] as number) - (a.dims[0] as number))
  const shown = matrices.slice(0, 4).map((tensor) => `${tensor.name} [${tensor.dims.join(', ')}]`)
  return new UnsupportedOnnxModelError(
    `Cannot read the LM head as the ONNX model has no constant named "${name}": ` +
      `its tallest matrices are ${shown.join('; ') || 'none'}`,
    shown.join('; '),
  )
}

async function readNamed(
  tensor: OnnxTensor,
  load: ExternalDataLoader | undefined,
): Promise<OnnxLmHead> {
  const [vocabSize = 0, hiddenSize = 0] = tensor.dims
  if (tensor.dims.length !== 2 || DENSE_DTYPES[tensor.dataType] === undefined) {
    const found = `${dataTypeName(tensor.dataType)} [${tensor.dims.join(', ')}]`
    throw new UnsupportedOnnxModelError(
      `Cannot read the LM head as "${tensor.name}" must be a matrix of float32, float16 or bfloat16: current one is ${found}`,
      found,
    )
  }
  return { vocabSize, hiddenSize, ...(await readDense(tensor, load)) }
}

const DENSE_DTYPES: Readonly<Record<number, 'f32' | 'f16' | 'bf16'>> = {
  1: 'f32',
  10: 'f16',
  16: 'bf16',
}

async function readDense(
  tensor: OnnxTensor,
  load: ExternalDataLoader | undefined,
): Promise<{ dtype: 'f32' | 'f16' | 'bf16'; data: Float32Array | Uint16Array }> {
  const bytes = await readTensorBytes(tensor, load)
  const dtype = DENSE_DTYPES[tensor.dataType] ?? 'f32'
  return { dtype, data: dtype === 'f32' ? viewF32(bytes) : viewU16(bytes) }
}

async function readNBits(
  storage: NBitsHead,
  load: ExternalDataLoader | undefined,
): Promise<Pick<OnnxLmHead, 'dtype' | 'data' | 'quantization'>> {
  const { bits, blockSize, quants, scales, zeroPoints } = storage
  const scaleBytes = await readTensorBytes(scales.tensor, load)
  const data = await readTensorBytes(quants.tensor, load)
  return {
    dtype: bits === 4 ? 'nbits4' : 'nbits8',
    data,
    quantization: {
      blockSize,
      scales: readScales(scales.tensor, scaleBytes),
      zeroPoints: zeroPoints ? await readTensorBytes(zeroPoints.tensor, load) : undefined,
    },
  }
}

/** Elements of a square that is turned around at a time: its lines stay in a first-level cache. */
const SQUARE = 32

/** `[rows, columns]` as `[columns, rows]`. */
function transpose<T extends Float32Array | Uint16Array>(
  source: T,
  rows: number,
  columns: number,
): T {
  const target = (
    source instanceof Float32Array
      ? new Float32Array(source.length)
      : new Uint16Array(source.length)
  ) as T
  for (let row = 0; row < rows; row += SQUARE) {
    const rowEnd = Math.min(row + SQUARE, rows)
    for (let column = 0; column < columns; column += SQUARE) {
      const columnEnd = Math.min(column + SQUARE, columns)
      for (let c = column; c < columnEnd; c++) {
        for (let r = row; r < rowEnd; r++) {
          target[c * rows + r] = source[r * columns + c] as number
        }
      }
    }
  }
  return target
}
