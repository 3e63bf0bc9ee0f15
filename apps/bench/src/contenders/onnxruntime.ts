/**
 * Contenders of onnxruntime-node: its MatMul writes the logits, JavaScript draws from them.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { f16ToNumber } from '@flashsampling/core'
import type { BenchHead, Contender, ContenderFamily, ContenderName, DrawCall } from './contender.ts'
import { contendersFolder, INSTALL_HINT } from './install.ts'
import {
  type JavaScriptDraw,
  type JavaScriptSamplingOptions,
  sampleByGumbelMax,
  sampleByPartialSums,
  sampleBySoftmax,
} from './javascript-sampler.ts'
import { encodeOnnxModel, ONNX_EXTERNAL_PATH, type OnnxInitializer } from './onnx-model.ts'

const ENGINE = 'onnxruntime-node'

type Sample = (logits: Float32Array, options: JavaScriptSamplingOptions) => JavaScriptDraw

const SAMPLERS: Partial<Record<ContenderName, Sample | null>> = {
  'onnxruntime-node': sampleByPartialSums,
  'onnxruntime-node-gumbel': sampleByGumbelMax,
  'onnxruntime-node-softmax': sampleBySoftmax,
  'onnxruntime-node-matmul': null,
}

/** The part of onnxruntime-node that is used here. */
interface OnnxRuntime {
  InferenceSession: {
    create(model: Uint8Array, options: object): Promise<OnnxSession>
  }
  Tensor: new (type: 'float32', data: Float32Array, dims: readonly number[]) => OnnxTensor
}
interface OnnxTensor {
  readonly dims: readonly number[]
}
interface OnnxSession {
  run(feeds: Record<string, OnnxTensor>, fetches: Record<string, OnnxTensor>): Promise<unknown>
  release(): Promise<void>
}

/** onnxruntime-node, installed on demand. */
export const onnxruntimeFamily: ContenderFamily = {
  names: Object.keys(SAMPLERS) as ContenderName[],
  versions: () => {
    const manifest = join(contendersFolder(), 'node_modules', ENGINE, 'package.json')
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
    return { [ENGINE]: version }
  },
  unavailableReason: () => {
    try {
      loadOnnxRuntime()
      return null
    } catch (error) {
      const [reason] = (error instanceof Error ? error.message : String(error)).split('\n')
      return `${ENGINE} cannot be loaded (${reason}): ${INSTALL_HINT}`
    }
  },
  supports: ({ name, dtype, variant }) => {
    // Its CPU kernels widen f16 and bf16 weights first, which nobody would choose for a head.
    if (dtype !== 'f32' && dtype !== 'q8_0') return false
    if (variant === 'plain') return true
    return name === ENGINE || (variant === 'masked' && name !== 'onnxruntime-node-matmul')
  },
  load: async (head, wanted) => {
    const runtime = loadOnnxRuntime()
    const weights = arrangeWeights(head)
    const contenders: Contender[] = []
    const readers: LogitsReader[] = []
    for (const threads of new Set(wanted.map((entry) => entry.threads))) {
      const reader = await createReader(runtime, head, weights, threads)
      readers.push(reader)
      const names = wanted.filter((entry) => entry.threads === threads)
      for (const { name } of names) contenders.push(createContender(name, threads, head, reader))
    }
    return {
      contenders,
      dispose: async () => {
        for (const reader of readers) await reader.release()
      },
    }
  },
}

/** Turns hidden states into logits. */
export interface LogitsReader {
  /**
   * Multiplies.
   *
   * @param hiddenStates - `[batchSize, hiddenSize]`, f32, row-major.
   * @param batchSize - Rows.
   * @returns `[batchSize, vocabSize]`, valid until the next call.
   */
  multiply(hiddenStates: Float32Array, batchSize: number): Promise<Float32Array>
  /** Frees the session. */
  release(): Promise<void>
}

/**
 * Loads a head into onnxruntime-node.
 *
 * @param head - An `f32` or `q8_0` head.
 * @param threads - Threads of the session.
 * @returns The reader, owned by the caller.
 */
export function createLogitsReader(head: BenchHead, threads: number): Promise<LogitsReader> {
  return createReader(loadOnnxRuntime(), head, arrangeWeights(head), threads)
}

function loadOnnxRuntime(): OnnxRuntime {
  return createRequire(`${contendersFolder()}/package.json`)(ENGINE) as OnnxRuntime
}

/**
 * Loads a head into a session of its own.
 *
 * `f32`: MatMul with a constant weight, which the engine packs once for its kernels. `q8_0`: MatMulNBits over the same
 * 8-bit values and scales; `accuracy_level` 4 is its fast form, which rounds the hidden states to 8 bits as well.
 */
