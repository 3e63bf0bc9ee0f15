import { createSampler, makeCase, readWeightRows } from '@flashsampling/core'
import * as ort from 'onnxruntime-web'
import { describe, expect, it } from 'vitest'
import { inspectOnnxModel } from '../../src/onnx/inspect.ts'
import { readOnnxLmHead } from '../../src/onnx/read-head.ts'
import { columns, D, type Graph, headModel, matrix, node, rows, V } from './head-model.ts'
import { type HeadKind, HIDDEN_SIZE, makeTinyDecoder, multiplyHead } from './tiny-decoder.ts'

ort.env.wasm.numThreads = 1

describe('readOnnxLmHead()', () => {
  it.each<HeadKind>(['f32', 'f16', 'f16-cast', 'tied', 'nbits4', 'nbits8'])(
    'reads a %s head with the weights that onnxruntime multiplies with',
    async (kind) => {
      const { bytes, lmHead } = makeTinyDecoder('window', kind)
      const read = await readOnnxLmHead(bytes)
      const { vocabSize } = lmHead
      expect(readWeightRows(read, 0, vocabSize)).toEqual(readWeightRows(lmHead, 0, vocabSize))
      // A model of the head alone, on hidden states of ours.
      const { hiddenStates } = makeCase({ seed: 9n, vocabSize: 1, hiddenSize: HIDDEN_SIZE })
      const expected = multiplyHead(read, hiddenStates)
      const session = await ort.InferenceSession.create(makeTinyDecoder('none', kind).bytes)
      const states = new ort.Tensor('float32', hiddenStates, [1, 1, HIDDEN_SIZE])
      const { logits } = await session.run({ hidden: states })
      // Half-precision products carry 11 bits; the others fp32 sums of 64 terms.
      const tolerance = kind === 'f16' ? 2e-2 : 1e-4
      const data = logits!.data as ArrayLike<number>
      const actual = logits!.type === 'float16' ? widen(logits!.data as Uint16Array) : data
      for (let token = 0; token < vocabSize; token++) {
        expect(Math.abs(actual[token]! - expected[token]!)).toBeLessThan(tolerance)
      }
    },
  )

  it.each<[string, Graph]>([
    [
      'MatMul',
      { nodes: [node('MatMul', ['h', 'w'], 'logits')], initializers: [matrix(columns, [D, V])] },
    ],
    [
      'MatMul of values that are kept as float_data',
      {
        nodes: [node('MatMul', ['h', 'w'], 'logits')],
        initializers: [matrix(columns, [D, V], { asTypedField: true })],
      },
    ],
    [
      'MatMul behind Transpose, Cast, Reshape and Identity',
      {
        nodes: [
          node('Transpose', ['w'], 'wt', { attributes: { perm: [1, 0] } }),
          node('MatMul', ['h', 'wt'], 'm'),
          node('Cast', ['m'], 'c', { attributes: { to: 1 } }),
          node('Reshape', ['c', 'shape'], 'r'),
          node('Identity', ['r'], 'logits'),
        ],
        initializers: [
          matrix(rows, [V, D]),
          { name: 'shape', type: 'int64', dims: [3], data: BigInt64Array.of(0n, 0n, -1n) },
        ],
      },
    ],
    [
      'MatMul behind a Slice of positions',
      {
        nodes: [
          node('MatMul', ['h', 'w'], 'm'),
          node('Slice', ['m', 'from', 'to', 'axes'], 'logits'),
        ],
        initializers: [
          matrix(columns, [D, V]),
          { name: 'from', type: 'int64', dims: [1], data: BigInt64Array.of(-1n) },
          { name: 'to', type: 'int64', dims: [1], data: BigInt64Array.of(9223372036854775807n) },
          { name: 'axes', type: 'int64', dims: [1], data: BigInt64Array.of(1n) },
        ],
      },
    ],
    [
      'MatMul behind a Gather of one position, in the domain by its long name',
      {
        nodes: [
          node('MatMul', ['h', 'w'], 'm', { domain: 'ai.onnx' }),
          node('Gather', ['m', 'last'], 'logits', { attributes: { axis: 1 } }),
        ],
        initializers: [
          matrix(columns, [D, V]),
          { name: 'last', type: 'int64', dims: [1], data: BigInt64Array.of(-1n) },
        ],
      },
    ],
    [
      'Gemm with transB',
      {
        nodes: [node('Gemm', ['h', 'w'], 'logits', { attributes: { transB: 1 } })],
        initializers: [matrix(rows, [V, D])],
      },
    ],
    [
      'FusedMatMul',
      {
        nodes: [
          node('FusedMatMul', ['h', 'w'], 'logits', {
            domain: 'com.microsoft',
            attributes: { transB: 1, alpha: { float: 1 } },
          }),
        ],
        initializers: [matrix(rows, [V, D])],
      },
    ],
    [
      'an output of another name',
      {
        nodes: [node('MatMul', ['h', 'w'], 'lm_logits')],
        initializers: [matrix(columns, [D, V])],
        output: 'lm_logits',
      },
    ],
  ])('finds the head in %s', async (_, graph) => {
    const head = await readOnnxLmHead(headModel(graph))
    expect(head).toMatchObject({ dtype: 'f32', vocabSize: V, hiddenSize: D })
    expect(head.data).toEqual(rows)
  })

  it('keeps bf16 and f16 as they are stored, behind a cast as well', async () => {
    const bits = Uint16Array.from({ length: V * D }, (_, i) => 0x3c00 + i)
    for (const [type, dtype] of [
      ['bfloat16', 'bf16'],
      ['float16', 'f16'],
    ] as const) {
      for (const asTypedField of [false, true]) {
        const nodes = [
          node('Cast', ['w'], 'wide', { attributes: { to: 1 } }),
          node('Transpose', ['wide'], 't'),
          node('MatMul', ['h', 't'], 'logits'),
        ]
        const initializers = [matrix(bits, [V, D], { type, asTypedField })]
        const head = await readOnnxLmHead(headModel({ nodes, initializers }))
        expect(head.dtype).toBe(dtype)
        expect(head.data).toEqual(bits)
      }
    }
  })

  it('asks the loader for exactly the bytes of the head in a file beside the model', async () => {
    const data = { location: 'weights/model.onnx_data', offset: 4096, length: V * D * 4 }
    const initializers = [{ ...matrix(columns, [D, V]), data }]
    const model = headModel({ nodes: [node('MatMul', ['h', 'w'], 'logits')], initializers })
    const asked: unknown[] = []
    const head = await readOnnxLmHead(model, {
      loadExternalData: async (place) => {
        asked.push(place)
        return new Uint8Array(columns.buffer)
      },
    })
    expect(asked).toEqual([data])
    expect(head.data).toEqual(rows)
    await expect(readOnnxLmHead(model)).rejects.toMatchObject({
      code: 'INVALID_ONNX_MODEL',
      message:
        'Cannot read tensor "w" as it lies in the file "weights/model.onnx_data" beside the model: pass "loadExternalData", which reads that file',
    })
    const short = { loadExternalData: () => new Uint8Array(5) }
    await expect(readOnnxLmHead(model, short)).rejects.toThrow(
      'Cannot read tensor "w" as its shape [4, 6] of float32 needs 96 bytes: current data has 5',
    )
  })

  it('takes a constant by its name, for models that were exported without a head', async () => {
    const { bytes } = makeTinyDecoder('window', 'tied')
    const head = await readOnnxLmHead(bytes, { initializer: 'embedding' })
    expect(head.data).toEqual((await readOnnxLmHead(bytes)).data)
    await expect(readOnnxLmHead(bytes, { initializer: 'wte' })).rejects.toThrow(
      'Cannot read the LM head as the ONNX model has no constant named "wte": its tallest matrices are embedding [320, 64]; down [128, 64]; up [64, 128]',
    )
    await expect(readOnnxLmHead(bytes, { initializer: 'axis' })).rejects.toMatchObject({
      code: 'UNSUPPORTED_ONNX_MODEL',
      found: 'int64 []',
    })
  })

  it('gives a head that core samples from', async () => {
    const { bytes } = makeTinyDecoder('window', 'nbits4')
    await using sampler = await createSampler({ lmHead: await readOnnxLmHead(bytes) })
    const hiddenStates = new Float32Array(HIDDEN_SIZE).fill(0.5)
    const { tokenIds } = await sampler.sample({ hiddenStates, params: { seed: 1n } })
    expect(tokenIds).toHaveLength(1)
  })

  it('says when the bytes are no model, or cut off', async () => {
    const text = new TextEncoder().encode('<!doctype html><title>404</title>')
    await expect(readOnnxLmHead(text)).rejects.toMatchObject({ code: 'INVALID_ONNX_MODEL' })
    await expect(readOnnxLmHead(new Uint8Array(0))).rejects.toThrow(
      'Cannot read the ONNX model as its 0 bytes hold no graph: pass the content of a .onnx file',
    )
    const { bytes } = makeTinyDecoder('window', 'f32')
    for (const length of [1, 100, 1000, 100_000, bytes.length - 1]) {
      await expect(readOnnxLmHead(bytes.subarray(0, length))).rejects.toMatchObject({
        code: 'INVALID_ONNX_MODEL',
      })
    }
  })
})

