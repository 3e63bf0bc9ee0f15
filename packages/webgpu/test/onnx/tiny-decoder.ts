/**
 * Decoder models of a few thousand weights, the same ones in every run.
 */
import {
  createGenerator,
  f16ToNumber,
  type LmHeadShard,
  makeCase,
  readWeightRows,
} from '@flashsampling/core'
import { encodeModel, type Initializer, type Node, type ValueInfo } from './onnx-writer.ts'

export const VOCAB_SIZE = 320
export const HIDDEN_SIZE = 64

/** Standard deviation of the logits, nats: several tokens share the mass. */
const LOGIT_SPREAD = 2.5

/**
 * How the head is stored: `MatMul` of f32 or f16 weights; f16 weights behind a `Cast` to f32; the embedding itself behind
 * a `Transpose`; `MatMulNBits`.
 */
export type HeadKind = 'f32' | 'f16' | 'f16-cast' | 'tied' | 'nbits4' | 'nbits8'

/** What is done to the product: half of it, or a bias added. */
export type HeadTail = 'scaled' | 'biased'

/**
 * `window` takes the whole sequence at each step and mixes it by a running sum; `cached` takes one token with the keys and
 * values of those before it, and attends to all; `none` takes hidden states.
 */
export type BodyKind = 'window' | 'cached' | 'none'

/** A model with the head that it ends in. */
export interface TinyDecoder {
  bytes: Uint8Array<ArrayBuffer>
  /** The head as core stores it. */
  lmHead: LmHeadShard
}

/** Makes a decoder; inputs `input_ids` (and `past_keys`, `past_values`), output `logits`. */
export function makeTinyDecoder(body: BodyKind, head: HeadKind, end?: HeadTail): TinyDecoder {
  const graph = BODIES[body](head === 'tied')
  const { lmHead, ...tail } = makeHead(head)
  if (end !== undefined) appendTail(tail, end)
  const logits: ValueInfo = {
    name: 'logits',
    type: head === 'f16' ? 'float16' : 'float32',
    dims: ['batch', 'sequence', VOCAB_SIZE],
  }
  const bytes = encodeModel({
    nodes: [...graph.nodes, ...tail.nodes],
    initializers: [...graph.initializers, ...tail.initializers],
    inputs: graph.inputs,
    outputs: [logits, ...graph.outputs],
  })
  return { bytes, lmHead }
}

/** Puts one more operation between the product and the logits. */
function appendTail({ nodes, initializers }: Part, end: HeadTail): void {
  const last = nodes.at(-1) as Node
  nodes[nodes.length - 1] = { ...last, outputs: ['product'] }
  const isBias = end === 'biased'
  nodes.push({ op: isBias ? 'Add' : 'Div', inputs: ['product', 'tail'], outputs: ['logits'] })
  const data = isBias
    ? (weights('tail', 1, VOCAB_SIZE, 7).data as Float32Array)
    : Float32Array.of(2)
  initializers.push({ name: 'tail', type: 'float32', dims: [data.length], data })
}

/** Name of the tensor that every body ends in and every head starts from. */
const HIDDEN = '/model/norm/output'

const BODIES: Record<BodyKind, (isTied: boolean) => Body> = {
  window: windowBody,
  cached: cachedBody,
  none: noBody,
}

interface Part {
  nodes: Node[]
  initializers: Initializer[]
}

interface Body extends Part {
  inputs: ValueInfo[]
  outputs: ValueInfo[]
}

function weights(name: string, rows: number, columns: number, stream: number): Initializer {
  const generator = createGenerator(2026n, stream)
  const data = Float32Array.from({ length: rows * columns }, () => generator.normal())
  const scale = name === 'embedding' ? 1 : 1 / Math.sqrt(rows)
  return { name, type: 'float32', dims: [rows, columns], data: data.map((value) => value * scale) }
}

function norm(input: string, output: string): Node {
  const inputs = [input, 'norm_scale', 'norm_bias']
  return { op: 'LayerNormalization', inputs, outputs: [output], attributes: { axis: -1 } }
}

function embedding(): Part {
  const vector = (name: string, value: number): Initializer => ({
    name,
    type: 'float32',
    dims: [HIDDEN_SIZE],
    data: new Float32Array(HIDDEN_SIZE).fill(value),
  })
  return {
    nodes: [{ op: 'Gather', inputs: ['embedding', 'input_ids'], outputs: ['x'] }],
    initializers: [
      weights('embedding', VOCAB_SIZE, HIDDEN_SIZE, 1),
      vector('norm_scale', 1),
      vector('norm_bias', 0),
    ],
  }
}

