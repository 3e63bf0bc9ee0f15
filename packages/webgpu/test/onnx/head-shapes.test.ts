import {
  createGenerator,
  createSampler,
  f16ToNumber,
  readWeightRows,
  sampleFromLogits,
} from '@flashsampling/core'
import * as ort from 'onnxruntime-web'
import { describe, expect, it } from 'vitest'
import { cutOnnxLmHead } from '../../src/onnx/cut-head.ts'
import { inspectOnnxModel } from '../../src/onnx/inspect.ts'
import { readOnnxLmHead } from '../../src/onnx/read-head.ts'
import { type Graph, headModel, node } from './head-model.ts'
import type { DataType, Initializer, Node } from './onnx-writer.ts'
import { multiplyHead } from './tiny-decoder.ts'

ort.env.wasm.numThreads = 1
ort.env.logLevel = 'error'

const V = 90
const D = 64
const NUM_ROWS = 6

function normals(length: number, stream: number, scale = 1): Float32Array {
  const generator = createGenerator(31n, stream)
  return Float32Array.from({ length }, () => generator.normal() * scale)
}

/** Halves with an exponent around one, exactly those of the f32 values that they stand for. */
function halves(length: number, stream: number): Uint16Array {
  return Uint16Array.from(normals(length, stream, 200), (value) => {
    const sign = value < 0 ? 0x8000 : 0
    return sign | (0x3000 + (Math.abs(Math.trunc(value)) & 0x3ff))
  })
}

function bytes(length: number, stream: number): Uint8Array {
  return Uint8Array.from(normals(length, stream, 40), (value) => value + 128)
}

function tensor(name: string, type: DataType, dims: number[], data: ArrayBufferView): Initializer {
  return { name, type, dims, data }
}

const number = (name: string, value: number): Initializer =>
  tensor(name, 'float32', [], Float32Array.of(value))
const weight = tensor('w', 'float32', [D, V], normals(D * V, 1, 0.3))
const halfWeight = tensor('w', 'float16', [D, V], halves(D * V, 1))
const bias = tensor('b', 'float32', [V], normals(V, 2))
const product = node('MatMul', ['h', 'w'], 'm')
const half = { hiddenType: 'float16', logitsType: 'float16' } as const

/** `MatMulNBits` with the bias by an operation of its own. */
function nbits(bits: 4 | 8, blockSize: number, isPacked: boolean, biasAsInput = false): Graph {
  const numBlocks = D / blockSize
  const zeroRowBytes = Math.ceil((numBlocks * bits) / 8)
  const rowBytes = (D * bits) / 8
  const inputs = ['h', 'q', 's', isPacked ? 'z' : '', ...(biasAsInput ? ['', 'b'] : [])]
  const attributes = { bits, K: D, N: V, block_size: blockSize }
  const made = biasAsInput ? 'logits' : 'm'
  const nodes = [node('MatMulNBits', inputs, made, { domain: 'com.microsoft', attributes })]
  const zeros = isPacked
    ? [tensor('z', 'uint8', [V * zeroRowBytes], bytes(V * zeroRowBytes, 5))]
    : []
  return {
    nodes: biasAsInput ? nodes : [...nodes, node('Add', ['m', 'b'], 'logits')],
    initializers: [
      tensor('q', 'uint8', [V, numBlocks, rowBytes / numBlocks], bytes(V * rowBytes, 3)),
      tensor('s', 'float32', [V * numBlocks], normals(V * numBlocks, 4, bits === 4 ? 0.05 : 0.003)),
      ...zeros,
      bias,
    ],
  }
}

interface Quants {
  type: 'int8' | 'uint8' | 'int4' | 'uint4'
  by: 'tensor' | 'row' | number
  zeroPoints: boolean
  rowMajor?: boolean
}

