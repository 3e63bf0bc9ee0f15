import { f16ToNumber } from '@flashsampling/core'
import * as ort from 'onnxruntime-web'
import { describe, expect, it } from 'vitest'
import { cutOnnxLmHead } from '../../src/onnx/cut-head.ts'
import { parseModel } from '../../src/onnx/graph.ts'
import { inspectOnnxModel } from '../../src/onnx/inspect.ts'
import { readOnnxLmHead } from '../../src/onnx/read-head.ts'
import { encodeModel, type Model } from './onnx-writer.ts'
import { type BodyKind, type HeadKind, HIDDEN_SIZE, makeTinyDecoder } from './tiny-decoder.ts'

ort.env.wasm.numThreads = 1
ort.env.logLevel = 'error'

function inputsOf(body: BodyKind): Record<string, ort.Tensor> {
  const ids = body === 'window' ? [3n, 1n, 4n, 1n, 5n, 9n] : [7n, 300n]
  const dims = body === 'window' ? [2, 3] : [2, 1]
  const past = Float32Array.from({ length: 2 * 2 * HIDDEN_SIZE }, (_, i) => Math.sin(i))
  const cache = new ort.Tensor('float32', past, [2, 2, HIDDEN_SIZE])
  const input_ids = new ort.Tensor('int64', BigInt64Array.from(ids), dims)
  return body === 'window' ? { input_ids } : { input_ids, past_keys: cache, past_values: cache }
}

async function run(
  model: Uint8Array,
  feeds: Record<string, ort.Tensor>,
): Promise<Record<string, ort.Tensor>> {
  const session = await ort.InferenceSession.create(model)
  const results = await session.run(feeds)
  await session.release()
  return results as Record<string, ort.Tensor>
}

/**
 * Equal to the bit; f16 within two units in the last place of the largest logit, as onnxruntime computes f16 in f32 on the
 * CPU and rounds hidden states to f16 only where a model ends.
 */
function expectSame(actual: ort.Tensor, expected: ort.Tensor): void {
  expect(actual.type).toBe(expected.type)
  if (actual.type !== 'float16') {
    expect(actual.data).toEqual(expected.data)
    return
  }
  const [a, b] = [actual, expected].map(({ data }) => Array.from(data as Uint16Array, f16ToNumber))
  expect(a).toHaveLength(b!.length)
  const tolerance = 2 * 2 ** -10 * Math.max(...b!.map(Math.abs))
  for (const [i, value] of a!.entries()) {
    expect(Math.abs(value - (b![i] as number))).toBeLessThan(tolerance)
  }
}

const BODIES: BodyKind[] = ['window', 'cached']
const HEADS: HeadKind[] = ['f32', 'f16', 'f16-cast', 'tied', 'nbits4', 'nbits8']

