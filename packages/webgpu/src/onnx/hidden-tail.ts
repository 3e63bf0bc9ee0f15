/**
 * Operations between the hidden states of a whole model and those that its parts exchange.
 *
 * @module
 */
import type { PbfWriter } from 'pbf'
import type { FoundHead } from './find-head.ts'
import { encode, messageField } from './wire.ts'

const NODE = 1
const INITIALIZER = 5
const FLOAT32 = 1
const INT64 = 7

/**
 * One operation of ONNX's own.
 *
 * @param op - Its name.
 * @param inputs - Tensors that it reads.
 * @param output - Tensor that it makes.
 * @param attributes - Whole numbers.
 * @returns The field of the graph.
 */
export function nodeField(
  op: string,
  inputs: readonly string[],
  output: string,
  attributes: Readonly<Record<string, number>> = {},
): Uint8Array {
  const message = encode((node) => {
    for (const input of inputs) node.writeStringField(1, input)
    node.writeStringField(2, output)
    node.writeStringField(3, `flashsampling_${output}`)
    node.writeStringField(4, op)
    for (const entry of Object.entries(attributes)) node.writeMessage(5, writeInteger, entry)
  })
  return joined(messageField(NODE, [message]))
}

function writeInteger([name, value]: [string, number], attribute: PbfWriter): void {
  attribute.writeStringField(1, name)
  attribute.writeVarintField(3, value)
  // AttributeProto.INT
  attribute.writeVarintField(20, 2)
}

/** A constant of one element. */
function constantField(name: string, dataType: number, value: number): Uint8Array {
  const raw = dataType === INT64 ? BigInt64Array.of(BigInt(value)) : Float32Array.of(value)
  const message = encode((tensor) => {
    tensor.writePackedVarint(1, [1])
    tensor.writeVarintField(2, dataType)
    tensor.writeStringField(8, name)
    tensor.writeBytesField(9, new Uint8Array(raw.buffer))
  })
  return joined(messageField(INITIALIZER, [message]))
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]))
}

/**
 * The end of a body: its hidden states times the scale of the logits, or with ones behind them that multiply the bias.
 *
 * @param found - The head.
 * @param name - Name of the result.
 * @returns Fields of the graph.
 */
export function hiddenTail(found: FoundHead, name: string): Uint8Array[] {
  const { hiddenTensor, hiddenDataType, scale, paddedColumns } = found
  // Constants are f32; where hidden states are of another type, they are cast.
  const constant = (of: string, value: number): Uint8Array[] => {
    const own = constantField(`${name}_${of}_f32`, FLOAT32, value)
    const cast = nodeField('Cast', [`${name}_${of}_f32`], `${name}_${of}`, { to: hiddenDataType })
    return [own, cast]
  }
  if (scale !== 1) {
    const factor = `${name}_scale`
    return [...constant('scale', scale), nodeField('Mul', [hiddenTensor, factor], name)]
  }
  if (paddedColumns === 0) return [nodeField('Identity', [hiddenTensor], name)]
  // As many elements as ones are wanted, times zero, plus one: the shape of the rows need not be known.
  return [
    ...constant('zero', 0),
    ...constant('one', 1),
    ...slice(hiddenTensor, paddedColumns, `${name}_some`),
    nodeField('Mul', [`${name}_some`, `${name}_zero`], `${name}_zeros`),
    nodeField('Add', [`${name}_zeros`, `${name}_one`], `${name}_ones`),
    nodeField('Concat', [hiddenTensor, `${name}_ones`], name, { axis: -1 }),
  ]
}

/**
 * The beginning of a head: the hidden states that its product multiplies.
 *
 * @param found - The head.
 * @param name - Name of the input.
 * @returns Fields of the graph.
 */
export function headStart(found: FoundHead, name: string): Uint8Array[] {
  const { hiddenTensor, hiddenSize, paddedColumns } = found
  if (paddedColumns === 0) return [nodeField('Identity', [name], hiddenTensor)]
  return slice(name, hiddenSize, hiddenTensor)
}

/** The first elements of each row. */
function slice(input: string, count: number, output: string): Uint8Array[] {
  const names = ['start', 'end', 'axis'].map((of) => `${output}_${of}`)
  const values = [0, count, -1]
  return [
    ...names.map((name, i) => constantField(name, INT64, values[i] as number)),
    nodeField('Slice', [input, ...names], output),
  ]
}
