import { describe, expect, it } from 'vitest'
import { cutOnnxLmHead } from '../../src/onnx/cut-head.ts'
import { inspectOnnxModel } from '../../src/onnx/inspect.ts'
import { readOnnxLmHead } from '../../src/onnx/read-head.ts'
import { columns, D, type Graph, headModel, matrix, node, V } from './head-model.ts'
import type { Attribute, Initializer } from './onnx-writer.ts'

const constant = (name: string, value: number): Initializer => ({
  ...matrix(Float32Array.of(value), []),
  name,
})
const vector = (name: string, length: number): Initializer => ({
  ...matrix(new Float32Array(length).fill(1), [length]),
  name,
})

describe('heads that cannot be fused', () => {
  const plain = matrix(columns, [D, V])
  const scaleOf = (value: number): Attribute => ({ float: value })
  it.each<[string, Graph, string]>([
    [
      'soft-capped logits',
      {
        nodes: [
          node('MatMul', ['h', 'w'], 'm'),
          node('Div', ['m', 'cap'], 'd'),
          node('Tanh', ['d'], 'logits'),
        ],
        initializers: [plain, { ...matrix(Float32Array.of(30), []), name: 'cap' }],
      },
      'current origin is Tanh <- Div, which caps the logits; sample from its logits with createOnnxLogitsSampler()',
    ],
    [
      'capped logits as Gemma 2 has them',
      {
        nodes: [
          node('MatMul', ['h', 'w'], 'm'),
          node('Div', ['m', 'cap'], 'd'),
          node('Tanh', ['d'], 't'),
          node('Mul', ['t', 'cap'], 'logits'),
        ],
        initializers: [plain, constant('cap', 30)],
      },
      'current origin is Mul <- Tanh <- Div, which caps the logits;',
    ],
    [
      'a bias and a scale',
      {
        nodes: [node('Gemm', ['h', 'w', 'b'], 'g'), node('Mul', ['g', 'half'], 'logits')],
        initializers: [plain, vector('b', V), constant('half', 0.5)],
      },
      'needs a Gemm that has a bias or a scale, not more: current one has a bias and the scale 0.5',
    ],
    [
      'two biases',
      {
        nodes: [node('Gemm', ['h', 'w', 'b'], 'g'), node('Add', ['b', 'g'], 'logits')],
        initializers: [plain, vector('b', V)],
      },
      'not more: current one has two biases',
    ],
    [
      'a scale behind a bias',
      {
        nodes: [
          node('MatMul', ['h', 'w'], 'm'),
          node('Mul', ['m', 'half'], 's'),
          node('Add', ['s', 'b'], 'logits'),
        ],
        initializers: [plain, vector('b', V), constant('half', 0.5)],
      },
      'current origin is Add <- Mul <- MatMul',
    ],
    [
      'a bias of one number',
      {
        nodes: [node('MatMul', ['h', 'w'], 'm'), node('Add', ['m', 'b'], 'logits')],
        initializers: [plain, constant('b', 2)],
      },
      'needs a MatMul that adds one constant a token: current one has a bias of []',
    ],
    [
      'a bias that the weights cannot hold',
      {
        nodes: [
          node('MatMul', ['h', 'w'], 'm'),
          node('Cast', ['m'], 'wide', { attributes: { to: 1 } }),
          node('Add', ['wide', 'b'], 'logits'),
        ],
        initializers: [
          matrix(new Uint16Array(16 * V), [16, V], { type: 'float16' }),
          vector('b', V),
        ],
        hiddenSize: 16,
      },
      'current one has a bias of float32 and weights of float16',
    ],
    [
      'a bias beside blocks that are cut short',
      {
        nodes: [
          node('MatMulNBits', ['h', 'q', 's', '', '', 'b'], 'logits', {
            domain: 'com.microsoft',
            attributes: { bits: 4, K: D, N: V, block_size: 16 },
          }),
        ],
        initializers: [
          { name: 'q', type: 'uint8', dims: [V, 1, 8], data: new Uint8Array(V * 8) },
          vector('s', V),
          vector('b', V),
        ],
      },
      'whole blocks before the one that its bias takes: current one has a bias, 4 columns and blocks of 16',
    ],
    [
      'a bias times something',
      {
        nodes: [node('Gemm', ['h', 'w', 'b'], 'logits', { attributes: { beta: scaleOf(2) } })],
        initializers: [plain, vector('b', V)],
      },
      'needs a Gemm that scales by 1: current one has beta 2',
    ],
    [
      'a scale below zero, which turns the order around',
      {
        nodes: [node('MatMul', ['h', 'w'], 'm'), node('Mul', ['m', 'less'], 'logits')],
        initializers: [plain, constant('less', -1)],
      },
      'current origin is Mul <- MatMul',
    ],
    [
      'a scale for each token',
      {
        nodes: [node('MatMul', ['h', 'w'], 'm'), node('Mul', ['m', 'b'], 'logits')],
        initializers: [plain, vector('b', V)],
      },
      'current origin is Mul <- MatMul',
    ],
    [
      'two branches, as merged decoders have them',
      {
        nodes: [
          node('If', ['flag'], 'logits', {
            attributes: {
              then_branch: { graph: [node('MatMul', ['h', 'w'], 'a')] },
              else_branch: { graph: [node('MatMul', ['h', 'w'], 'b')] },
            },
          }),
        ],
        initializers: [plain],
      },
      'current origin is If, a decoder of two branches: take the export with past keys and values alone;',
    ],
    [
      'logits that are rounded',
      {
        nodes: [
          node('MatMul', ['h', 'w'], 'm'),
          node('QuantizeLinear', ['m', 'half'], 'q'),
          node('DequantizeLinear', ['q', 'half'], 'logits'),
        ],
        initializers: [plain, constant('half', 0.5)],
      },
      'current origin is DequantizeLinear <- QuantizeLinear, which rounds the logits;',
    ],
    [
      'weights of bitsandbytes',
      {
        nodes: [node('MatMulBnb4', ['h', 'w', 'w'], 'logits', { domain: 'com.microsoft' })],
        initializers: [plain],
      },
      'current origin is MatMulBnb4, weights in a format of bitsandbytes: take an export with MatMulNBits;',
    ],
    [
      'a dynamic product that onnxruntime fused',
      {
        nodes: [
          node('DynamicQuantizeMatMul', ['h', 'w', 's'], 'logits', { domain: 'com.microsoft' }),
        ],
        initializers: [plain],
      },
      'current origin is DynamicQuantizeMatMul, fused when the model was optimised: take the file from before;',
    ],
    [
      'scales of columns',
      {
        nodes: [
          node('DequantizeLinear', ['w', 's'], 'x', { attributes: { axis: 0 } }),
          node('MatMul', ['h', 'x'], 'logits'),
        ],
        initializers: [matrix(new Int8Array(D * V), [D, V], { type: 'int8' }), vector('s', D)],
      },
      'a DequantizeLinear with scales of tokens, or of 16 to 256 elements of one: current one has scales of axis 0',
    ],
    [
      'blocks of tokens',
      {
        nodes: [
          node('DequantizeLinear', ['w', 's'], 'x', { attributes: { axis: 1, block_size: 32 } }),
          node('MatMul', ['h', 'x'], 'logits'),
        ],
        initializers: [matrix(new Int8Array(D * V), [D, V], { type: 'int8' }), vector('s', D)],
      },
      'current one has blocks of 32 along axis 1',
    ],
    [
      'whole numbers of 32 bits',
      {
        nodes: [node('DequantizeLinear', ['w', 'half'], 'x'), node('MatMul', ['h', 'x'], 'logits')],
        initializers: [
          matrix(new Int32Array(D * V), [D, V], { type: 'int32' }),
          constant('half', 0.5),
        ],
      },
      'needs a MatMul that multiplies a matrix of 4 or 8 bits: current one has int32 [4, 6]',
    ],
    [
      'whole numbers of hidden states that nothing rounds',
      {
        nodes: [
          node('MatMulInteger', ['h', 'w'], 'm'),
          node('Cast', ['m'], 'wide', { attributes: { to: 1 } }),
          node('Mul', ['wide', 'half'], 'logits'),
        ],
        initializers: [
          matrix(new Int8Array(D * V), [D, V], { type: 'int8' }),
          constant('half', 0.5),
        ],
      },
      'needs a MatMulInteger that takes hidden states of DynamicQuantizeLinear and constants',
    ],
    [
      'a scale',
      {
        nodes: [node('Gemm', ['h', 'w'], 'logits', { attributes: { alpha: scaleOf(0.5) } })],
        initializers: [plain],
      },
      'needs a Gemm that scales by 1: current one has alpha 0.5',
    ],
    [
      'a Slice of the vocabulary',
      {
        nodes: [node('MatMul', ['h', 'w'], 'm'), node('Slice', ['m', 'i', 'i', 'i'], 'logits')],
        initializers: [plain, { name: 'i', type: 'int64', dims: [1], data: BigInt64Array.of(2n) }],
      },
      'current origin is Slice <- MatMul',
    ],
    [
      'a Gather of the vocabulary',
      {
        nodes: [
          node('MatMul', ['h', 'w'], 'm'),
          node('Gather', ['m', 'i'], 'logits', { attributes: { axis: 2 } }),
        ],
        initializers: [plain, { name: 'i', type: 'int64', dims: [1], data: BigInt64Array.of(2n) }],
      },
      'current origin is Gather <- MatMul',
    ],
    [
      'weights that are rounded',
      {
        nodes: [
          node('Cast', ['w'], 'half', { attributes: { to: 10 } }),
          node('MatMul', ['h', 'half'], 'logits'),
        ],
        initializers: [plain],
      },
      'needs a MatMul that takes weights as they are stored: current one has float32 cast to float16',
    ],
    [
      'columns in another order',
      {
        nodes: [
          node('MatMulNBits', ['h', 'w', 'w', '', 'g'], 'logits', {
            domain: 'com.microsoft',
            attributes: { bits: 4, K: D, N: V, block_size: 16 },
          }),
        ],
        initializers: [plain],
      },
      'needs a MatMulNBits that keeps the order of columns: current one has the order g',
    ],
    [
      'fewer logits than rows',
      { nodes: [node('MatMul', ['h', 'w'], 'logits')], initializers: [plain], vocabSize: 5 },
      'current one has 5 logits of 6',
    ],
    [
      'quantised activations',
      { nodes: [node('MatMulInteger', ['h', 'w'], 'logits')], initializers: [plain] },
      'current origin is MatMulInteger',
    ],
    [
      'weights that are computed',
      {
        nodes: [node('Exp', ['w'], 'e'), node('MatMul', ['h', 'e'], 'logits')],
        initializers: [plain],
      },
      'needs a MatMul that multiplies with constants of the model: current one has weights from Exp',
    ],
    [
      'weights of whole numbers',
      {
        nodes: [node('MatMul', ['h', 'w'], 'logits')],
        initializers: [matrix(new Int32Array(V * D), [D, V], { type: 'int32' })],
      },
      'needs a MatMul that multiplies float32 or float16: current one has int32',
    ],
    [
      'another name of the output',
      {
        nodes: [node('MatMul', ['h', 'w'], 'scores')],
        initializers: [plain],
        output: 'scores',
      },
      'as no output is named "logits": current outputs are scores; name the right one as "logitsOutput"',
    ],
    [
      'two bits',
      {
        nodes: [
          node('MatMulNBits', ['h', 'w', 'w'], 'logits', {
            domain: 'com.microsoft',
            attributes: { bits: 2, K: D, N: V, block_size: 16 },
          }),
        ],
        initializers: [plain],
      },
      'needs a MatMulNBits that has 4 or 8 bits: current one has 2 bits',
    ],
    [
      'floating zero points',
      {
        nodes: [
          node('MatMulNBits', ['h', 'w', 'w', 'w'], 'logits', {
            domain: 'com.microsoft',
            attributes: { bits: 4, K: D, N: V, block_size: 16 },
          }),
        ],
        initializers: [plain],
      },
      'needs a MatMulNBits that packs zero points as uint8: current one has zero points of float32',
    ],
  ])('says what it found instead of a head: %s', async (_, graph, message) => {
    const model = headModel(graph)
    const failure = readOnnxLmHead(model)
    await expect(failure).rejects.toThrow(message)
    await expect(failure).rejects.toMatchObject({ code: 'UNSUPPORTED_ONNX_MODEL' })
    expect(inspectOnnxModel(model)).toMatchObject({ head: null })
    expect(inspectOnnxModel(model).headProblem).toContain(message)
  })

  it('reads no head whose scale would be lost', async () => {
    const model = headModel({
      nodes: [node('MatMul', ['h', 'w'], 'm'), node('Mul', ['m', 'half'], 'logits')],
      initializers: [plain, constant('half', 0.5)],
    })
    await expect(readOnnxLmHead(model)).rejects.toMatchObject({
      code: 'UNSUPPORTED_ONNX_MODEL',
      found: 'the scale 0.5',
      message: expect.stringContaining('read it from the head that cutOnnxLmHead() wrote'),
    })
    expect(inspectOnnxModel(model).head).toMatchObject({ logitScale: 0.5, hasBias: false })
  })

  it('takes no name for scaled hidden states that those before the scale have', () => {
    const model = headModel({
      nodes: [
        node('Tanh', ['h'], 'hidden_states'),
        node('MatMul', ['hidden_states', 'w'], 'm'),
        node('Mul', ['m', 'half'], 'logits'),
      ],
      initializers: [plain, constant('half', 0.5)],
    })
    expect(() => cutOnnxLmHead(model)).toThrow(
      'Cannot cut the LM head as "hiddenStatesOutput" must be a name that no other tensor of the model has',
    )
    expect(cutOnnxLmHead(model, { hiddenStatesOutput: 'x' }).hiddenStatesOutput).toBe('x')
    expect(() => cutOnnxLmHead(model, { hiddenStatesOutput: 'h' })).toThrow('no other tensor')
  })
})