function noBody(isTied: boolean): Body {
  return {
    nodes: [{ op: 'Identity', inputs: ['hidden'], outputs: [HIDDEN] }],
    initializers: isTied ? [weights('embedding', VOCAB_SIZE, HIDDEN_SIZE, 1)] : [],
    inputs: [{ name: 'hidden', type: 'float32', dims: ['batch', 'sequence', HIDDEN_SIZE] }],
    outputs: [],
  }
}

function windowBody(): Body {
  const { nodes, initializers } = embedding()
  const axis: Initializer = { name: 'axis', type: 'int64', dims: [], data: BigInt64Array.of(1n) }
  return {
    nodes: [
      ...nodes,
      { op: 'CumSum', inputs: ['x', 'axis'], outputs: ['running_sum'] },
      norm('running_sum', 'mixed'),
      { op: 'MatMul', inputs: ['mixed', 'up'], outputs: ['raised'] },
      { op: 'Tanh', inputs: ['raised'], outputs: ['active'] },
      { op: 'MatMul', inputs: ['active', 'down'], outputs: ['lowered'] },
      { op: 'Add', inputs: ['x', 'lowered'], outputs: ['residual'] },
      norm('residual', HIDDEN),
    ],
    initializers: [
      ...initializers,
      axis,
      weights('up', HIDDEN_SIZE, 2 * HIDDEN_SIZE, 2),
      weights('down', 2 * HIDDEN_SIZE, HIDDEN_SIZE, 3),
    ],
    inputs: [{ name: 'input_ids', type: 'int64', dims: ['batch', 'sequence'] }],
    outputs: [],
  }
}

function cachedBody(): Body {
  const { nodes, initializers } = embedding()
  const cache = (name: string, length: string): ValueInfo => ({
    name,
    type: 'float32',
    dims: ['batch', length, HIDDEN_SIZE],
  })
  const scale = Float32Array.of(1 / Math.sqrt(HIDDEN_SIZE))
  return {
    nodes: [
      ...nodes,
      { op: 'MatMul', inputs: ['x', 'query'], outputs: ['q'] },
      { op: 'MatMul', inputs: ['x', 'key'], outputs: ['k'] },
      { op: 'MatMul', inputs: ['x', 'value'], outputs: ['v'] },
      concat('past_keys', 'k', 'keys'),
      concat('past_values', 'v', 'values'),
      { op: 'Transpose', inputs: ['keys'], outputs: ['kt'], attributes: { perm: [0, 2, 1] } },
      { op: 'MatMul', inputs: ['q', 'kt'], outputs: ['scores'] },
      { op: 'Mul', inputs: ['scores', 'scale'], outputs: ['scaled'] },
      { op: 'Softmax', inputs: ['scaled'], outputs: ['attention'], attributes: { axis: -1 } },
      { op: 'MatMul', inputs: ['attention', 'values'], outputs: ['attended'] },
      { op: 'Add', inputs: ['x', 'attended'], outputs: ['residual'] },
      norm('residual', HIDDEN),
    ],
    initializers: [
      ...initializers,
      { name: 'scale', type: 'float32', dims: [1], data: scale },
      weights('query', HIDDEN_SIZE, HIDDEN_SIZE, 4),
      weights('key', HIDDEN_SIZE, HIDDEN_SIZE, 5),
      weights('value', HIDDEN_SIZE, HIDDEN_SIZE, 6),
    ],
    inputs: [
      { name: 'input_ids', type: 'int64', dims: ['batch', 'sequence'] },
      cache('past_keys', 'past'),
      cache('past_values', 'past'),
    ],
    outputs: [cache('keys', 'total'), cache('values', 'total')],
  }
}

function concat(past: string, now: string, all: string): Node {
  return { op: 'Concat', inputs: [past, now], outputs: [all], attributes: { axis: 1 } }
}

function makeHead(kind: HeadKind): Part & { lmHead: LmHeadShard } {
  const dtype = kind === 'f16-cast' ? 'f16' : kind === 'tied' ? 'f32' : kind
  const { lmHead } = makeCase({
    seed: 77n,
    vocabSize: VOCAB_SIZE,
    hiddenSize: HIDDEN_SIZE,
    dtype,
    spread: LOGIT_SPREAD,
    // 16 weights a block in 4 bits leave an odd number of nibbles nowhere; zero points differ from block to block.
    quantization:
      kind === 'nbits4'
        ? { blockSize: 16, zeroPoints: 'packed' }
        : { blockSize: 32, scales: 'f32' },
  })
  if (kind === 'tied') return tiedHead()
  if (lmHead.quantization !== undefined) return { lmHead, ...matMulNBits(lmHead) }
  return { lmHead, ...matMul(lmHead, kind) }
}