function createSession(
  runtime: OnnxRuntime,
  head: BenchHead,
  weights: Uint8Array,
  threads: number,
): Promise<OnnxSession> {
  const { vocabSize, hiddenSize } = head
  const blocks = hiddenSize / 32
  const quantBytes = vocabSize * hiddenSize
  const initializers: OnnxInitializer[] =
    head.dtype === 'f32'
      ? [constant('weight', 'float32', [hiddenSize, vocabSize], 0, weights.byteLength)]
      : [
          constant('weight', 'uint8', [vocabSize, blocks, 32], 0, quantBytes),
          constant('scales', 'float32', [vocabSize, blocks], quantBytes, vocabSize * blocks * 4),
        ]
  const model = encodeOnnxModel({
    ...(head.dtype === 'f32'
      ? { opType: 'MatMul' }
      : {
          opType: 'MatMulNBits',
          domain: 'com.microsoft',
          attributes: { K: hiddenSize, N: vocabSize, bits: 8, block_size: 32, accuracy_level: 4 },
        }),
    nodeInputs: ['hidden_states', ...initializers.map(({ name }) => name)],
    inputs: [{ name: 'hidden_states', type: 'float32', shape: ['batch_size', hiddenSize] }],
    output: { name: 'logits', type: 'float32', shape: ['batch_size', vocabSize] },
    initializers,
  })
  return runtime.InferenceSession.create(model, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    externalData: [{ path: ONNX_EXTERNAL_PATH, data: weights }],
  })
}

function constant(
  name: string,
  type: OnnxInitializer['type'],
  shape: readonly number[],
  offset: number,
  byteLength: number,
): OnnxInitializer {
  return { name, type, shape, offset, byteLength }
}

/** Runs the session into a logits array that is kept from call to call, which is the faster way. */
async function createReader(
  runtime: OnnxRuntime,
  head: BenchHead,
  weights: Uint8Array,
  threads: number,
): Promise<LogitsReader> {
  const { vocabSize, hiddenSize } = head
  const session = await createSession(runtime, head, weights, threads)
  let logits = new Float32Array(0)
  let fetches: Record<string, OnnxTensor> = {}
  return {
    multiply: async (hiddenStates, batchSize) => {
      if (logits.length !== batchSize * vocabSize) {
        logits = new Float32Array(batchSize * vocabSize)
        fetches = { logits: new runtime.Tensor('float32', logits, [batchSize, vocabSize]) }
      }
      const input = new runtime.Tensor('float32', hiddenStates, [batchSize, hiddenSize])
      await session.run({ hidden_states: input }, fetches)
      return logits
    },
    release: () => session.release(),
  }
}

function createContender(
  name: ContenderName,
  threads: number,
  head: BenchHead,
  reader: LogitsReader,
): Contender {
  const sample = SAMPLERS[name] ?? null
  const { vocabSize } = head
  return {
    name,
    threads,
    draw: async (call) => {
      const logits = await reader.multiply(call.hiddenStates, call.batchSize)
      if (sample === null) return []
      const options = samplingOptions(call)
      const tokenIds = new Int32Array(call.batchSize)
      for (let row = 0; row < call.batchSize; row++) {
        const rowLogits = logits.subarray(row * vocabSize, (row + 1) * vocabSize)
        tokenIds[row] = sample(rowLogits, options).tokenId
      }
      return tokenIds
    },
  }
}

function samplingOptions({ params }: DrawCall): JavaScriptSamplingOptions {
  const { temperature = 1, topK = 0, topP = 1, allowedTokens, logprobs = 0 } = params
  const allowedMask = allowedTokens instanceof Int32Array ? allowedTokens : null
  return { temperature, topK, topP, allowedMask, logprobs }
}

function arrangeWeights(head: BenchHead): Uint8Array {
  return head.dtype === 'f32' ? transpose(head) : splitQ8Blocks(head)
}

/** `[vocabSize, hiddenSize]` to `[hiddenSize, vocabSize]`, in squares that stay in the cache. */
function transpose(head: BenchHead): Uint8Array {
  const { vocabSize, hiddenSize, data } = head
  const transposed = new Float32Array(vocabSize * hiddenSize)
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
function splitQ8Blocks(head: BenchHead): Uint8Array {
  const { vocabSize, hiddenSize, data } = head
  const blocks = data as Uint8Array
  const numBlocks = (vocabSize * hiddenSize) / 32
  const split = new Uint8Array(numBlocks * 36)
  const scales = new Float32Array(split.buffer, numBlocks * 32, numBlocks)
  for (let block = 0; block < numBlocks; block++) {
    const at = block * 34
    for (let i = 0; i < 32; i++) split[block * 32 + i] = blocks[at + 2 + i]! ^ 0x80
    scales[block] = f16ToNumber(blocks[at]! | (blocks[at + 1]! << 8))
  }
  return split
}
