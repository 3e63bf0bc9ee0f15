/**
 * A minimal encoder for ONNX models of one node: just enough protobuf to hand an LM head to onnxruntime.
 *
 * Weights are not written into the model: they are either a graph input or external data passed beside it.
 *
 * @see onnx.proto3 of the ONNX project for the field numbers
 * @module
 */

/** Element types of ONNX tensors, by their number in `TensorProto.DataType`. */
export const ONNX_TYPES = { float32: 1, uint8: 2, float16: 10 } as const

/** Name under which external data must be passed to the session. */
export const ONNX_EXTERNAL_PATH = 'weights'

/** A tensor of the graph: an input, an output or an initializer. */
export interface OnnxTensor {
  /** Name in the graph. */
  name: string
  /** Element type. */
  type: keyof typeof ONNX_TYPES
  /** Extents; a string is a dimension that varies between calls. */
  shape: readonly (number | string)[]
}

/** An initializer whose bytes lie in the external data. */
export interface OnnxInitializer extends OnnxTensor {
  /** Extents, all fixed. */
  shape: readonly number[]
  /** Start in the external data, bytes. */
  offset: number
  /** Length, bytes. */
  byteLength: number
}

/** A model of one node. */
export interface OnnxModelOptions {
  /** Operator, for example `MatMul`. */
  opType: string
  /** Operator domain; empty for the standard operators. */
  domain?: string
  /** Integer attributes of the node. */
  attributes?: Readonly<Record<string, number>>
  /** Names of the node's inputs, in the operator's order. */
  nodeInputs: readonly string[]
  /** Tensors that the caller feeds. */
  inputs: readonly OnnxTensor[]
  /** The node's only output. */
  output: OnnxTensor
  /** Constant tensors. @defaultValue none */
  initializers?: readonly OnnxInitializer[]
}

const IR_VERSION = 9
const OPSET_VERSION = 17
const ATTRIBUTE_TYPE_INT = 2
const DATA_LOCATION_EXTERNAL = 1

/**
 * Encodes a model of one node.
 *
 * @param options - Node, inputs, output and initializers.
 * @returns Bytes of a `ModelProto`.
 */
export function encodeOnnxModel(options: OnnxModelOptions): Uint8Array {
  const {
    opType,
    domain = '',
    attributes = {},
    nodeInputs,
    inputs,
    output,
    initializers = [],
  } = options
  const node = [
    ...nodeInputs.map((name) => text(1, name)),
    text(2, output.name),
    text(4, opType),
    ...Object.entries(attributes).map(([name, value]) =>
      message(5, [text(1, name), integer(3, value), integer(20, ATTRIBUTE_TYPE_INT)]),
    ),
    text(7, domain),
  ]
  const graph = [
    message(1, node),
    text(2, 'lm-head'),
    ...initializers.map((tensor) => message(5, initializer(tensor))),
    ...inputs.map((tensor) => message(11, valueInfo(tensor))),
    message(12, valueInfo(output)),
  ]
  const opsets = [message(8, [text(1, ''), integer(2, OPSET_VERSION)])]
  if (domain !== '') opsets.push(message(8, [text(1, domain), integer(2, 1)]))
  return concatenate([
    integer(1, IR_VERSION),
    text(2, 'flashsampling-bench'),
    message(7, graph),
    ...opsets,
  ])
}

function initializer(tensor: OnnxInitializer): Uint8Array[] {
  const entry = (key: string, value: string): Uint8Array =>
    message(13, [text(1, key), text(2, value)])
  return [
    ...tensor.shape.map((extent) => integer(1, extent)),
    integer(2, ONNX_TYPES[tensor.type]),
    text(8, tensor.name),
    entry('location', ONNX_EXTERNAL_PATH),
    entry('offset', String(tensor.offset)),
    entry('length', String(tensor.byteLength)),
    integer(14, DATA_LOCATION_EXTERNAL),
  ]
}

function valueInfo({ name, type, shape }: OnnxTensor): Uint8Array[] {
  const dimensions = shape.map((extent) =>
    message(1, [typeof extent === 'number' ? integer(1, extent) : text(2, extent)]),
  )
  const tensorType = [integer(1, ONNX_TYPES[type]), message(2, dimensions)]
  return [text(1, name), message(2, [message(1, tensorType)])]
}

// --- Protobuf wire format: varint fields (type 0) and length-delimited fields (type 2) ---

function varint(value: number): number[] {
  const bytes: number[] = []
  let rest = value
  while (rest > 127) {
    bytes.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  bytes.push(rest)
  return bytes
}

function integer(field: number, value: number): Uint8Array {
  return Uint8Array.from([...varint(field * 8), ...varint(value)])
}

function message(field: number, parts: readonly Uint8Array[]): Uint8Array {
  const content = concatenate(parts)
  return concatenate([
    Uint8Array.from([...varint(field * 8 + 2), ...varint(content.length)]),
    content,
  ])
}

function text(field: number, value: string): Uint8Array {
  return message(field, [new TextEncoder().encode(value)])
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    bytes.set(part, offset)
    offset += part.length
  }
  return bytes
}
