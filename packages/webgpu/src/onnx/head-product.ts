/**
 * The matrix product of an LM head: which operations compute one, and where their weights are stored.
 *
 * @module
 */
import { UnsupportedOnnxModelError } from './errors.ts'
import { dataTypeName, type OnnxModel, type OnnxNode, type OnnxTensor } from './graph.ts'
import { type TracedConstant, traceConstant } from './trace-constant.ts'

/** A dense head: `logits = hiddenStates · weight`. */
export interface DenseHead {
  kind: 'dense'
  weight: TracedConstant
  /** Whether the stored tensor is `[vocabSize, hiddenSize]` already. */
  isRowMajor: boolean
}

/** A `MatMulNBits` head. */
export interface NBitsHead {
  kind: 'nbits'
  bits: 4 | 8
  blockSize: number
  quants: TracedConstant
  scales: TracedConstant
  zeroPoints: TracedConstant | null
}

/** A head of whole numbers, as `DequantizeLinear` and `MatMulInteger` take it: a weight is `scale * (quant - zeroPoint)`. */
export interface AffineHead {
  kind: 'affine'
  bits: 4 | 8
  /** Elements of a row that a block takes once the head is read as `nbits`. */
  blockSize: number
  quants: OnnxTensor
  /** Whether the stored tensor is `[vocabSize, hiddenSize]` already. */
  isRowMajor: boolean
  scales: OnnxTensor
  zeroPoints: OnnxTensor | null
  /** What shares a scale: all weights, a row of the vocabulary, or a block of a row. */
  grouping: 'tensor' | 'row' | 'block'
}

/** A product with the constants that it multiplies with. */
export interface HeadProduct {
  /** Tensor that it multiplies: the hidden states. */
  hidden: string
  /** `TensorProto.DataType` of the hidden states. */
  hiddenDataType: number
  vocabSize: number
  hiddenSize: number
  storage: DenseHead | NBitsHead | AffineHead
  /** Name of the bias that the operation itself adds; empty when there is none. */
  bias: string
}

export const REMEDY =
  'sample from its logits with createOnnxLogitsSampler(), or export it without the LM head'

/** Says that a product has something that cannot be fused. */
export function unfitHead(node: OnnxNode, rule: string, found: string): UnsupportedOnnxModelError {
  return new UnsupportedOnnxModelError(
    `Cannot use the LM head of the ONNX model as fused sampling needs a ${node.op} that ${rule}: ` +
      `current one has ${found}; ${REMEDY}`,
    found,
  )
}

/** Operations that are a product, with their domains. */
export const PRODUCTS: Readonly<Record<string, string>> = {
  MatMul: '',
  Gemm: '',
  FusedMatMul: 'com.microsoft',
  MatMulNBits: 'com.microsoft',
}

/**
 * Reads an operation of {@link PRODUCTS}.
 *
 * @param model - Parsed model.
 * @param node - The operation.
 * @returns The product.
 * @throws {UnsupportedOnnxModelError} when it cannot be fused.
 */
export function readProduct(model: OnnxModel, node: OnnxNode): HeadProduct {
  return node.op === 'MatMulNBits' ? readNBits(model, node) : readDense(model, node)
}

function readDense(model: OnnxModel, node: OnnxNode): HeadProduct {
  const attribute = (name: string): number => node.attributes.get(name)?.integer ?? 0
  const [hidden = '', weightName = '', bias = ''] = node.inputs
  const weight = traceConstant(model, weightName, true)
  if (weight === null) {
    const origin = model.producers.get(weightName)?.op ?? 'an input of the model'
    throw unfitHead(node, `multiplies with constants of the model`, `weights from ${origin}`)
  }
  for (const name of ['alpha', ...(bias === '' ? [] : ['beta'])]) {
    const factor = node.attributes.get(name)
    if (factor === undefined || factor.float === 1) continue
    throw unfitHead(node, 'scales by 1', `${name} ${factor.float}`)
  }
  if (
    attribute('transA') !== 0 ||
    attribute('transBatchA') !== 0 ||
    attribute('transBatchB') !== 0
  ) {
    throw unfitHead(node, 'takes hidden states as they are', 'a transposition of them')
  }
  const dims = weight.tensor.dims.slice(weight.tensor.dims.findIndex((dim) => dim !== 1))
  if (dims.length !== 2) {
    throw unfitHead(node, 'has a matrix as weight', `the shape [${weight.tensor.dims.join(', ')}]`)
  }
  const [rows = 0, columns = 0] = dims
  // MatMul takes [hiddenSize, vocabSize]; each transposition on the way turns what is stored around.
  const isRowMajor = weight.isTransposed !== (attribute('transB') !== 0)
  const [vocabSize, hiddenSize] = isRowMajor ? [rows, columns] : [columns, rows]
  checkHiddenType(node, weight.dataType)
  const shape = { hidden, hiddenDataType: weight.dataType, vocabSize, hiddenSize, bias }
  if (weight.dequantize !== null) {
    return { ...shape, storage: readDequantized(model, node, weight, isRowMajor) }
  }
  checkWeightType(node, weight)
  return { ...shape, storage: { kind: 'dense', weight, isRowMajor } }
}