describe('inspectOnnxModel()', () => {
  it('describes inputs, outputs and head', () => {
    expect(inspectOnnxModel(makeTinyDecoder('cached', 'nbits4').bytes)).toEqual({
      inputs: ['input_ids', 'past_keys', 'past_values'],
      outputs: ['logits', 'keys', 'values'],
      hiddenStatesOutput: null,
      head: {
        op: 'MatMulNBits',
        dtype: 'nbits4',
        vocabSize: 320,
        hiddenSize: 64,
        hiddenStatesType: 'float32',
        logitsOutput: 'logits',
        hiddenStatesTensor: '/model/norm/output',
        logitScale: 1,
        hasBias: false,
      },
      headProblem: null,
    })
    expect(inspectOnnxModel(makeTinyDecoder('window', 'f16').bytes).head).toMatchObject({
      op: 'MatMul',
      dtype: 'f16',
      hiddenStatesType: 'float16',
      hiddenStatesTensor: 'half_hidden',
    })
  })

  it('recognises models that were exported without a head', () => {
    const graph = { nodes: [node('Tanh', ['h'], 'hidden_states')], initializers: [] }
    const info = inspectOnnxModel(headModel({ ...graph, output: 'hidden_states', vocabSize: D }))
    expect(info).toMatchObject({ hiddenStatesOutput: 'hidden_states', head: null })
    expect(info.headProblem).toContain('the weight as "initializer"')
  })
})

function widen(bits: Uint16Array): Float32Array {
  const half = { dtype: 'f16', vocabSize: 1, hiddenSize: bits.length, data: bits } as const
  return readWeightRows(half, 0, 1)
}
