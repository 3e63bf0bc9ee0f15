/**
 * Tensors that a sampler must refuse, each with a good draw behind it: no error leaves the page or the sampler broken.
 */
import { FlashSamplingError } from '@flashsampling/core'
import type * as Ort from 'onnxruntime-web'
import { createOnnxLmHeadSampler, cutOnnxLmHead, readOnnxLmHead } from '../../../src/onnx/index.ts'
import { HIDDEN_SIZE, makeTinyDecoder, multiplyHead } from '../tiny-decoder.ts'

/** What came of one try. */
export interface Refusal {
  /** Code of the error, or its name where it has none; `accepted` without one. */
  code: string
  message: string
  /** Token of a good row afterwards. */
  tokenAfter: number
}

/** Tries every tensor. */
export async function refusals(ort: typeof Ort): Promise<Record<string, Refusal>> {
  const { body, head } = cutOnnxLmHead(makeTinyDecoder('window', 'f32').bytes)
  const session = await ort.InferenceSession.create(body, { executionProviders: ['webgpu'] })
  const input_ids = new ort.Tensor('int64', BigInt64Array.of(5n), [1, 1])
  const onCpu = (await session.run({ input_ids })).hidden_states as Ort.Tensor
  const sampler = await createOnnxLmHeadSampler({ ort, lmHead: await readOnnxLmHead(head) })
  const { device } = sampler
  const params = { seed: 3n, temperature: 0 }
  const good = tensorOn(ort, device, onCpu.data as Float32Array)
  const tokenOf = async (): Promise<number> =>
    (await sampler.sampleTokenIds({ tensor: good, params })).tokenIds[0] as number
  const other = await (await navigator.gpu.requestAdapter())!.requestDevice()
  const nan = tensorOn(ort, device, new Float32Array(HIDDEN_SIZE).fill(Number.NaN))
  const tries: Record<string, () => Promise<unknown>> = {
    good: async () => tokenOf(),
    cpu: () => sampler.sample({ tensor: onCpu, params }),
    foreign: () =>
      sampler.sample({ tensor: tensorOn(ort, other, new Float32Array(HIDDEN_SIZE)), params }),
    nan: () => sampler.sample({ tensor: nan, params }),
    'nan, unread': async () => {
      const inputIds = await sampler.sampleInputIds({ tensor: nan, params })
      throw new RangeError(`token ${await readFirst(device, inputIds)}`)
    },
    'two draws': () => sampler.sample({ tensor: good, params: { ...params, numSamples: 2 } }),
    'too many params': () => sampler.sample({ tensor: good, params: [params, params] }),
  }
  const found: Record<string, Refusal> = {}
  for (const [name, attempt] of Object.entries(tries)) {
    found[name] = { ...(await outcomeOf(attempt)), tokenAfter: await tokenOf() }
  }
  await sampler.dispose()
  await sampler.dispose()
  found.disposed = { ...(await outcomeOf(tokenOf)), tokenAfter: found.good!.tokenAfter }
  other.destroy()
  await session.release()
  return found
}

function tensorOn(ort: typeof Ort, device: GPUDevice, data: Float32Array): Ort.Tensor {
  const usage = 128 | 8 | 4 // STORAGE, COPY_DST, COPY_SRC
  const buffer = device.createBuffer({ size: data.byteLength, usage })
  device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>)
  return ort.Tensor.fromGpuBuffer(buffer, { dataType: 'float32', dims: [1, 1, HIDDEN_SIZE] })
}

async function readFirst(device: GPUDevice, inputIds: Ort.Tensor): Promise<bigint> {
  const usage = 8 | 1 // COPY_DST, MAP_READ
  const buffer = device.createBuffer({ size: 8, usage })
  const encoder = device.createCommandEncoder()
  encoder.copyBufferToBuffer(inputIds.gpuBuffer as GPUBuffer, 0, buffer, 0, 8)
  device.queue.submit([encoder.finish()])
  await buffer.mapAsync(1)
  return new BigInt64Array(buffer.getMappedRange())[0] as bigint
}

async function outcomeOf(
  attempt: () => Promise<unknown>,
): Promise<{ code: string; message: string }> {
  try {
    await attempt()
    return { code: 'accepted', message: '' }
  } catch (error) {
    const { name, message } = error as Error
    return { code: FlashSamplingError.isInstance(error) ? error.code : name, message }
  }
}

/** Runs a model and a sampler on a device of the page's own; gives the drawn token and the one of the highest logit. */
export async function drawOnOwnDevice(
  ort: typeof Ort,
): Promise<{ drawn: number; highest: number }> {
  const device = await (await navigator.gpu.requestAdapter())!.requestDevice()
  const { body, head } = cutOnnxLmHead(makeTinyDecoder('none', 'f32').bytes)
  const session = await ort.InferenceSession.create(body, {
    executionProviders: [{ name: 'webgpu', device }],
    preferredOutputLocation: 'gpu-buffer',
  })
  const states = Float32Array.from({ length: HIDDEN_SIZE }, (_, i) => Math.sin(i))
  const hidden = new ort.Tensor('float32', states, [1, 1, HIDDEN_SIZE])
  const { hidden_states } = await session.run({ hidden })
  const lmHead = await readOnnxLmHead(head)
  await using sampler = await createOnnxLmHeadSampler({ ort, device, lmHead })
  const params = { seed: 1n, temperature: 0 }
  const { tokenIds } = await sampler.sample({ tensor: hidden_states as Ort.Tensor, params })
  const logits = multiplyHead(lmHead, states)
  return { drawn: tokenIds[0] as number, highest: logits.indexOf(Math.max(...logits)) }
}
