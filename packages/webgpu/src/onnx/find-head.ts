/**
 * Finds the LM head: the last matrix product on the way to the logits, and the constants that it multiplies with.
 *
 * @module
 */
import { UnsupportedOnnxModelError } from './errors.ts'
import { dataTypeName, type OnnxModel, type OnnxNode, type OnnxTensor } from './graph.ts'
import { readConstantIntegers } from './tensor-data.ts'

/** A constant as an operation sees it: a tensor behind casts and transpositions. */
export interface TracedConstant {
  /** The tensor that is stored. */
  tensor: OnnxTensor
  /** `TensorProto.DataType` that the operation sees. */
  dataType: number
  /** Whether the operation sees its transpose. */
  isTransposed: boolean
}

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

/** What {@link findHead} found. */
export interface FoundHead {
  /** The matrix product. */
  node: OnnxNode
  /** Tensor that it multiplies: the hidden states. */
  hiddenTensor: string
  /** `TensorProto.DataType` of the hidden states. */
  hiddenDataType: number
  vocabSize: number
  hiddenSize: number
  /** Graph output that the product ends in. */
  logitsOutput: string
  /** Whether nothing but the product lies between hidden states and output. */
  isDirect: boolean
  storage: DenseHead | NBitsHead
}

const ACTION = 'Cannot find the LM head of the ONNX model'
const REMEDY =
  'sample from its logits with createOnnxLogitsSampler(), or export it without the LM head'

/**
 * Finds the LM head of a model.
 *
 * @param model - Parsed model.
 * @param logitsOutput - Name of the graph output with the logits; by default `logits`, or the only name that ends so.
 * @returns The head.
 * @throws {UnsupportedOnnxModelError} when there is none, or none that can be fused.
 */
export function findHead(model: OnnxModel, logitsOutput?: string): FoundHead {
  const output = chooseLogits(model, logitsOutput)
  const { node, isDirect } = findProduct(model, output)
  const { hidden, ...head } =
    node.op === 'MatMulNBits' ? readNBits(model, node) : readDense(model, node)
  const lastDim = model.outputs.find(({ name }) => name === output)?.dims?.at(-1)
  if (lastDim !== undefined && lastDim !== null && lastDim !== head.vocabSize) {
    const found = `${lastDim} logits of ${head.vocabSize}`
    throw unfitHead(node, 'makes as many logits as the model has tokens', found)
  }
  return { node, hiddenTensor: hidden, logitsOutput: output, isDirect, ...head }
}

function chooseLogits(model: OnnxModel, wanted: string | undefined): string {
  const names = model.outputs.map(({ name }) => name)
  if (wanted === undefined && names.includes('logits')) return 'logits'
  const fitting = names.filter((name) =>
    wanted === undefined ? /logits$/i.test(name) : name === wanted,
  )
  if (fitting.length === 1) return fitting[0] as string
  const shown = names.slice(0, 4).join(', ') + (names.length > 4 ? ', ...' : '')
  throw new UnsupportedOnnxModelError(
    `${ACTION} as no output is named "${wanted ?? 'logits'}": current outputs are ${shown}; ` +
      'name the right one as "logitsOutput", or, for a model exported without its head, the weight as "initializer"',
    shown,
  )
}

const PRODUCTS: Readonly<Record<string, string>> = {
  MatMul: '',
  Gemm: '',
  FusedMatMul: 'com.microsoft',
  MatMulNBits: 'com.microsoft',
}
/** Operations that may stand between the product and the output: they change neither values nor the vocabulary. */
const TRANSPARENT = ['Cast', 'Identity', 'Reshape', 'Squeeze', 'Unsqueeze']

function findProduct(model: OnnxModel, output: string): { node: OnnxNode; isDirect: boolean } {
  const passed: string[] = []
  // Known up to the first operation that changes it.
  let rank = model.outputs.find(({ name }) => name === output)?.dims?.length ?? null
  for (let name = output; ; ) {
    const node = model.producers.get(name)
    if (node === undefined) throw unfit(output, [...passed, 'no operation'])
    if (PRODUCTS[node.op] === node.domain) return { node, isDirect: passed.length === 0 }
    passed.push(node.op)
    const isRowChoice = choosesRows(model, node, rank)
    if (node.domain !== '' || !(TRANSPARENT.includes(node.op) || isRowChoice)) {
      const before = model.producers.get(node.inputs[0] ?? '')
      throw unfit(output, before === undefined ? passed : [...passed, before.op])
    }
    if (node.op !== 'Cast' && node.op !== 'Identity') rank = null
    name = node.inputs[0] ?? ''
  }
}

function unfit(output: string, chain: readonly string[]): UnsupportedOnnxModelError {
  const found = chain.join(' <- ')
  return new UnsupportedOnnxModelError(
    `${ACTION} as "${output}" must come from MatMul, Gemm or MatMulNBits, through ${TRANSPARENT.join(', ')} ` +
      `or a Slice or Gather of positions at most: current origin is ${found}; ${REMEDY}`,
    found,
  )
}

