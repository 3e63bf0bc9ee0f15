/**
 * The parts of an ONNX model that finding and cutting an LM head needs.
 *
 * @see onnx/onnx.proto3 of the ONNX project for messages and field numbers
 * @module
 */
import { InvalidOnnxModelError } from './errors.ts'
import { type Field, plainBytes, readFields, readIntegers, readText } from './wire.ts'

/** Bytes of an ONNX file; those of tensors in files beside it are not among them. */
export type OnnxModelBytes = Uint8Array | ArrayBuffer

/** `TensorProto.DataType` values that heads and hidden states have; others are named by their number. */
export const DATA_TYPE_NAMES: Readonly<Record<number, string>> = {
  1: 'float32',
  2: 'uint8',
  3: 'int8',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  10: 'float16',
  11: 'float64',
  16: 'bfloat16',
  21: 'uint4',
  22: 'int4',
}

/** Name of a `TensorProto.DataType`. */
export function dataTypeName(dataType: number): string {
  return DATA_TYPE_NAMES[dataType] ?? `data type ${dataType}`
}

/** A constant tensor. */
export interface OnnxTensor {
  name: string
  dims: number[]
  /** `TensorProto.DataType`. */
  dataType: number
  /** Bytes of the whole `TensorProto`. */
  message: Uint8Array
  /** Where the bytes lie in a file beside the model. */
  external: ExternalPlace | null
}

/** A stretch of a file beside the model. */
export interface ExternalPlace {
  /** Path relative to the model. */
  location: string
  /** First byte. */
  offset: number
  /** Bytes; `null` for the rest of the file. */
  length: number | null
}

/** An attribute of an operation; fields it lacks are `null` or empty. */
export interface OnnxAttribute {
  integer: number | null
  integers: number[]
  /** f32; 0 where the attribute is no number. */
  float: number
  tensor: OnnxTensor | null
  /** Bytes of nested graphs. */
  graphs: Uint8Array[]
}

/** One operation. */
export interface OnnxNode {
  op: string
  /** Empty for ONNX's own operations. */
  domain: string
  /** Empty names stand for inputs that are left out. */
  inputs: string[]
  outputs: string[]
  attributes: Map<string, OnnxAttribute>
  /** The field of the graph, tag included. */
  raw: Uint8Array
}

/** An input, output or intermediate tensor with its type. */
export interface OnnxValueInfo {
  name: string
  /** `TensorProto.DataType`; 0 when unknown or no tensor. */
  dataType: number
  /** Sizes, `null` where one is free; `null` when not even the rank is known. */
  dims: (number | null)[] | null
  /** Bytes of each `TensorShapeProto.Dimension`. */
  rawDims: Uint8Array[]
  raw: Uint8Array
}

/** A parsed model; every `raw` is a view of the file. */
export interface OnnxModel {
  nodes: OnnxNode[]
  initializers: Map<string, OnnxTensor & { raw: Uint8Array }>
  inputs: OnnxValueInfo[]
  outputs: OnnxValueInfo[]
  valueInfos: OnnxValueInfo[]
  /** Fields of the graph that are none of the above, as they stand. */
  otherGraphFields: Uint8Array[]
  /** Fields of the model beside the graph, as they stand. */
  otherModelFields: Uint8Array[]
  /** The node that makes each tensor. */
  producers: Map<string, OnnxNode>
}

const MODEL_GRAPH = 7
const GRAPH = { node: 1, initializer: 5, input: 11, output: 12, valueInfo: 13 } as const

/**
 * Parses a model.
 *
 * @param bytes - The ONNX file.
 * @returns Its graph.
 * @throws {InvalidOnnxModelError} when the bytes are no ONNX model.
 */
export function parseModel(bytes: OnnxModelBytes): OnnxModel {
  const file = bytes instanceof Uint8Array ? plainBytes(bytes) : new Uint8Array(bytes)
  let graph: Uint8Array | null = null
  const otherModelFields: Uint8Array[] = []
  readFields(file, (field) => {
    if (field.number === MODEL_GRAPH) graph = field.bytes
    else otherModelFields.push(field.raw)
  })
  if (graph === null) {
    throw new InvalidOnnxModelError(
      `Cannot read the ONNX model as its ${file.length} bytes hold no graph: pass the content of a .onnx file`,
    )
  }
  return { ...parseGraph(graph), otherModelFields }
}