function readNBits(model: OnnxModel, node: OnnxNode): HeadProduct {
  const attribute = (name: string): number => node.attributes.get(name)?.integer ?? 0
  const [hidden = '', quantsName = '', scalesName = '', zerosName = '', order = '', bias = ''] =
    node.inputs
  const bits = attribute('bits') || 4
  if (bits !== 4 && bits !== 8) throw unfitHead(node, 'has 4 or 8 bits', `${bits} bits`)
  if (order !== '') throw unfitHead(node, 'keeps the order of columns', `the order ${order}`)
  const constant = (name: string, role: string): TracedConstant => {
    const traced = traceConstant(model, name)
    if (traced === null || traced.isTransposed) {
      throw unfitHead(node, `has ${role} that are constants of the model`, `"${name}"`)
    }
    return traced
  }
  const quants = constant(quantsName, 'quants')
  const scales = constant(scalesName, 'scales')
  const zeroPoints = zerosName === '' ? null : constant(zerosName, 'zero points')
  const zerosType = zeroPoints?.tensor.dataType ?? 2
  if (zerosType !== 2) {
    throw unfitHead(node, 'packs zero points as uint8', `zero points of ${dataTypeName(zerosType)}`)
  }
  checkHiddenType(node, scales.dataType)
  checkWeightType(node, scales)
  return {
    ...{ hidden, hiddenDataType: scales.dataType, bias },
    ...{ vocabSize: attribute('N'), hiddenSize: attribute('K') },
    storage: {
      ...{ kind: 'nbits', bits, blockSize: attribute('block_size'), quants, scales, zeroPoints },
    },
  }
}

/** Bits of the whole numbers that weights may be stored in: uint8, int8, uint4, int4. */
const QUANT_BITS: Readonly<Record<number, 4 | 8>> = { 2: 8, 3: 8, 21: 4, 22: 4 }

function readDequantized(
  model: OnnxModel,
  node: OnnxNode,
  { tensor: quants, dequantize, dataType }: TracedConstant,
  isRowMajor: boolean,
): AffineHead {
  const [, scalesName = '', zerosName = ''] = dequantize?.inputs ?? []
  const attribute = (name: string): number | null =>
    dequantize?.attributes.get(name)?.integer ?? null
  const blockSize = attribute('block_size') ?? 0
  const axis = attribute('axis') ?? 1
  const scales = model.initializers.get(scalesName) as OnnxTensor
  checkWeightType(node, { tensor: scales, dataType })
  const isByRow = (axis < 0 ? axis + 2 : axis) === (isRowMajor ? 0 : 1)
  const sharesOne = scales.dims.every((dim) => dim === 1)
  const isBlocked = blockSize > 0
  if (isBlocked ? isByRow || ![16, 32, 64, 128, 256].includes(blockSize) : !sharesOne && !isByRow) {
    const found = isBlocked ? `blocks of ${blockSize} along axis ${axis}` : `scales of axis ${axis}`
    const rule = 'takes a DequantizeLinear with scales of tokens, or of 16 to 256 elements of one'
    throw unfitHead(node, rule, found)
  }
  const grouping = isBlocked ? 'block' : sharesOne ? 'tensor' : 'row'
  const block = isBlocked ? { blockSize } : {}
  const zeroPoints = constantOrNull(model, node, zerosName)
  return { ...affineHead(node, quants, isRowMajor, scales, zeroPoints, grouping), ...block }
}