/** Weights behind `DequantizeLinear`. */
function dequantized({ type, by, zeroPoints, rowMajor = false }: Quants): Graph {
  const perByte = type.endsWith('4') ? 2 : 1
  const dims = rowMajor ? [V, D] : [D, V]
  const numBlocks = typeof by === 'number' ? D / by : 1
  const groupDims =
    by === 'tensor' ? [] : by === 'row' ? [V] : rowMajor ? [V, numBlocks] : [numBlocks, V]
  const numGroups = groupDims.reduce((size, dim) => size * dim, 1)
  const scales = normals(numGroups, 4, perByte === 2 ? 0.05 : 0.003).map((s) => Math.abs(s) + 1e-3)
  const vocabAxis = rowMajor ? 0 : 1
  const attributes: Record<string, number> =
    by === 'tensor'
      ? {}
      : by === 'row'
        ? { axis: vocabAxis }
        : { axis: 1 - vocabAxis, block_size: by }
  const zeros = tensor('z', type, groupDims, bytes(Math.ceil(numGroups / perByte), 5))
  const nodes: Node[] = [
    node('DequantizeLinear', ['q', 's', ...(zeroPoints ? ['z'] : [])], 'x', { attributes }),
    ...(rowMajor ? [node('Transpose', ['x'], 't', { attributes: { perm: [1, 0] } })] : []),
    node('MatMul', ['h', rowMajor ? 't' : 'x'], 'logits'),
  ]
  return {
    nodes,
    opset: 21,
    initializers: [
      tensor('q', type, dims, bytes((D * V) / perByte, 3)),
      tensor('s', 'float32', groupDims, scales),
      ...(zeroPoints ? [zeros] : []),
    ],
  }
}

const SHAPES: [string, Graph, string][] = [
  [
    'a Mul behind the product, as Cohere has it',
    {
      nodes: [product, node('Mul', ['m', 'c'], 'logits')],
      initializers: [weight, number('c', 0.0625)],
    },
    'f32',
  ],
  [
    'a Mul with the number in front',
    {
      nodes: [product, node('Mul', ['c', 'm'], 'logits')],
      initializers: [weight, number('c', 0.3)],
    },
    'f32',
  ],
  [
    'a Div behind the product, as Granite has it',
    { nodes: [product, node('Div', ['m', 'c'], 'logits')], initializers: [weight, number('c', 8)] },
    'f32',
  ],
  [
    'a Div of f16 logits that were cast to f32',
    {
      nodes: [
        product,
        node('Cast', ['m'], 'wide', { attributes: { to: 1 } }),
        node('Div', ['wide', 'c'], 'logits'),
      ],
      initializers: [halfWeight, number('c', 8)],
      hiddenType: 'float16',
    },
    'f16',
  ],
  [
    'an Add behind the product, as Phi and GPT-J have it',
    { nodes: [product, node('Add', ['m', 'b'], 'logits')], initializers: [weight, bias] },
    'f32',
  ],
  [
    'an Add with the bias in front',
    { nodes: [product, node('Add', ['b', 'm'], 'logits')], initializers: [weight, bias] },
    'f32',
  ],
  [
    'an Add of f16',
    {
      nodes: [product, node('Add', ['m', 'b'], 'logits')],
      initializers: [halfWeight, tensor('b', 'float16', [V], halves(V, 2))],
      ...half,
    },
    'f16',
  ],
  ['4 bits with a bias', nbits(4, 32, false), 'nbits4'],
  ['4 bits, an even number of packed zero points and a bias', nbits(4, 32, true), 'nbits4'],
  ['4 bits, an odd number of packed zero points and a bias', nbits(4, 64, true), 'nbits4'],
  ['8 bits with packed zero points and a bias', nbits(8, 16, true), 'nbits8'],
  ['4 bits with the bias as an input', nbits(4, 16, false, true), 'nbits4'],
  ['int8 of one scale', dequantized({ type: 'int8', by: 'tensor', zeroPoints: false }), 'nbits8'],
  [
    'uint8 of one zero point',
    dequantized({ type: 'uint8', by: 'tensor', zeroPoints: true }),
    'nbits8',
  ],
  ['int8 of a scale a token', dequantized({ type: 'int8', by: 'row', zeroPoints: true }), 'nbits8'],
  [
    'int8 by rows behind a Transpose',
    dequantized({ type: 'int8', by: 'row', zeroPoints: false, rowMajor: true }),
    'nbits8',
  ],
  [
    'int4 in blocks, as use_qdq has it',
    dequantized({ type: 'int4', by: 32, zeroPoints: false }),
    'nbits4',
  ],
  [
    'uint4 in blocks with zero points',
    dequantized({ type: 'uint4', by: 16, zeroPoints: true }),
    'nbits4',
  ],
  [
    'int4 in blocks by rows with zero points',
    dequantized({ type: 'int4', by: 32, zeroPoints: true, rowMajor: true }),
    'nbits4',
  ],
]

