/**
 * Follows tensors back to the constants that they are made from.
 *
 * @module
 */
import type { OnnxModel, OnnxNode, OnnxTensor } from './graph.ts'
import { readConstantIntegers, readConstantNumber } from './tensor-data.ts'

/** A constant as an operation sees it: a tensor behind casts and transpositions. */
export interface TracedConstant {
  /** The tensor that is stored. */
  tensor: OnnxTensor
  /** `TensorProto.DataType` that the operation sees. */
  dataType: number
  /** Whether the operation sees its transpose. */
  isTransposed: boolean
  /** The `DequantizeLinear` that makes numbers of what is stored; `null` where numbers are stored. */
  dequantize: OnnxNode | null
}

/**
 * Follows a tensor back to the constant it is made from, through casts, transpositions and identities.
 *
 * @param model - Parsed model.
 * @param name - Tensor.
 * @param isWeight - Whether to look through `DequantizeLinear` too.
 * @returns The constant; `null` when the tensor is none.
 */
export function traceConstant(
  model: OnnxModel,
  name: string,
  isWeight = false,
): TracedConstant | null {
  const initializer = model.initializers.get(name)
  if (initializer !== undefined) return stored(initializer)
  const node = model.producers.get(name)
  if (node === undefined || (node.domain !== '' && node.op !== 'DequantizeLinear')) return null
  if (node.op === 'Constant') {
    const tensor = node.attributes.get('value')?.tensor
    return tensor ? stored(tensor) : null
  }
  const source = traceConstant(model, node.inputs[0] ?? '', isWeight)
  if (source === null || node.op === 'Identity') return source
  if (node.op === 'Cast') {
    return { ...source, dataType: node.attributes.get('to')?.integer ?? 0 }
  }
  if (node.op === 'DequantizeLinear') {
    const scales = model.initializers.get(node.inputs[1] ?? '')
    if (!isWeight || scales === undefined || source.isTransposed) return null
    return { ...source, dataType: scales.dataType, dequantize: node }
  }
  const swaps = (node.attributes.get('perm')?.integers ?? [1, 0]).join() === '1,0'
  if (node.op !== 'Transpose' || !swaps) return null
  return { ...source, isTransposed: !source.isTransposed }
}

function stored(tensor: OnnxTensor): TracedConstant {
  return { tensor, dataType: tensor.dataType, isTransposed: false, dequantize: null }
}

/** Whole numbers of a small constant; `null` when the tensor is none. */
export function constantIntegers(model: OnnxModel, name: string | undefined): number[] | null {
  const constant = traceConstant(model, name ?? '')
  if (constant !== null) return readConstantIntegers(constant.tensor)
  const { attributes, op } = model.producers.get(name ?? '') ?? { attributes: null, op: '' }
  const values = attributes?.get('value_ints')?.integers
  return op === 'Constant' && values !== undefined ? values : null
}

/** The only number of a constant; `null` when the tensor is none, or has several. */
export function constantNumber(model: OnnxModel, name: string | undefined): number | null {
  const constant = traceConstant(model, name ?? '')
  if (constant !== null) return readConstantNumber(constant.tensor)
  const { attributes, op } = model.producers.get(name ?? '') ?? { attributes: null, op: '' }
  return op === 'Constant' ? (attributes?.get('value_float')?.float ?? null) : null
}
