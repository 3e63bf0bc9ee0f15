/**
 * Finds the LM head: the last matrix product on the way to the logits, with what is done to it there.
 *
 * @module
 */
import { UnsupportedOnnxModelError } from './errors.ts'
import { dataTypeName, type OnnxModel, type OnnxNode } from './graph.ts'
import {
  type HeadProduct,
  PRODUCTS,
  REMEDY,
  readIntegerProduct,
  readProduct,
  unfitHead,
} from './head-product.ts'
import {
  constantIntegers,
  constantNumber,
  type TracedConstant,
  traceConstant,
} from './trace-constant.ts'

/** What {@link findHead} found. */
export interface FoundHead extends Omit<HeadProduct, 'hidden' | 'bias'> {
  /** The matrix product. */
  node: OnnxNode
  /** Tensor that it multiplies: the hidden states. */
  hiddenTensor: string
  /** The product, with the bias and without the scale. */
  productTensor: string
  /** Graph output that the product ends in. */
  logitsOutput: string
  /** Whether the product has the rows of the output. */
  isDirect: boolean
  /** Logits are the product times this. */
  scale: number
  /** What is added to the logits of each token; `null` when nothing is. */
  bias: TracedConstant | null
  /** Elements that follow hidden states so that the bias is a column of the weight: ones. */
  paddedColumns: number
}

const ACTION = 'Cannot find the LM head of the ONNX model'

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
  const tail = findProduct(model, output)
  const { node, product } = tail
  const { hidden, bias: ownBias, ...head } = product
  const lastDim = model.outputs.find(({ name }) => name === output)?.dims?.at(-1)
  if (lastDim !== undefined && lastDim !== null && lastDim !== head.vocabSize) {
    const found = `${lastDim} logits of ${head.vocabSize}`
    throw unfitHead(node, 'makes as many logits as the model has tokens', found)
  }
  const biasName = tail.bias || ownBias
  if (biasName !== '' && (tail.scale !== 1 || (tail.bias !== '' && ownBias !== ''))) {
    const found = tail.scale === 1 ? 'two biases' : `a bias and the scale ${tail.scale}`
    throw unfitHead(node, 'has a bias or a scale, not more', found)
  }
  const bias = biasName === '' ? null : readBias(model, node, product, biasName)
  return {
    ...head,
    ...{ node, hiddenTensor: hidden, logitsOutput: output, bias },
    ...{ productTensor: tail.productTensor, isDirect: tail.isDirect, scale: tail.scale },
    paddedColumns: bias === null ? 0 : biasColumns(node, product),
  }
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

/** Operations that may stand between the product and the output: they change neither values nor the vocabulary. */
const TRANSPARENT = ['Cast', 'Identity', 'Reshape', 'Squeeze', 'Unsqueeze']
/** Those among them, and others, that keep the rows as they are. */
const KEEPING_ROWS = ['Cast', 'Identity', 'Mul', 'Div', 'Add']

/** What operations that cannot be fused do, for messages. */
const MEANINGS: Readonly<Record<string, string>> = {
  Tanh: 'which caps the logits',
  If: 'a decoder of two branches: take the export with past keys and values alone',
  QuantizeLinear: 'which rounds the logits',
  MatMulBnb4: 'weights in a format of bitsandbytes: take an export with MatMulNBits',
  DynamicQuantizeMatMul: 'fused when the model was optimised: take the file from before',
  MatMulIntegerToFloat: 'fused when the model was optimised: take the file from before',
  QLinearMatMul: 'which rounds hidden states and logits',
}

/** A product with what follows it on the way to the output. */
interface Tail {
  node: OnnxNode
  product: HeadProduct
  productTensor: string
  isDirect: boolean
  scale: number
  /** Name of a bias that an operation of its own adds; empty when there is none. */
  bias: string
}