async function run(
  model: Uint8Array,
  feeds: Record<string, ort.Tensor>,
): Promise<Record<string, ort.Tensor>> {
  // As it stands: rewritten graphs may round hidden states to 8 bits.
  const session = await ort.InferenceSession.create(model, { graphOptimizationLevel: 'disabled' })
  const results = await session.run(feeds)
  await session.release()
  return results as Record<string, ort.Tensor>
}

function wide({ type, data }: ort.Tensor): Float32Array {
  return type === 'float16'
    ? Float32Array.from(data as Uint16Array, f16ToNumber)
    : (data as Float32Array)
}

function hiddenStates(type: DataType): ort.Tensor {
  const data = type === 'float16' ? halves(NUM_ROWS * D, 9) : normals(NUM_ROWS * D, 9)
  return new ort.Tensor(type as 'float32', data as Float32Array, [2, 3, D])
}

function largest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let worst = 0
  for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i]! - b[i]!))
  return worst
}

describe('heads as exporters write them', () => {
  it.each(SHAPES)('cuts and reads %s', async (_, graph, dtype) => {
    const model = headModel({ ...graph, vocabSize: V, hiddenSize: D })
    const h = hiddenStates(graph.hiddenType ?? 'float32')
    const whole = wide((await run(model, { h })).logits!)
    const cut = cutOnnxLmHead(model)
    const { hidden_states } = await run(cut.body, { h })
    expect(hidden_states!.dims).toEqual([2, 3, cut.hiddenSize])
    const { logits } = await run(cut.head, { hidden_states: hidden_states! })
    // fp32 sums of 64 terms of about 0.3, which a factor moves from one side to the other; f16 carries 11 bits.
    const spread = Math.max(...whole.map(Math.abs))
    const isHalf = graph.hiddenType === 'float16'
    const tolerance = spread * (isHalf ? 2 ** -9 : 2 ** -19)
    expect(largest(wide(logits!), whole)).toBeLessThan(tolerance)

    const head = await readOnnxLmHead(cut.head)
    expect(head).toMatchObject({ dtype, vocabSize: V, hiddenSize: cut.hiddenSize })
    expect(inspectOnnxModel(model).head).toMatchObject({ dtype, vocabSize: V, hiddenSize: D })
    const hidden = wide(hidden_states!)
    const sampler = await createSampler({ lmHead: head })
    let numCompared = 0
    for (let row = 0; row < NUM_ROWS; row++) {
      const expected = whole.subarray(row * V, (row + 1) * V)
      const states = hidden.subarray(row * cut.hiddenSize, (row + 1) * cut.hiddenSize)
      expect(largest(multiplyHead(head, states), expected)).toBeLessThan(tolerance)
      for (let seed = 0n; seed < 10n; seed++) {
        const params = { seed, position: row }
        const oracle = sampleFromLogits(expected, params)
        if (oracle.margin < 2 * tolerance) continue
        const { tokenIds } = await sampler.sample({ hiddenStates: states, params })
        expect(tokenIds[0]).toBe(oracle.tokenId)
        numCompared++
      }
    }
    expect(numCompared).toBeGreaterThan(40)
    await sampler.dispose()
  })

  it.each([
    ['uint8 of one zero point', 'uint8', []],
    ['int8 of a scale a token', 'int8', [V]],
  ] as const)(
    'takes the weights of a dynamic product, %s, and leaves hidden states unrounded',
    async (_, type, dims) => {
      const numScales = dims.length === 0 ? 1 : V
      const scales = normals(numScales, 4, 0.003).map((scale) => Math.abs(scale) + 1e-3)
      const quants = bytes(D * V, 3)
      const zeros = bytes(numScales, 5)
      const graph: Graph = {
        nodes: [
          { op: 'DynamicQuantizeLinear', inputs: ['h'], outputs: ['i', 'i_scale', 'i_zero'] },
          node('MatMulInteger', ['i', 'q', 'i_zero', 'z'], 'sums'),
          node('Cast', ['sums'], 'wide_sums', { attributes: { to: 1 } }),
          node('Mul', ['i_scale', 's'], 'scales_of_both'),
          node('Mul', ['wide_sums', 'scales_of_both'], 'logits'),
        ],
        initializers: [
          tensor('q', type, [D, V], quants),
          tensor('z', type, [...dims], zeros),
          tensor('s', 'float32', [...dims], scales),
        ],
        vocabSize: V,
        hiddenSize: D,
      }
      const model = headModel(graph)
      const read = readWeightRows(await readOnnxLmHead(model), 0, V)
      const signed = type === 'int8' ? new Int8Array(quants.buffer) : quants
      const signedZeros = type === 'int8' ? new Int8Array(zeros.buffer) : zeros
      for (let token = 0; token < V; token++) {
        const group = numScales === 1 ? 0 : token
        for (let column = 0; column < D; column++) {
          const steps = signed[column * V + token]! - signedZeros[group]!
          expect(read[token * D + column]).toBe(Math.fround(scales[group]! * steps))
        }
      }
      const h = hiddenStates('float32')
      const whole = wide((await run(model, { h })).logits!)
      const cut = cutOnnxLmHead(model)
      const { hidden_states } = await run(cut.body, { h })
      expect(hidden_states!.data).toEqual(h.data)
      const { logits } = await run(cut.head, { hidden_states: hidden_states! })
      expect(wide(logits!)).toEqual(whole)
      // Half a step of hidden states, of which there are 255 between the lowest and the highest, times each weight.
      const states = wide(h)
      const step = (Math.max(...states) - Math.min(...states)) / 255
      const head = await readOnnxLmHead(cut.head)
      for (let row = 0; row < NUM_ROWS; row++) {
        const ours = multiplyHead(head, states.subarray(row * D, (row + 1) * D))
        for (let token = 0; token < V; token++) {
          const sizes = read.subarray(token * D, (token + 1) * D).map(Math.abs)
          const bound = step * sizes.reduce((sum, size) => sum + size, 0)
          expect(Math.abs(ours[token]! - whole[row * V + token]!)).toBeLessThan(bound)
        }
      }
    },
  )

  it('says which scales or zero points are missing', async () => {
    const graph = dequantized({ type: 'int8', by: 'row', zeroPoints: true })
    const short = graph.initializers.map((one) =>
      one.name === 's' ? { ...one, dims: [V - 1], data: new Float32Array(V - 1) } : one,
    )
    const model = headModel({ ...graph, initializers: short, vocabSize: V, hiddenSize: D })
    await expect(readOnnxLmHead(model)).rejects.toMatchObject({
      code: 'INVALID_ONNX_MODEL',
      message: expect.stringContaining('the weights need 90 scales and zero points'),
    })
    const other = graph.initializers.map((one) =>
      one.name === 'z' ? { ...one, type: 'uint8' as const } : one,
    )
    const mixed = headModel({ ...graph, initializers: other, vocabSize: V, hiddenSize: D })
    await expect(readOnnxLmHead(mixed)).rejects.toThrow('zero points must have the type of "q"')
  })
})