/** Whether an operation picks positions of the sequence and leaves the vocabulary, the last axis, alone. */
function choosesRows(model: OnnxModel, node: OnnxNode, outputRank: number | null): boolean {
  if (outputRank === null) return false
  if (node.op === 'Gather') {
    const index = traceConstant(model, node.inputs[1] ?? '')
    const axis = node.attributes.get('axis')?.integer ?? 0
    const inputRank = index === null ? null : outputRank + 1 - index.tensor.dims.length
    return axis === 0 || (inputRank !== null && axis > 0 && axis < inputRank - 1)
  }
  const axes = node.attributes.get('axes')?.integers ?? constantIntegers(model, node.inputs[3])
  const keeps = (axis: number): boolean => (axis < 0 ? axis < -1 : axis < outputRank - 1)
  return node.op === 'Slice' && axes !== null && axes.every(keeps)
}

function constantIntegers(model: OnnxModel, name: string | undefined): number[] | null {
  const constant = traceConstant(model, name ?? '')
  return constant === null ? null : readConstantIntegers(constant.tensor)
}

/**
 * Follows a tensor back to the constant it is made from, through casts, transpositions and identities.
 *
 * @param model - Parsed model.
 * @param name - Tensor.
 * @returns The constant; `null` when the tensor is none.
 */
export function traceConstant(model: OnnxModel, name: string): TracedConstant | null {
  const initializer = model.initializers.get(name)
  if (initializer !== undefined) {
    return { tensor: initializer, dataType: initializer.dataType, isTransposed: false }
  }
  const node = model.producers.get(name)
  if (node === undefined || node.domain !== '') return null
  if (node.op === 'Constant') {
    const tensor = node.attributes.get('value')?.tensor
    return tensor ? { tensor, dataType: tensor.dataType, isTransposed: false } : null
  }
  const source = traceConstant(model, node.inputs[0] ?? '')
  if (source === null || node.op === 'Identity') return source
  if (node.op === 'Cast') {
    return { ...source, dataType: node.attributes.get('to')?.integer ?? 0 }
  }
  const swaps = (node.attributes.get('perm')?.integers ?? [1, 0]).join() === '1,0'
  if (node.op !== 'Transpose' || !swaps) return null
  return { ...source, isTransposed: !source.isTransposed }
}

type HeadParts = Omit<FoundHead, 'node' | 'hiddenTensor' | 'logitsOutput' | 'isDirect'> & {
  hidden: string
}

function readDense(model: OnnxModel, node: OnnxNode): HeadParts {
  const attribute = (name: string): number => node.attributes.get(name)?.integer ?? 0
  const [hidden = '', weightName = '', bias = ''] = node.inputs
  const weight = traceConstant(model, weightName)
  if (weight === null) {
    const origin = model.producers.get(weightName)?.op ?? 'an input of the model'
    throw unfitHead(node, `multiplies with constants of the model`, `weights from ${origin}`)
  }
  if (node.op === 'Gemm' && bias !== '') throw unfitHead(node, 'adds nothing', `the bias ${bias}`)
  const alpha = node.attributes.get('alpha')
  if (alpha !== undefined && alpha.float !== 1) {
    throw unfitHead(node, 'scales by 1', `alpha ${alpha.float}`)
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
  const hiddenDataType = weight.dataType
  checkHiddenType(node, hiddenDataType)
  checkWeightType(node, weight)
  return {
    hidden,
    hiddenDataType,
    vocabSize,
    hiddenSize,
    storage: { kind: 'dense', weight, isRowMajor },
  }
}

function readNBits(model: OnnxModel, node: OnnxNode): HeadParts {
  const attribute = (name: string): number => node.attributes.get(name)?.integer ?? 0
  const [hidden = '', quantsName = '', scalesName = '', zerosName = '', order = '', bias = ''] =
    node.inputs
  const bits = attribute('bits') || 4
  if (bits !== 4 && bits !== 8) throw unfitHead(node, 'has 4 or 8 bits', `${bits} bits`)
  if (order !== '') throw unfitHead(node, 'keeps the order of columns', `the order ${order}`)
  if (bias !== '') throw unfitHead(node, 'adds nothing', `the bias ${bias}`)
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
    hidden,
    hiddenDataType: scales.dataType,
    vocabSize: attribute('N'),
    hiddenSize: attribute('K'),
    storage: {
      kind: 'nbits',
      bits,
      blockSize: attribute('block_size'),
      quants,
      scales,
      zeroPoints,
    },
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
function checkWeightType(node: OnnxNode, { tensor, dataType }: TracedConstant): void {
  const stored = tensor.dataType
  const widens = dataType === FLOAT32 && (stored === FLOAT16 || stored === BFLOAT16)
  if (stored === dataType || widens) return
  const [from, to] = [dataTypeName(stored), dataTypeName(dataType)]
  throw unfitHead(node, 'takes weights as they are stored', `${from} cast to ${to}`)
}

function unfitHead(node: OnnxNode, rule: string, found: string): UnsupportedOnnxModelError {
  return new UnsupportedOnnxModelError(
    `Cannot use the LM head of the ONNX model as fused sampling needs a ${node.op} that ${rule}: ` +
      `current one has ${found}; ${REMEDY}`,
    found,
  )
}