function constantOrNull(model: OnnxModel, node: OnnxNode, name: string): OnnxTensor | null {
  if (name === '') return null
  const traced = traceConstant(model, name)
  if (traced === null) throw unfitHead(node, 'has constant zero points', `"${name}"`)
  return traced.tensor
}

function affineHead(
  node: OnnxNode,
  quants: OnnxTensor,
  isRowMajor: boolean,
  scales: OnnxTensor,
  zeroPoints: OnnxTensor | null,
  grouping: AffineHead['grouping'],
): AffineHead {
  const bits = QUANT_BITS[quants.dataType]
  if (bits === undefined || quants.dims.length !== 2) {
    const found = `${dataTypeName(quants.dataType)} [${quants.dims.join(', ')}]`
    throw unfitHead(node, 'multiplies a matrix of 4 or 8 bits', found)
  }
  const hiddenSize = quants.dims[isRowMajor ? 1 : 0] as number
  const blockSize = [256, 128, 64, 32].find((size) => hiddenSize % size === 0) ?? 16
  return { kind: 'affine', bits, blockSize, quants, isRowMajor, scales, zeroPoints, grouping }
}

/**
 * Reads the product of onnxruntime's dynamic quantisation: `MatMulInteger` of rounded hidden states, times the scales of
 * both sides.
 *
 * @param model - Parsed model.
 * @param scaling - The last multiplication: the product, behind a cast, times the scales.
 * @returns The product and its node; `null` when this is no such thing.
 * @throws {UnsupportedOnnxModelError} when it is one that cannot be fused.
 */
export function readIntegerProduct(
  model: OnnxModel,
  scaling: OnnxNode,
): { node: OnnxNode; product: HeadProduct } | null {
  const made = (name: string | undefined): OnnxNode | undefined => model.producers.get(name ?? '')
  const casts = scaling.inputs.map(made).map((node) => (node?.op === 'Cast' ? node : undefined))
  const cast = casts.find((node) => made(node?.inputs[0])?.op === 'MatMulInteger')
  const node = made(cast?.inputs[0])
  if (scaling.op !== 'Mul' || cast === undefined || node === undefined) return null
  const [rounded = '', quantsName = '', , zerosName = ''] = node.inputs
  const rounding = made(rounded)
  const scalesOfBoth = made(scaling.inputs.find((name) => !cast.outputs.includes(name)))
  const scalesName = scalesOfBoth?.inputs.find((name) => name !== rounding?.outputs[1]) ?? ''
  const quants = traceConstant(model, quantsName)
  const scales = traceConstant(model, scalesName)
  if (rounding?.op !== 'DynamicQuantizeLinear' || quants === null || scales === null) {
    const found = `${rounding?.op ?? 'an input'} and "${quantsName}"`
    throw unfitHead(node, 'takes hidden states of DynamicQuantizeLinear and constants', found)
  }
  const isRowMajor = quants.isTransposed
  const { dims } = quants.tensor
  const grouping = scales.tensor.dims.every((dim) => dim === 1) ? 'tensor' : 'row'
  const zeroPoints = constantOrNull(model, node, zerosName)
  const storage = affineHead(node, quants.tensor, isRowMajor, scales.tensor, zeroPoints, grouping)
  const [rows = 0, columns = 0] = dims
  const [vocabSize, hiddenSize] = isRowMajor ? [rows, columns] : [columns, rows]
  const hidden = rounding.inputs[0] ?? ''
  return {
    node,
    product: { hidden, hiddenDataType: FLOAT32, vocabSize, hiddenSize, storage, bias: '' },
  }
}

const FLOAT32 = 1
const FLOAT16 = 10
const BFLOAT16 = 16

function checkHiddenType(node: OnnxNode, dataType: number): void {
  if (dataType === FLOAT32 || dataType === FLOAT16) return
  throw unfitHead(node, 'multiplies float32 or float16', dataTypeName(dataType))
}

/** Weights are stored in a type that the operation's own holds exactly. */
function checkWeightType(
  node: OnnxNode,
  { tensor, dataType }: Pick<TracedConstant, 'tensor' | 'dataType'>,
): void {
  const stored = tensor.dataType
  const widens = dataType === FLOAT32 && (stored === FLOAT16 || stored === BFLOAT16)
  if (stored === dataType || widens) return
  const [from, to] = [dataTypeName(stored), dataTypeName(dataType)]
  throw unfitHead(node, 'takes weights as they are stored', `${from} cast to ${to}`)
}
