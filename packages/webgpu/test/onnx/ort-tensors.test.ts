import * as ort from 'onnxruntime-web'
import { describe, expect, it } from 'vitest'
import { deviceOf, type OrtTensor, rowsOf } from '../../src/onnx/ort-tensors.ts'

/** A tensor of onnxruntime's over something that stands for a buffer: no row is read here. */
function onGpu(dataType: 'float32' | 'float16' | 'int32', dims: number[]): ort.Tensor {
  return ort.Tensor.fromGpuBuffer({ size: 4096 } as unknown as GPUBuffer, { dataType, dims })
}

describe('rowsOf()', () => {
  it('finds the last position of each sequence, or the one that is asked for', () => {
    const tensor = onGpu('float32', [2, 5, 8])
    const { buffer, offsets, dtype } = rowsOf(tensor, 8, undefined)
    expect({ buffer, offsets, dtype }).toEqual({
      buffer: tensor.gpuBuffer,
      offsets: [4 * 8 * 4, 9 * 8 * 4],
      dtype: 'f32',
    })
    expect(rowsOf(tensor, 8, [2, 0]).offsets).toEqual([2 * 8 * 4, 5 * 8 * 4])
    const half = onGpu('float16', [3, 8])
    expect(rowsOf(half, 8, undefined)).toMatchObject({ offsets: [0, 16, 32], dtype: 'f16' })
  })

  it('takes all rows of a matrix, or those that are named', () => {
    const half = onGpu('float16', [5, 8])
    expect(rowsOf(half, 8, undefined).offsets).toEqual([0, 16, 32, 48, 64])
    expect(rowsOf(half, 8, [4, 1]).offsets).toEqual([64, 16])
  })

  it.each<[string, () => unknown, string]>([
    [
      'no tensor',
      () => null,
      'Cannot sample tokens as "tensor" must be a tensor of onnxruntime-web',
    ],
    [
      'one on the CPU',
      () => new ort.Tensor('float32', new Float32Array(16), [1, 2, 8]),
      "must be on the GPU: current one is float32 [1, 2, 8] on cpu; create the session with preferredOutputLocation: 'gpu-buffer'",
    ],
    [
      'one that is disposed',
      () => {
        const tensor = onGpu('float32', [1, 2, 8])
        tensor.dispose()
        return tensor
      },
      'must be on the GPU: current one is float32 [1, 2, 8] on none; sample before you dispose it',
    ],
    [
      'another type',
      () => onGpu('int32', [1, 2, 8]),
      'must be of float32 or float16: current one is int32 [1, 2, 8]',
    ],
    [
      'another width',
      () => onGpu('float32', [1, 2, 16]),
      'must be [batchSize, sequenceLength, 8] or [numRows, 8]: current one is float32 [1, 2, 16]; pass the output that belongs to the head',
    ],
    ['four axes', () => onGpu('float32', [1, 1, 2, 8]), 'must be [batchSize, sequenceLength, 8]'],
    ['no row', () => onGpu('float32', [0, 2, 8]), 'must not be empty'],
  ])('refuses %s', (_, make, message) => {
    expect(() => rowsOf(make() as OrtTensor, 8, undefined)).toThrow(message)
  })

  it('refuses positions outside the sequence', () => {
    const tensor = onGpu('float32', [2, 5, 8])
    expect(() => rowsOf(tensor, 8, [0])).toThrow(
      'Cannot sample tokens as "positions" must be one for each of 2 sequences: current value is an array of length 1',
    )
    for (const positions of [
      [0, 5],
      [0, -1],
      [0, 1.5],
    ]) {
      expect(() => rowsOf(tensor, 8, positions)).toThrow(
        'Cannot sample tokens as "positions[1]" must be a whole number below 5',
      )
    }
  })
})

describe('deviceOf()', () => {
  it('says what it needs where there is no device', async () => {
    await expect(deviceOf(ort)).rejects.toThrow(
      'Cannot create a sampler for onnxruntime-web as "ort" must be the module "onnxruntime-web/webgpu" with a session on WebGPU, which brings a GPUDevice: current value is undefined',
    )
    await expect(deviceOf({} as typeof ort)).rejects.toThrow(TypeError)
  })
})