function findProduct(model: OnnxModel, output: string): Tail {
  const passed: string[] = []
  // Known up to the first operation that changes it.
  let rank = model.outputs.find(({ name }) => name === output)?.dims?.length ?? null
  let scale = 1
  let bias = ''
  let biased = ''
  for (let name = output; ; ) {
    const node = model.producers.get(name)
    if (node === undefined) throw unfit(output, [...passed, 'no operation'])
    const isDirect = passed.every((op) => KEEPING_ROWS.includes(op))
    const rest = { productTensor: biased || name, isDirect, scale, bias }
    if (PRODUCTS[node.op] === node.domain) {
      return { node, product: readProduct(model, node), ...rest }
    }
    const integer = node.domain === '' ? readIntegerProduct(model, node) : null
    if (integer !== null) return { ...integer, ...rest }
    passed.push(node.op)
    const factor = bias === '' ? readFactor(model, node) : null
    const term = scale === 1 && bias === '' ? readTerm(model, node) : null
    if (factor !== null) {
      scale *= factor.value
      name = factor.of
    } else if (term !== null) {
      bias = term.constant
      biased = name
      name = term.of
    } else {
      const isKept = TRANSPARENT.includes(node.op) || choosesRows(model, node, rank)
      if (node.domain !== '' || !isKept) {
        const before = model.producers.get(node.inputs[0] ?? '')
        throw unfit(output, before === undefined ? passed : [...passed, before.op])
      }
      if (node.op !== 'Cast' && node.op !== 'Identity') rank = null
      name = node.inputs[0] ?? ''
    }
  }
}

/** The factor of a multiplication with, or division by, one number. */
function readFactor(model: OnnxModel, node: OnnxNode): { of: string; value: number } | null {
  if (node.domain !== '' || (node.op !== 'Mul' && node.op !== 'Div')) return null
  const [a = '', b = ''] = node.inputs
  const right = constantNumber(model, b)
  const isUsable = (value: number): boolean => Number.isFinite(value) && value > 0
  if (right !== null) {
    const value = node.op === 'Mul' ? right : 1 / right
    return isUsable(value) ? { of: a, value } : null
  }
  const left = node.op === 'Mul' ? constantNumber(model, a) : null
  return left !== null && isUsable(left) ? { of: b, value: left } : null
}

/** The constant of an addition. */
function readTerm(model: OnnxModel, node: OnnxNode): { of: string; constant: string } | null {
  if (node.domain !== '' || node.op !== 'Add') return null
  const [a = '', b = ''] = node.inputs
  if (traceConstant(model, b) !== null) return { of: a, constant: b }
  return traceConstant(model, a) !== null ? { of: b, constant: a } : null
}

function readBias(
  model: OnnxModel,
  node: OnnxNode,
  { storage, vocabSize }: HeadProduct,
  name: string,
): TracedConstant {
  const bias = traceConstant(model, name)
  const dims = bias?.tensor.dims ?? []
  if (bias === null || dims.at(-1) !== vocabSize || dims.slice(0, -1).some((dim) => dim !== 1)) {
    const found = bias === null ? `the bias ${name}` : `a bias of [${dims.join(', ')}]`
    throw unfitHead(node, `adds one constant a token`, found)
  }
  // A dense head holds it in a column of its own type; others beside their scales, in fp32 if need be.
  const type = bias.tensor.dataType
  const fits =
    type === 1 || type === 10
      ? storage.kind !== 'dense' || [1, type].includes(storage.weight.tensor.dataType)
      : false
  if (!fits) {
    const weights = storage.kind === 'dense' ? storage.weight.tensor.dataType : 1
    const found = `a bias of ${dataTypeName(type)} and weights of ${dataTypeName(weights)}`
    throw unfitHead(node, 'has a bias that the type of its weights holds', found)
  }
  return bias
}

/** Columns that the bias takes, of which it stands in the first: whole chunks of the kernels, or a block of its own. */
function biasColumns(node: OnnxNode, { storage, hiddenSize }: HeadProduct): number {
  const columns = storage.kind === 'dense' ? 8 : storage.blockSize
  const isWhole = storage.kind === 'dense' || hiddenSize % columns === 0
  if (isWhole && hiddenSize >= columns) return columns
  const found = `a bias, ${hiddenSize} columns and blocks of ${columns}`
  throw unfitHead(node, 'has whole blocks before the one that its bias takes', found)
}

function unfit(output: string, chain: readonly string[]): UnsupportedOnnxModelError {
  const found = chain.join(' <- ')
  const meaning = chain.map((op) => MEANINGS[op]).find((text) => text !== undefined)
  return new UnsupportedOnnxModelError(
    `${ACTION} as "${output}" must come from MatMul, Gemm or MatMulNBits, through ${TRANSPARENT.join(', ')}, ` +
      'a Slice or Gather of positions, and a bias or a scale at most: ' +
      `current origin is ${found}${meaning === undefined ? '' : `, ${meaning}`}; ${REMEDY}`,
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