function parseGraph(graph: Uint8Array): Omit<OnnxModel, 'otherModelFields'> {
  const nodes: OnnxNode[] = []
  const initializers: OnnxModel['initializers'] = new Map()
  const inputs: OnnxValueInfo[] = []
  const outputs: OnnxValueInfo[] = []
  const valueInfos: OnnxValueInfo[] = []
  const otherGraphFields: Uint8Array[] = []
  const producers = new Map<string, OnnxNode>()
  readFields(graph, (field) => {
    if (field.number === GRAPH.node) nodes.push(parseNode(field))
    else if (field.number === GRAPH.input) inputs.push(parseValueInfo(field))
    else if (field.number === GRAPH.output) outputs.push(parseValueInfo(field))
    else if (field.number === GRAPH.valueInfo) valueInfos.push(parseValueInfo(field))
    else if (field.number === GRAPH.initializer) {
      const tensor = parseTensor(field.bytes)
      initializers.set(tensor.name, { ...tensor, raw: field.raw })
    } else otherGraphFields.push(field.raw)
  })
  for (const node of nodes) for (const output of node.outputs) producers.set(output, node)
  return { nodes, initializers, inputs, outputs, valueInfos, otherGraphFields, producers }
}

function parseNode({ bytes, raw }: Field): OnnxNode {
  const node: OnnxNode = { op: '', domain: '', inputs: [], outputs: [], attributes: new Map(), raw }
  readFields(bytes, (field) => {
    if (field.number === 1) node.inputs.push(readText(field))
    else if (field.number === 2) node.outputs.push(readText(field))
    else if (field.number === 4) node.op = readText(field)
    else if (field.number === 5) addAttribute(node.attributes, field.bytes)
    else if (field.number === 7) node.domain = readText(field)
  })
  if (node.domain === 'ai.onnx') node.domain = ''
  return node
}

function addAttribute(attributes: Map<string, OnnxAttribute>, bytes: Uint8Array): void {
  let name = ''
  const value: OnnxAttribute = { integer: null, integers: [], float: 0, tensor: null, graphs: [] }
  readFields(bytes, (field) => {
    if (field.number === 1) name = readText(field)
    else if (field.number === 2) value.float = readFloat(field.raw)
    else if (field.number === 3) value.integer = field.integer
    else if (field.number === 5) value.tensor = parseTensor(field.bytes)
    else if (field.number === 6 || field.number === 11) value.graphs.push(field.bytes)
    else if (field.number === 8) value.integers.push(...readIntegers(field))
  })
  attributes.set(name, value)
}

/** The f32 at the end of a fixed32 field. */
function readFloat(raw: Uint8Array): number {
  return new DataView(raw.buffer, raw.byteOffset, raw.byteLength).getFloat32(raw.length - 4, true)
}

function parseTensor(message: Uint8Array): OnnxTensor {
  const tensor: OnnxTensor = { name: '', dims: [], dataType: 0, message, external: null }
  const entries = new Map<string, string>()
  let isExternal = false
  readFields(message, (field) => {
    if (field.number === 1) tensor.dims.push(...readIntegers(field))
    else if (field.number === 2) tensor.dataType = field.integer
    else if (field.number === 8) tensor.name = readText(field)
    else if (field.number === 13) entries.set(...parseEntry(field.bytes))
    else if (field.number === 14) isExternal = field.integer === 1
  })
  if (isExternal) {
    const length = entries.get('length')
    tensor.external = {
      location: entries.get('location') ?? '',
      offset: Number(entries.get('offset') ?? 0),
      length: length === undefined ? null : Number(length),
    }
  }
  return tensor
}

function parseEntry(bytes: Uint8Array): [string, string] {
  const entry: [string, string] = ['', '']
  readFields(bytes, (field) => {
    if (field.number === 1 || field.number === 2) entry[field.number - 1] = readText(field)
  })
  return entry
}

function parseValueInfo({ bytes, raw }: Field): OnnxValueInfo {
  const info: OnnxValueInfo = { name: '', dataType: 0, dims: null, rawDims: [], raw }
  readFields(bytes, (field) => {
    if (field.number === 1) info.name = readText(field)
    else if (field.number === 2) readFields(field.bytes, (type) => addTensorType(info, type))
  })
  return info
}

function addTensorType(info: OnnxValueInfo, type: Field): void {
  if (type.number !== 1) return
  readFields(type.bytes, (field) => {
    if (field.number === 1) info.dataType = field.integer
    else if (field.number === 2) {
      const dims: (number | null)[] = []
      readFields(field.bytes, (dim) => {
        if (dim.number !== 1) return
        info.rawDims.push(dim.bytes)
        dims.push(readDim(dim.bytes))
      })
      info.dims = dims
    }
  })
}

function readDim(bytes: Uint8Array): number | null {
  let size: number | null = null
  readFields(bytes, (field) => {
    if (field.number === 1) size = field.integer
  })
  return size
}

/**
 * Every tensor that a node reads, those that nested graphs take from outside included.
 *
 * @param node - Operation.
 * @returns Names; nested graphs' own tensors may be among them.
 */
export function tensorsReadBy(node: OnnxNode): string[] {
  const names = node.inputs.filter((name) => name !== '')
  for (const { graphs } of node.attributes.values()) {
    for (const graph of graphs) {
      const nested = parseGraph(graph)
      names.push(...nested.nodes.flatMap(tensorsReadBy), ...nested.outputs.map(({ name }) => name))
    }
  }
  return names
}
