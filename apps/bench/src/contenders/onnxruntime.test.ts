import { readWeightRows } from '@flashsampling/core'
import { describe, expect, it } from 'vitest'
import { makeHead, makeHiddenStates } from '../cases/inputs.ts'
import type { BenchHead } from './contender.ts'
import { encodeOnnxModel } from './onnx-model.ts'
import { createLogitsReader, onnxruntimeFamily } from './onnxruntime.ts'

const reason = onnxruntimeFamily.unavailableReason()
const shape = { name: 'test', title: 'test', vocabSize: 500, hiddenSize: 96 }
const batchSize = 3

describe('encodeOnnxModel()', () => {
  it('writes field numbers and lengths of the protobuf wire format', () => {
    const bytes = encodeOnnxModel({
      opType: 'MatMul',
      nodeInputs: ['x', 'w'],
      inputs: [{ name: 'x', type: 'float32', shape: ['n', 300] }],
      output: { name: 'y', type: 'float32', shape: ['n', 5] },
    })
    // ir_version (field 1) = 9, then producer_name (field 2) of 19 bytes.
    expect([...bytes.subarray(0, 4)]).toEqual([0x08, 9, 0x12, 19])
    // dim_value (field 1) = 300 as a varint inside its dimension (field 1).
    const text = Buffer.from(bytes).toString('latin1')
    expect(text).toContain('\x0a\x03\x08\xac\x02')
    expect(text).toContain('MatMul')
  })
})

describe('onnxruntimeFamily', () => {
  it('says how to install it where it is missing', ({ skip }) => {
    skip(reason === null, 'onnxruntime-node is installed')
    expect(reason).toContain('--install-contenders')
  })

  for (const [dtype, tolerance] of [
    ['f32', 1e-5],
    // Hidden states are rounded to 8 bits per block of 32: logits of spread 3 move by a few hundredths.
    ['q8_0', 0.1],
  ] as const) {
    it(`writes the logits of a ${dtype} head`, async ({ skip }) => {
      skip(reason !== null, String(reason))
      const head = makeHead(shape, dtype) as BenchHead
      const hiddenStates = makeHiddenStates(batchSize, shape.hiddenSize, 5)
      const { multiply, release } = await createLogitsReader(head, 1)
      const logits = await multiply(hiddenStates, batchSize)
      await release()
      const weights = readWeightRows(head, 0, shape.vocabSize)
      let worst = 0
      for (let row = 0; row < batchSize; row++) {
        for (let id = 0; id < shape.vocabSize; id++) {
          let logit = 0
          for (let i = 0; i < shape.hiddenSize; i++) {
            logit += weights[id * shape.hiddenSize + i]! * hiddenStates[row * shape.hiddenSize + i]!
          }
          worst = Math.max(worst, Math.abs(logits[row * shape.vocabSize + id]! - logit))
        }
      }
      expect(worst).toBeLessThan(tolerance)
    })
  }

  it('draws one token id per row', async ({ skip }) => {
    skip(reason !== null, String(reason))
    const head = makeHead(shape, 'f32') as BenchHead
    const wanted = [
      { name: 'onnxruntime-node', threads: 1 },
      { name: 'onnxruntime-node-softmax', threads: 2 },
    ] as const
    const loaded = await onnxruntimeFamily.load(head, wanted)
    const hiddenStates = makeHiddenStates(batchSize, shape.hiddenSize, 5)
    for (const contender of loaded.contenders) {
      const call = { hiddenStates, batchSize, variant: 'plain', params: { seed: 1n } } as const
      const tokenIds = [...Array.from(await contender.draw(call))]
      expect(tokenIds).toHaveLength(batchSize)
      for (const id of tokenIds) expect(id >= 0 && id < shape.vocabSize).toBe(true)
    }
    await loaded.dispose()
  })
})
