/**
 * Contenders of onnxruntime-node: its MatMul writes the logits, JavaScript draws from them.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { BenchHead, Contender, ContenderFamily, ContenderName, DrawCall } from './contender.ts'
import { contendersFolder, INSTALL_HINT } from './install.ts'
import {
  type JavaScriptDraw,
  type JavaScriptSamplingOptions,
  sampleByGumbelMax,
  sampleByPartialSums,
  sampleBySoftmax,
} from './javascript-sampler.ts'
import { makeOnnxHead, type OnnxHead } from './onnx-head.ts'
import { ONNX_EXTERNAL_PATH } from './onnx-model.ts'

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
    const onnxHead = makeOnnxHead(head)
    const contenders: Contender[] = []
    const readers: LogitsReader[] = []
    for (const threads of new Set(wanted.map((entry) => entry.threads))) {
      const reader = await createReader(runtime, head, onnxHead, threads)
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
  return createReader(loadOnnxRuntime(), head, makeOnnxHead(head), threads)
}

function loadOnnxRuntime(): OnnxRuntime {
  return createRequire(`${contendersFolder()}/package.json`)(ENGINE) as OnnxRuntime
}

/** Loads a head into a session of its own. */
function createSession(
  runtime: OnnxRuntime,
  { model, weights }: OnnxHead,
  threads: number,
): Promise<OnnxSession> {
  return runtime.InferenceSession.create(model, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    externalData: [{ path: ONNX_EXTERNAL_PATH, data: weights }],
  })
}

/** Runs the session into a logits array that is kept from call to call, which is the faster way. */
async function createReader(
  runtime: OnnxRuntime,
  head: BenchHead,
  onnxHead: OnnxHead,
  threads: number,
): Promise<LogitsReader> {
  const { vocabSize, hiddenSize } = head
  const session = await createSession(runtime, onnxHead, threads)
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
