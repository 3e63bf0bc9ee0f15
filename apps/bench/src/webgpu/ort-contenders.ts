/**
 * Contenders of onnxruntime-web: its product on WebGPU, and JavaScript or the library to draw from the logits.
 *
 * @module
 */
import { f16ToNumber } from '@flashsampling/core'
import { createLogitsSampler } from '@flashsampling/webgpu'
import type * as Ort from 'onnxruntime-web'
import {
  type JavaScriptSamplingOptions,
  sampleByPartialSums,
  sampleBySoftmax,
} from '../contenders/javascript-sampler.ts'
import { makeOnnxHead, type OnnxHead } from '../contenders/onnx-head.ts'
import { ONNX_EXTERNAL_PATH } from '../contenders/onnx-model.ts'
import type { WebGpuCall, WebGpuContender, WebGpuContenderName, WebGpuHead } from './contender.ts'
import type { ContenderContext } from './gpu-contenders.ts'
import type { ForeignContenders } from './time-head.ts'

/** The engine may round hidden states to 8 bits where weights are quantised, so logits are off by about 0.01 nats. */
const TOLERANCE = 2e-2

const SAMPLERS = {
  'onnxruntime-web': sampleByPartialSums,
  'onnxruntime-web-softmax': sampleBySoftmax,
}

/**
 * Makes the engine's contenders.
 *
 * @param ort - The module, with WebGPU.
 * @returns What makes them; contenders of one head share its sessions.
 */
export function createOrtContenders(ort: typeof Ort): ForeignContenders {
  const sessions = new Map<string, Promise<Ort.InferenceSession>>()
  let onnxHead: OnnxHead | undefined
  const open = (
    { device, head }: ContenderContext,
    location: 'cpu' | 'gpu-buffer',
  ): Promise<Ort.InferenceSession> => {
    const found = sessions.get(location)
    if (found !== undefined) return found
    onnxHead ??= makeOnnxHead(head)
    const session = ort.InferenceSession.create(onnxHead.model, {
      executionProviders: [{ name: 'webgpu', device }],
      preferredOutputLocation: location,
      externalData: [{ path: ONNX_EXTERNAL_PATH, data: onnxHead.weights }],
    })
    sessions.set(location, session)
    return session
  }
  return async (name, context) => {
    if (context.head.dtype === 'f16' && !context.device.features.has('shader-f16')) {
      throw new Error('the engine needs the feature shader-f16 for an f16 head')
    }
    if (name === 'onnxruntime-web' || name === 'onnxruntime-web-softmax') {
      return createReadBack(ort, await open(context, 'cpu'), context.head, name)
    }
    if (name !== 'onnxruntime-web-flashsampling') return null
    return createOnGpu(ort, await open(context, 'gpu-buffer'), context)
  }
}

/** Downloads the logits and draws in JavaScript, as transformers.js does. */
function createReadBack(
  ort: typeof Ort,
  session: Ort.InferenceSession,
  head: WebGpuHead,
  name: WebGpuContenderName & keyof typeof SAMPLERS,
): WebGpuContender {
  const { vocabSize } = head
  const sample = SAMPLERS[name]
  const feeds = createFeeds(ort, head)
  return {
    ...{ name, rule: 'id', tolerance: TOLERANCE },
    draw: async (call) => {
      const { logits } = await session.run(feeds(call))
      const values = toFloat32((logits as Ort.Tensor).data)
      const { batchSize } = call.rows
      const tokenIds = new Int32Array(batchSize)
      for (let row = 0; row < batchSize; row++) {
        const options: JavaScriptSamplingOptions = {
          ...{ temperature: call.params.temperature, topK: 0, topP: 1 },
          ...{ allowedMask: null, logprobs: 0, random: () => call.uniforms[row] as number },
        }
        const rowLogits = values.subarray(row * vocabSize, (row + 1) * vocabSize)
        tokenIds[row] = sample(rowLogits, options).tokenId
      }
      return tokenIds
    },
    dispose: () => undefined,
  }
}

/** Leaves the logits on the GPU and draws there with the library. */
async function createOnGpu(
  ort: typeof Ort,
  session: Ort.InferenceSession,
  { device, head }: ContenderContext,
): Promise<WebGpuContender> {
  const { vocabSize } = head
  const sampler = await createLogitsSampler({ device, vocabSize })
  const feeds = createFeeds(ort, head)
  const [dtype, width] = head.dtype === 'f16' ? (['f16', 2] as const) : (['f32', 4] as const)
  return {
    ...{ name: 'onnxruntime-web-flashsampling', rule: 'noise', tolerance: TOLERANCE },
    draw: async (call) => {
      const outputs = await session.run(feeds(call))
      const logits = outputs.logits as Ort.Tensor
      const offsets = Array.from(
        { length: call.rows.batchSize },
        (_, row) => row * vocabSize * width,
      )
      const buffer = logits.gpuBuffer as unknown as GPUBuffer
      const tokenIds = await sampler.sampleTokenIds({
        logits: { buffer, dtype, offsets },
        params: call.params,
      })
      logits.dispose()
      return tokenIds
    },
    dispose: () => sampler.dispose(),
  }
}

/** Hands over the hidden states: those on the GPU, or f16 ones made of those in memory. */
function createFeeds(
  ort: typeof Ort,
  { dtype, hiddenSize }: WebGpuHead,
): (call: WebGpuCall) => Record<string, Ort.Tensor> {
  return ({ rows: { buffer, data, batchSize } }) => {
    const dims = [batchSize, hiddenSize]
    if (dtype !== 'f16') {
      const hidden = ort.Tensor.fromGpuBuffer(buffer as never, { dataType: 'float32', dims })
      return { hidden_states: hidden }
    }
    return { hidden_states: new ort.Tensor('float16', toFloat16(data), dims) }
  }
}

let widened: Float32Array | undefined

/** Logits as f32; f16 through a table of all its values. */
function toFloat32(data: Ort.Tensor['data']): Float32Array {
  if (data instanceof Float32Array) return data
  if (!(data instanceof Uint16Array)) return Float32Array.from(data as ArrayLike<number>)
  widened ??= Float32Array.from({ length: 2 ** 16 }, (_, bits) => f16ToNumber(bits))
  const table = widened
  return Float32Array.from(data, (bits) => table[bits] as number)
}

/** Truncates, which hidden states of a benchmark survive. */
function toFloat16(data: Float32Array): Uint16Array {
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length)
  return Uint16Array.from(bits, (word) => {
    const sign = (word >>> 16) & 0x8000
    const magnitude = ((word & 0x7fff_ffff) >>> 13) - ((127 - 15) << 10)
    return magnitude < 0x400 ? sign : sign | magnitude
  })
}