describe('cutOnnxLmHead()', () => {
  it.each(BODIES.flatMap((body) => HEADS.map((head) => [body, head] as const)))(
    'cuts a %s model before its %s head into two that together give the same logits',
    async (body, head) => {
      const { bytes } = makeTinyDecoder(body, head)
      const cut = cutOnnxLmHead(bytes)
      const feeds = inputsOf(body)
      const { logits, ...caches } = await run(bytes, feeds)
      const { hidden_states, ...cachesOfBody } = await run(cut.body, feeds)
      expect(hidden_states!.dims).toEqual([2, body === 'window' ? 3 : 1, HIDDEN_SIZE])
      expect(hidden_states!.type).toBe(cut.hiddenStatesType)
      const after = await run(cut.head, { hidden_states: hidden_states as ort.Tensor })
      expectSame(after.logits!, logits!)
      expect(Object.keys(cachesOfBody)).toEqual(Object.keys(caches))
      for (const name of Object.keys(caches)) {
        expect(cachesOfBody[name]!.data).toEqual(caches[name]!.data)
      }
      expect(await readOnnxLmHead(cut.head)).toEqual(await readOnnxLmHead(bytes))
    },
  )

  it('leaves nothing of the head in the body, and of the body in the head', () => {
    const { bytes } = makeTinyDecoder('cached', 'nbits4')
    const { body, head } = cutOnnxLmHead(bytes)
    const parts = [parseModel(bytes), parseModel(body), parseModel(head)]
    const [all, ...halves] = parts.map((part) => [...part.initializers.keys()])
    expect(halves[1]).toEqual(['quants', 'scales', 'zero_points'])
    expect(halves[0]).toEqual(all!.filter((name) => !halves[1]!.includes(name)))
    expect(body.length + head.length).toBeLessThan(bytes.length + 1000)
    expect(inspectOnnxModel(body)).toMatchObject({
      inputs: ['input_ids', 'past_keys', 'past_values'],
      outputs: ['keys', 'values', 'hidden_states'],
      hiddenStatesOutput: 'hidden_states',
    })
    const hiddenStates = parts[1]!.outputs.find(({ name }) => name === 'hidden_states')
    expect(hiddenStates).toMatchObject({ dims: [null, null, HIDDEN_SIZE], dataType: 1 })
  })

  it('keeps what it does not know, byte for byte', () => {
    const { bytes } = makeTinyDecoder('window', 'f32')
    const [before, after] = [parseModel(bytes), parseModel(cutOnnxLmHead(bytes).body)]
    expect(after.otherModelFields).toEqual(before.otherModelFields)
    expect(after.otherGraphFields).toEqual(before.otherGraphFields)
    const text = new TextDecoder().decode(after.otherGraphFields.at(-1))
    expect(text).toContain('a text that no reader needs')
  })

  it('shares a tied embedding between both parts', () => {
    const { body, head } = cutOnnxLmHead(makeTinyDecoder('window', 'tied').bytes)
    expect(parseModel(body).initializers.has('embedding')).toBe(true)
    expect([...parseModel(head).initializers.keys()]).toEqual(['embedding'])
    expect(parseModel(body).nodes.map(({ op }) => op)).not.toContain('Transpose')
  })

  const external = (name: string, offset: number, dims: number[]) =>
    ({
      name,
      type: 'float32',
      dims,
      data: { location: 'model.onnx_data', offset, length: 4 * dims[0]! * dims[1]! },
    }) as const
  const withFiles: Model = {
    nodes: [
      { op: 'MatMul', inputs: ['x', 'first'], outputs: ['a'] },
      { op: 'MatMul', inputs: ['a', 'second'], outputs: ['b'] },
      { op: 'MatMul', inputs: ['b', 'head'], outputs: ['logits'] },
    ],
    initializers: [
      external('first', 0, [8, 32]),
      external('head', 4096, [32, 50]),
      external('second', 12288, [32, 32]),
    ],
    inputs: [{ name: 'x', type: 'float32', dims: ['batch', 8] }],
    outputs: [{ name: 'logits', type: 'float32', dims: ['batch', 50] }],
  }

  it('goes on reading the file beside the model, or says what to copy into new ones', async () => {
    const model = encodeModel(withFiles)
    const original = Uint8Array.from({ length: 16384 }, (_, i) => (i % 4 === 3 ? 0x3f : i & 63))
    const place = (part: Uint8Array, name: string) =>
      parseModel(part).initializers.get(name)?.external
    const kept = cutOnnxLmHead(model)
    expect(kept.copies).toEqual([])
    expect(place(kept.body, 'second')).toMatchObject({ location: 'model.onnx_data', offset: 12288 })
    expect(place(kept.head, 'head')).toMatchObject({ location: 'model.onnx_data', offset: 4096 })

    const moved = cutOnnxLmHead(model, { externalData: { body: 'b.data', head: 'h.data' } })
    expect(moved.copies).toEqual([
      { from: 'model.onnx_data', fromOffset: 0, length: 1024, to: 'b.data', toOffset: 0 },
      { from: 'model.onnx_data', fromOffset: 12288, length: 4096, to: 'b.data', toOffset: 4096 },
      { from: 'model.onnx_data', fromOffset: 4096, length: 6400, to: 'h.data', toOffset: 0 },
    ])
    const files: Record<string, Uint8Array> = {
      'b.data': new Uint8Array(8192),
      'h.data': new Uint8Array(6400),
    }
    for (const { fromOffset, length, to, toOffset } of moved.copies) {
      files[to]!.set(original.subarray(fromOffset, fromOffset + length), toOffset)
    }
    const runWith = async (part: Uint8Array, path: string, feeds: Record<string, ort.Tensor>) => {
      const data = path === 'model.onnx_data' ? original : files[path]!
      const session = await ort.InferenceSession.create(part, { externalData: [{ path, data }] })
      return session.run(feeds)
    }
    const x = new ort.Tensor('float32', Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8), [1, 8])
    const { logits } = await runWith(model, 'model.onnx_data', { x })
    const { hidden_states } = await runWith(moved.body, 'b.data', { x })
    const after = await runWith(moved.head, 'h.data', { hidden_states: hidden_states! })
    expect(after.logits!.data).toEqual(logits!.data)
  })

  it('moves tensors whose size only the file tells, such as two elements a byte', () => {
    const data = { location: 'model.onnx_data', offset: 20480, length: 2 }
    const nibbles = { name: 'nibbles', type: 'uint4', dims: [3], data } as const
    const model = encodeModel({
      ...withFiles,
      nodes: [...withFiles.nodes, { op: 'Cast', inputs: ['nibbles'], outputs: ['bytes'] }],
      initializers: [...withFiles.initializers, nibbles],
      outputs: [...withFiles.outputs, { name: 'bytes', type: 'uint8', dims: [3] }],
    })
    const { copies } = cutOnnxLmHead(model, { externalData: { body: 'b.data', head: 'h.data' } })
    expect(copies).toContainEqual({
      ...{ from: 'model.onnx_data', fromOffset: 20480, length: 2 },
      ...{ to: 'b.data', toOffset: 8192 },
    })
  })

  it('keeps what nested graphs read from outside', async () => {
    const { bytes } = makeTinyDecoder('window', 'f32')
    const parsed = parseModel(bytes)
    expect(parsed.nodes.length).toBeGreaterThan(5)
    const model = encodeModel({
      nodes: [
        {
          op: 'If',
          inputs: ['flag'],
          outputs: ['b'],
          attributes: {
            then_branch: { graph: [{ op: 'Neg', inputs: ['x'], outputs: ['negative'] }] },
            else_branch: { graph: [{ op: 'Mul', inputs: ['x', 'two'], outputs: ['twice'] }] },
          },
        },
        { op: 'MatMul', inputs: ['b', 'head'], outputs: ['logits'] },
      ],
      initializers: [
        { name: 'two', type: 'float32', dims: [1], data: Float32Array.of(2) },
        { name: 'head', type: 'float32', dims: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
      ],
      inputs: [
        { name: 'x', type: 'float32', dims: ['batch', 2] },
        { name: 'flag', type: 'bool', dims: [] },
      ],
      outputs: [{ name: 'logits', type: 'float32', dims: ['batch', 3] }],
    })
    const { body } = cutOnnxLmHead(model)
    const x = new ort.Tensor('float32', Float32Array.of(5, 7), [1, 2])
    const flag = new ort.Tensor('bool', Uint8Array.of(0), [])
    const { hidden_states } = await run(body, { x, flag })
    expect([...(hidden_states!.data as Float32Array)]).toEqual([10, 14])
  })

  it('names the hidden states as asked, unless another tensor has the name', async () => {
    const { bytes } = makeTinyDecoder('window', 'f32')
    const cut = cutOnnxLmHead(bytes, { hiddenStatesOutput: 'last_hidden_state' })
    const { last_hidden_state } = await run(cut.body, inputsOf('window'))
    expect(last_hidden_state!.dims).toEqual([2, 3, HIDDEN_SIZE])
    const same = cutOnnxLmHead(bytes, { hiddenStatesOutput: '/model/norm/output' })
    const results = await run(same.body, inputsOf('window'))
    expect(results['/model/norm/output']!.data).toEqual(last_hidden_state!.data)
    expect(() => cutOnnxLmHead(bytes, { hiddenStatesOutput: 'raised' })).toThrow(
      'Cannot cut the LM head as "hiddenStatesOutput" must be a name that no other tensor of the model has: current value is "raised"',
    )
  })

  it('says so when there is no head to cut off', () => {
    const { body } = cutOnnxLmHead(makeTinyDecoder('window', 'f32').bytes)
    expect(() => cutOnnxLmHead(body)).toThrow(
      'Cannot find the LM head of the ONNX model as no output is named "logits": current outputs are hidden_states',
    )
  })
})
