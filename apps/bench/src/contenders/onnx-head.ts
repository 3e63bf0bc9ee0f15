/**
 * An LM head as an ONNX model of one node, for every engine that runs ONNX.
 *
 * @module
 */
import { f16ToNumber, type LmHeadShard } from '@flashsampling/core'
import { encodeOnnxModel, type OnnxInitializer } from './onnx-model.ts'

/** A model and what it is loaded with. */
export interface OnnxHead {
  /** Bytes of the model. Its input is `hidden_states`, its output `logits`. */
  model: Uint8Array
  /** Its external data, to be passed under `ONNX_EXTERNAL_PATH`. */
  weights: Uint8Array
}

/** Weights that share a scale in `q8_0`. */
const BLOCK_WEIGHTS = 32

/**
 * Makes a model of a head.
 *
 * `f32` and `f16`: MatMul with a constant weight, which an engine may pack once for its kernels. `q8_0` and `nbits4`:
 * MatMulNBits over the same values and scales; `accuracy_level` 4 is its fast form, which may round the hidden states
 * to 8 bits as well.
 *
 * @param head - The head, with its weights in memory.
 * @returns The model.
 */
export function makeOnnxHead(head: LmHeadShard): OnnxHead {
  const { dtype, vocabSize, hiddenSize, data } = head
  const type = dtype === 'f16' ? 'float16' : 'float32'
  const tensors = {
    inputs: [{ name: 'hidden_states', type, shape: ['batch_size', hiddenSize] }],
    output: { name: 'logits', type, shape: ['batch_size', vocabSize] },
  } as const
  if (dtype === 'f32' || dtype === 'f16') {
    const weights = transpose(data as Float32Array | Uint16Array, vocabSize, hiddenSize)
    const shape = [hiddenSize, vocabSize]
    const initializers: OnnxInitializer[] = [
      { name: 'weight', type, shape, offset: 0, byteLength: weights.length },
    ]
    const nodeInputs = ['hidden_states', 'weight']
    const model = encodeOnnxModel({ opType: 'MatMul', nodeInputs, initializers, ...tensors })
    return { model, weights }
  }
  const bits = dtype === 'q8_0' ? 8 : 4
  const blockSize = head.quantization?.blockSize ?? BLOCK_WEIGHTS
  const blocks = Math.ceil(hiddenSize / blockSize)
  const weights = dtype === 'q8_0' ? splitQ8Blocks(head) : joinBlocks(head)
  const quantBytes = vocabSize * blocks * blockSize * (bits / 8)
  const initializers: OnnxInitializer[] = [
    {
      ...{ name: 'weight', type: 'uint8', offset: 0, byteLength: quantBytes },
      shape: [vocabSize, blocks, blockSize * (bits / 8)],
    },
    {
      ...{ name: 'scales', type: 'float32', offset: quantBytes },
      ...{ shape: [vocabSize, blocks], byteLength: vocabSize * blocks * 4 },
    },
  ]
  const model = encodeOnnxModel({
    opType: 'MatMulNBits',
    domain: 'com.microsoft',
    attributes: { K: hiddenSize, N: vocabSize, bits, block_size: blockSize, accuracy_level: 4 },
    nodeInputs: ['hidden_states', 'weight', 'scales'],
    initializers,
    ...tensors,
  })
  return { model, weights }
}

/** `[vocabSize, hiddenSize]` to `[hiddenSize, vocabSize]`, in squares that stay in the cache. */
function transpose(
  data: Float32Array | Uint16Array,
  vocabSize: number,
  hiddenSize: number,
): Uint8Array {
  const transposed = new (data.constructor as new (length: number) => typeof data)(data.length)
  const side = 64
  for (let row0 = 0; row0 < vocabSize; row0 += side) {
    const rowEnd = Math.min(vocabSize, row0 + side)
    for (let column0 = 0; column0 < hiddenSize; column0 += side) {
      const columnEnd = Math.min(hiddenSize, column0 + side)
      for (let column = column0; column < columnEnd; column++) {
        for (let row = row0; row < rowEnd; row++) {
          transposed[column * vocabSize + row] = data[row * hiddenSize + column]!
        }
      }
    }
  }
  return new Uint8Array(transposed.buffer)
}

/** GGUF blocks to the layout of MatMulNBits: all 8-bit values plus 128, then all scales in f32. */
function splitQ8Blocks({ vocabSize, hiddenSize, data }: LmHeadShard): Uint8Array {
  const blocks = data as Uint8Array
  const numBlocks = (vocabSize * hiddenSize) / BLOCK_WEIGHTS
  const split = new Uint8Array(numBlocks * 36)
  const scales = new Float32Array(split.buffer, numBlocks * 32, numBlocks)
  for (let block = 0; block < numBlocks; block++) {
    const at = block * 34
    for (let i = 0; i < 32; i++) split[block * 32 + i] = blocks[at + 2 + i]! ^ 0x80
    scales[block] = f16ToNumber(blocks[at]! | (blocks[at + 1]! << 8))
  }
  return split
}

/** Quants and scales of an `nbits` head, one behind the other. */
function joinBlocks({ data, quantization }: LmHeadShard): Uint8Array {
  const quants = data as Uint8Array
  const scales = quantization?.scales as Float32Array
  const joined = new Uint8Array(quants.byteLength + scales.byteLength)
  joined.set(quants)
  joined.set(new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength), quants.byteLength)
  return joined
}
