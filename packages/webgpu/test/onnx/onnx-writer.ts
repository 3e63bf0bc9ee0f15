/**
 * Writes small ONNX models, so that tests need no file from elsewhere.
 *
 * @see onnx/onnx.proto3 of the ONNX project for the field numbers
 */
import { PbfWriter } from 'pbf'

/** TensorProto.DataType. */
export const DATA_TYPES = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  bfloat16: 16,
  uint4: 21,
  int4: 22,
} as const

export type DataType = keyof typeof DATA_TYPES

/** A constant of the graph. */
export interface Initializer {
  name: string
  type: DataType
  dims: readonly number[]
  /** Little-endian bytes; or where they lie in a file beside the model. */
  data: ArrayBufferView | { location: string; offset?: number; length?: number }
  /** Keeps the values in `float_data` or `int32_data` instead of `raw_data`. */
  asTypedField?: boolean
}

/** A whole number, a text, whole numbers, a number, or a nested graph whose output is that of its last node. */
export type Attribute =
  | number
  | string
  | readonly number[]
  | { float: number }
  | { graph: readonly Node[] }

/** One operation. */
export interface Node {
  op: string
  inputs: readonly string[]
  outputs: readonly string[]
  domain?: string
  attributes?: Record<string, Attribute>
}

/** An input or output of the graph; a text is the name of a free dimension. */
export interface ValueInfo {
  name: string
  type: DataType
  dims: readonly (number | string)[]
}

export interface Model {
  nodes: readonly Node[]
  initializers: readonly Initializer[]
  inputs: readonly ValueInfo[]
  outputs: readonly ValueInfo[]
  /** Version of ONNX's own operations. @defaultValue 17 */
  opset?: number
}

/** Encodes a model, with version 1 of the domain com.microsoft. */
export function encodeModel(model: Model): Uint8Array<ArrayBuffer> {
  const pbf = new PbfWriter()
  const { opset = 17 } = model
  // Version of the format: 10 is the first with types of 4 bits.
  pbf.writeVarintField(1, opset > 17 ? 10 : 8)
  pbf.writeStringField(2, 'flashsampling-test')
  pbf.writeMessage(7, writeGraph, model)
  pbf.writeMessage(8, writeOpset, { domain: '', version: opset })
  pbf.writeMessage(8, writeOpset, { domain: 'com.microsoft', version: 1 })
  return pbf.finish().slice()
}

function writeOpset(opset: { domain: string; version: number }, pbf: PbfWriter): void {
  if (opset.domain !== '') pbf.writeStringField(1, opset.domain)
  pbf.writeVarintField(2, opset.version)
}

function writeGraph(model: Model, pbf: PbfWriter): void {
  for (const node of model.nodes) pbf.writeMessage(1, writeNode, node)
  pbf.writeStringField(2, 'test')
  pbf.writeStringField(10, 'a text that no reader needs')
  for (const initializer of model.initializers) pbf.writeMessage(5, writeTensor, initializer)
  for (const input of model.inputs) pbf.writeMessage(11, writeValueInfo, input)
  for (const output of model.outputs) pbf.writeMessage(12, writeValueInfo, output)
}

function writeNode(node: Node, pbf: PbfWriter): void {
  for (const input of node.inputs) pbf.writeStringField(1, input)
  for (const output of node.outputs) pbf.writeStringField(2, output)
  pbf.writeStringField(3, `node_of_${node.outputs[0]}`)
  pbf.writeStringField(4, node.op)
  for (const entry of Object.entries(node.attributes ?? {})) {
    pbf.writeMessage(5, writeAttribute, entry)
  }
  if (node.domain !== undefined) pbf.writeStringField(7, node.domain)
}

function writeAttribute([name, value]: [string, Attribute], pbf: PbfWriter): void {
  pbf.writeStringField(1, name)
  if (typeof value === 'number') {
    pbf.writeVarintField(3, value)
    pbf.writeVarintField(20, 2)
  } else if (typeof value === 'string') {
    pbf.writeBytesField(4, new TextEncoder().encode(value))
    pbf.writeVarintField(20, 3)
  } else if ('float' in value) {
    pbf.writeFloatField(2, value.float)
    pbf.writeVarintField(20, 1)
  } else if ('graph' in value) {
    pbf.writeMessage(6, writeNestedGraph, value.graph)
    pbf.writeVarintField(20, 5)
  } else {
    for (const item of value) pbf.writeVarintField(8, item)
    pbf.writeVarintField(20, 7)
  }
}

function writeNestedGraph(nodes: readonly Node[], pbf: PbfWriter): void {
  for (const node of nodes) pbf.writeMessage(1, writeNode, node)
  pbf.writeStringField(2, 'nested')
  const name = nodes.at(-1)?.outputs[0] ?? ''
  pbf.writeMessage(12, writeValueInfo, { name, type: 'float32', dims: ['batch', 'columns'] })
}

function writeTensor(tensor: Initializer, pbf: PbfWriter): void {
  pbf.writePackedVarint(1, [...tensor.dims])
  pbf.writeVarintField(2, DATA_TYPES[tensor.type])
  pbf.writeStringField(8, tensor.name)
  const { data } = tensor
  if (!ArrayBuffer.isView(data)) {
    for (const [key, value] of Object.entries(data)) {
      pbf.writeMessage(13, writeEntry, [key, String(value)])
    }
    pbf.writeVarintField(14, 1)
  } else if (tensor.asTypedField === true) {
    if (data instanceof Float32Array) pbf.writePackedFloat(4, [...data])
    else pbf.writePackedVarint(5, [...(data as Uint16Array)])
  } else {
    pbf.writeBytesField(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }
}

function writeEntry([key, value]: [string, string], pbf: PbfWriter): void {
  pbf.writeStringField(1, key)
  pbf.writeStringField(2, value)
}

function writeValueInfo(info: ValueInfo, pbf: PbfWriter): void {
  pbf.writeStringField(1, info.name)
  pbf.writeMessage(2, writeType, info)
}

function writeType(info: ValueInfo, pbf: PbfWriter): void {
  pbf.writeMessage(1, writeTensorType, info)
}

function writeTensorType(info: ValueInfo, pbf: PbfWriter): void {
  pbf.writeVarintField(1, DATA_TYPES[info.type])
  pbf.writeMessage(2, writeShape, info)
}

function writeShape(info: ValueInfo, pbf: PbfWriter): void {
  for (const dim of info.dims) pbf.writeMessage(1, writeDim, dim)
}

function writeDim(dim: number | string, pbf: PbfWriter): void {
  if (typeof dim === 'number') pbf.writeVarintField(1, dim)
  else pbf.writeStringField(2, dim)
}
