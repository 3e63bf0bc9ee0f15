/** What a user of `@flashsampling/webgpu` writes: draws where there is a device, else falls back to the CPU. */
import {
  createSampler,
  FlashSamplingError,
  type LmHead,
  type Sampler,
  sampleFromLogits,
} from '@flashsampling/core'
import {
  createLmHeadSampler,
  createLogitsSampler,
  createWebGpuBackend,
  DeviceLostError,
  deviceRequirements,
  type GpuRows,
  type LmHeadSampler,
  type LogitsSampler,
  type TokenDestination,
} from '@flashsampling/webgpu'

const lmHead: LmHead = {
  dtype: 'f32',
  vocabSize: 5,
  hiddenSize: 2,
  data: Float32Array.of(1, 0, 0, 1, 1, 1, 2, -1, -1, 2),
}
const adapter = (await globalThis.navigator?.gpu?.requestAdapter()) ?? null
const requirements = deviceRequirements(adapter, lmHead)
const { headBytes, numPieces } = requirements
// Two columns take the room of eight.
if (headBytes !== 5 * 8 * 4 || numPieces !== 1) {
  throw new Error(`${headBytes} bytes, ${numPieces} pieces`)
}

const device = await adapter?.requestDevice(requirements)
const backend = device === undefined ? undefined : createWebGpuBackend(device)
const sampler: Sampler = await createSampler({ lmHead, backend })
const params = { seed: 42n, position: 7, temperature: 0.75, topP: 0.875 }
const { tokenIds } = await sampler.sample({ hiddenStates: Float32Array.of(1, 2), params })
const { tokenId } = sampleFromLogits([1, 2, 3, 0, 3], params)
if (tokenIds[0] !== tokenId) throw new Error(`drew ${tokenIds[0]}, the oracle draws ${tokenId}`)
await sampler.dispose()
if (device !== undefined) await drawOnGpu(device)

let thrown: unknown
try {
  createWebGpuBackend(undefined as unknown as GPUDevice)
} catch (error) {
  thrown = error
}
if (!(thrown instanceof TypeError)) throw new Error(`no device is answered with ${String(thrown)}`)
if (!FlashSamplingError.isInstance(new DeviceLostError('unknown', ''))) {
  throw new Error('errors of the package are not recognised')
}

async function drawOnGpu(gpu: GPUDevice): Promise<void> {
  const fused: LmHeadSampler = await createLmHeadSampler({ device: gpu, lmHead })
  const logits: LogitsSampler = await createLogitsSampler({ device: gpu, vocabSize: 5 })
  // GPUBufferUsage.STORAGE and COPY_DST, which not every compiler declares.
  const usage = 0x80 | 0x08
  const buffer = gpu.createBuffer({ size: 32, usage })
  const rows: GpuRows = { buffer, dtype: 'f32', offsets: [0] }
  const memory = gpu.createBuffer({ size: 16, usage })
  const destination: TokenDestination = { buffer: memory, dtype: 'i32', offset: 4 }
  await logits.sampleInto({ logits: rows, params, destination })
  await fused.sampleTokenIds({ hiddenStates: Float32Array.of(1, 2), params })
  await fused.dispose()
  await logits.dispose()
}
