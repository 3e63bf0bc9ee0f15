/**
 * Models that are nothing but a head.
 */
import { type DataType, encodeModel, type Initializer, type Node } from './onnx-writer.ts'

/** Tokens of {@link rows}. */
export const V = 6
/** Elements of a hidden state. */
export const D = 4

/** Row t, column d: 10 t + d. */
export const rows: Float32Array = Float32Array.from(
  { length: V * D },
  (_, i) => 10 * Math.floor(i / D) + (i % D),
)
/** The same, [D, V]. */
export const columns: Float32Array = Float32Array.from(
  { length: V * D },
  (_, i) => 10 * (i % V) + Math.floor(i / V),
)

/** A head that starts from the input `h`. */
export interface Graph {
  nodes: Node[]
  initializers: Initializer[]
  /** Size of the last axis of the logits. */
  vocabSize?: number | string
  output?: string
  hiddenSize?: number
  hiddenType?: DataType
  logitsType?: DataType
  opset?: number
}

/** A model that is nothing but a head; of 6 tokens and 4 columns unless told otherwise. */
export function headModel(graph: Graph): Uint8Array<ArrayBuffer> {
  const { nodes, initializers, vocabSize = V, output = 'logits', hiddenSize = D } = graph
  const { hiddenType = 'float32', logitsType = 'float32', opset = 17 } = graph
  return encodeModel({
    ...{ nodes, initializers, opset },
    inputs: [{ name: 'h', type: hiddenType, dims: ['batch', 'sequence', hiddenSize] }],
    outputs: [{ name: output, type: logitsType, dims: ['batch', 'sequence', vocabSize] }],
  })
}

/** One operation. */
export function node(op: string, inputs: string[], output: string, more: Partial<Node> = {}): Node {
  return { op, inputs, outputs: [output], ...more }
}

/** The constant `w`. */
export function matrix(
  data: ArrayBufferView,
  dims: number[],
  more: Partial<Initializer> = {},
): Initializer {
  return { name: 'w', type: 'float32', dims, data, ...more } as Initializer
}