/** The embedding times `LOGIT_SPREAD / 8`, so that logits have about the spread of the other heads. */
function tiedHead(): Part & { lmHead: LmHeadShard } {
  const data = weights('embedding', VOCAB_SIZE, HIDDEN_SIZE, 1).data as Float32Array
  return {
    lmHead: { dtype: 'f32', vocabSize: VOCAB_SIZE, hiddenSize: HIDDEN_SIZE, data },
    nodes: [
      { op: 'Transpose', inputs: ['embedding'], outputs: ['head'], attributes: { perm: [1, 0] } },
      { op: 'MatMul', inputs: [HIDDEN, 'head'], outputs: ['logits'] },
    ],
    initializers: [],
  }
}

/** Weights as `MatMul` wants them: `[hiddenSize, vocabSize]`. */
function transpose(lmHead: LmHeadShard): Float32Array | Uint16Array {
  const { vocabSize, hiddenSize } = lmHead
  const data = lmHead.data as Float32Array | Uint16Array
  return data.map(
    (_, i) => data[(i % vocabSize) * hiddenSize + Math.floor(i / vocabSize)] as number,
  )
}

function matMul(lmHead: LmHeadShard, kind: HeadKind): Part {
  const isHalf = lmHead.dtype === 'f16'
  const weight: Initializer = {
    name: 'head',
    type: isHalf ? 'float16' : 'float32',
    dims: [HIDDEN_SIZE, VOCAB_SIZE],
    data: transpose(lmHead),
  }
  const product = { op: 'MatMul', outputs: ['logits'] }
  if (kind === 'f16-cast') {
    return {
      nodes: [
        { op: 'Cast', inputs: ['head'], outputs: ['wide_head'], attributes: { to: 1 } },
        { ...product, inputs: [HIDDEN, 'wide_head'] },
      ],
      initializers: [weight],
    }
  }
  if (!isHalf) return { nodes: [{ ...product, inputs: [HIDDEN, 'head'] }], initializers: [weight] }
  return {
    nodes: [
      { op: 'Cast', inputs: [HIDDEN], outputs: ['half_hidden'], attributes: { to: 10 } },
      { ...product, inputs: ['half_hidden', 'head'] },
    ],
    initializers: [weight],
  }
}

function matMulNBits(lmHead: LmHeadShard): Part {
  const { blockSize, scales, zeroPoints } = lmHead.quantization!
  const bits = lmHead.dtype === 'nbits4' ? 4 : 8
  const numBlocks = HIDDEN_SIZE / blockSize
  const wide = scales instanceof Float32Array ? scales : Float32Array.from(scales, f16ToNumber)
  const hasZeroPoints = zeroPoints instanceof Uint8Array
  return {
    nodes: [
      {
        op: 'MatMulNBits',
        domain: 'com.microsoft',
        inputs: [HIDDEN, 'quants', 'scales', ...(hasZeroPoints ? ['zero_points'] : [])],
        outputs: ['logits'],
        attributes: { K: HIDDEN_SIZE, N: VOCAB_SIZE, bits, block_size: blockSize },
      },
    ],
    initializers: [
      {
        name: 'quants',
        type: 'uint8',
        dims: [VOCAB_SIZE, numBlocks, (blockSize * bits) / 8],
        data: lmHead.data as Uint8Array,
      },
      { name: 'scales', type: 'float32', dims: [VOCAB_SIZE * numBlocks], data: wide },
      ...(hasZeroPoints ? [zeroPointsOf(zeroPoints)] : []),
    ],
  }
}

function zeroPointsOf(data: Uint8Array): Initializer {
  return { name: 'zero_points', type: 'uint8', dims: [data.length], data }
}

/** Float64 logits of hidden states under a head. */
export function multiplyHead(lmHead: LmHeadShard, hiddenStates: Float32Array): Float64Array {
  const rows = readWeightRows(lmHead, 0, lmHead.vocabSize)
  const logits = new Float64Array(lmHead.vocabSize)
  for (let token = 0; token < lmHead.vocabSize; token++) {
    for (let i = 0; i < lmHead.hiddenSize; i++) {
      logits[token]! += hiddenStates[i]! * rows[token * lmHead.hiddenSize + i]!
    }
  }
  return logits
}
