import { createSampler, type LmHeadShard, makeCase } from '@flashsampling/core'
import { BUFFER_USAGE } from '../../src/gpu-constants.ts'
import {
  createLmHeadSampler,
  createWebGpuBackend,
  deviceRequirements,
  gpuWeight,
} from '../../src/index.ts'
import type { Check } from './check.ts'
import { equal, isTrue, rejects } from './expect.ts'
import { watchDevice } from './watched-device.ts'

const { STORAGE, COPY_DST, COPY_SRC } = BUFFER_USAGE
const params = [0, 1, 2].map((position) => ({ seed: 7n, position }))

/** The weights of a head in a buffer, behind some bytes of NaN, which no draw may read. */
function upload(
  device: GPUDevice,
  { data }: LmHeadShard,
  { offset = 0, behind = 0, usage = STORAGE as number } = {},
): GPUBuffer {
  const { buffer: memory, byteOffset, byteLength } = data as Float32Array
  const size = offset + byteLength + behind
  const bytes = new Uint8Array(size).fill(0xff)
  bytes.set(new Uint8Array(memory, byteOffset, byteLength), offset)
  const buffer = device.createBuffer({ size, usage: usage | COPY_DST })
  device.queue.writeBuffer(buffer, 0, bytes)
  return buffer
}

/** Heads whose weights lie in a caller's buffer. */
export const WEIGHT_CHECKS: readonly Check[] = [
  {
    name: 'gpu weight: draws as from memory in every dense storage, without a copy, and destroys nothing',
    async run(context) {
      const real = await context.shared()
      for (const dtype of ['f32', 'f16', 'bf16'] as const) {
        const inputs = makeCase({ seed: 4n, vocabSize: 701, hiddenSize: 64, batchSize: 3, dtype })
        const { lmHead, hiddenStates } = inputs
        const expected = await context
          .keep(await createLmHeadSampler({ device: real, lmHead }))
          .sample({ hiddenStates, params })
        const { device, log } = watchDevice(real)
        const buffer = upload(real, lmHead, { offset: 512, behind: 256, usage: STORAGE | COPY_SRC })
        for (const backend of [undefined, createWebGpuBackend(device)]) {
          log.buffers.length = 0
          const head = { ...lmHead, data: gpuWeight(buffer, 512) }
          const sampler =
            backend === undefined
              ? await createLmHeadSampler({ device, lmHead: head })
              : await createSampler({ lmHead: head, backend })
          const result = await sampler.sample({ hiddenStates, params })
          await sampler.dispose()
          equal(result.tokenIds, expected.tokenIds, `tokens of ${dtype}`)
          equal(result.logprobs, expected.logprobs, `logprobs of ${dtype}`)
          const copies = log.buffers.filter(({ size }) => size >= buffer.size - 768)
          equal(copies.length, 0, `buffers of the size of the weights for ${dtype}`)
        }
        // Still the caller's: it can be read.
        const staging = real.createBuffer({ size: buffer.size, usage: COPY_DST | 1 })
        const encoder = real.createCommandEncoder()
        encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size)
        real.queue.submit([encoder.finish()])
        await staging.mapAsync(1)
        equal(new Uint8Array(staging.getMappedRange())[0], 0xff, 'first byte after disposal')
        for (const own of [buffer, staging]) own.destroy()
      }
    },
  },
  {
    name: 'gpu weight: binds a large buffer piece by piece, shards of one buffer too',
    async run(context) {
      const real = await context.shared()
      const options = { seed: 5n, vocabSize: 1300, hiddenSize: 48, batchSize: 3 } as const
      const { lmHead, hiddenStates } = makeCase({ ...options, dtype: 'f32' })
      const sampler = context.keep(await createLmHeadSampler({ device: real, lmHead }))
      const expected = await sampler.sample({ hiddenStates, params })
      const rowBytes = 48 * 4
      // 600 rows fit a binding, of which a multiple of 256 is taken; then 40 of 16; then the whole.
      for (const maxStorageBufferBindingSize of [600 * rowBytes, 40 * rowBytes, 2 ** 27]) {
        const { device, log } = watchDevice(real, { maxStorageBufferBindingSize })
        const buffer = upload(real, lmHead)
        const cut = 512
        const shards = [
          { ...lmHead, vocabSize: cut, data: gpuWeight(buffer) },
          {
            ...lmHead,
            vocabSize: 1300 - cut,
            vocabStart: cut,
            data: gpuWeight(buffer, cut * rowBytes),
          },
        ]
        const split = context.keep(await createLmHeadSampler({ device, lmHead: { shards } }))
        log.dispatches = 0
        const { tokenIds } = await split.sample({ hiddenStates, params })
        equal(tokenIds, expected.tokenIds, `tokens of pieces of ${maxStorageBufferBindingSize}`)
        const pieces = { [600 * rowBytes]: 3, [40 * rowBytes]: 41, [2 ** 27]: 2 }
        equal(log.dispatches, pieces[maxStorageBufferBindingSize]! + 1, 'dispatches')
        buffer.destroy()
      }
      const data = gpuWeight(upload(real, lmHead))
      equal(deviceRequirements(null, { ...lmHead, data }).numPieces, 1, 'pieces wanted')
    },
  },
  {
    name: 'gpu weight: names wrong usage, size, offset, storage and owner',
    async run(context) {
      const device = await context.shared()
      const { lmHead, hiddenStates } = makeCase({ seed: 6n, vocabSize: 40, hiddenSize: 16 })
      const load = (changes: object): Promise<unknown> =>
        createLmHeadSampler({ device, lmHead: { ...lmHead, ...changes } })
      const buffer = upload(device, lmHead, { behind: 256 })
      const useless = device.createBuffer({ size: 4096, usage: COPY_DST })
      const type = { name: 'TypeError' }
      const range = { name: 'RangeError' }
      await rejects(
        () => gpuWeight(useless),
        { ...type, message: /"buffer" must have GPUBufferUsage\.STORAGE: current usage is 8/ },
        'usage',
      )
      await rejects(
        () => gpuWeight(new Float32Array(4) as never),
        { ...type, message: /Cannot load the LM head as "buffer" must be a GPUBuffer/ },
        'no buffer',
      )
      await rejects(() => gpuWeight(buffer, -4), { ...range, message: /"offset"/ }, 'offset')
      await rejects(() => gpuWeight(buffer, 2 ** 20), { ...range, message: /"offset"/ }, 'offset')
      await rejects(
        load({ data: gpuWeight(buffer, 256), vocabSize: 41 }),
        { ...range, message: /lmHead\.data\.byteLength" must be at least 2624/ },
        'size',
      )
      await rejects(
        load({ data: gpuWeight(buffer, 4) }),
        { ...range, message: /"lmHead\.data\.offset" must be a multiple of \d+.*value is 4/ },
        'alignment',
      )
      await rejects(
        load({ data: gpuWeight(buffer), hiddenSize: 12 }),
        { ...range, message: /"lmHead\.hiddenSize" must be a multiple of 8.*padded/ },
        'width',
      )
      await rejects(
        load({ data: gpuWeight(buffer), hiddenSize: 32, dtype: 'q8_0' }),
        { ...range, message: /"lmHead\.dtype" must be f32, f16 or bf16.*laid out on loading/ },
        'storage',
      )
      await rejects(
        load({ data: { backend: 'cpu', byteLength: 2 ** 20 } }),
        { ...type, message: /"lmHead\.data" must be a typed array, or what gpuWeight\(\) returns/ },
        'owner',
      )
      const sampler = context.keep(
        await createLmHeadSampler({ device, lmHead: { ...lmHead, data: gpuWeight(buffer) } }),
      )
      const { tokenIds } = await sampler.sample({ hiddenStates, params: { seed: 1n } })
      equal(tokenIds.length, 1, 'draws after the errors')
    },
  },
  {
    name: 'gpu weight: names buffers of another device, and destroyed ones on loading and later',
    async run(context) {
      const device = await context.shared()
      const { device: other } = await context.open()
      const { lmHead, hiddenStates } = makeCase({ seed: 7n, vocabSize: 40, hiddenSize: 16 })
      const load = (data: GPUBuffer): ReturnType<typeof createLmHeadSampler> =>
        createLmHeadSampler({ device, lmHead: { ...lmHead, data: gpuWeight(data) } })
      const webGpu = { code: 'WEBGPU_ERROR', name: 'WebGpuError', message: /load the LM head/ }
      await rejects(load(upload(other, lmHead)), webGpu, 'another device')
      const gone = upload(device, lmHead)
      gone.destroy()
      await rejects(load(gone), webGpu, 'destroyed before')
      const buffer = upload(device, lmHead)
      const sampler = context.keep(await load(buffer))
      await sampler.sample({ hiddenStates, params: { seed: 1n } })
      buffer.destroy()
      const late = await rejects(
        sampler.sample({ hiddenStates, params: { seed: 1n } }),
        { code: 'WEBGPU_ERROR' },
        'destroyed later',
      )
      isTrue(/destroyed/.test((late as Error).message), `message: ${late}`)
      const again = context.keep(await load(upload(device, lmHead)))
      equal((await again.sample({ hiddenStates, params: { seed: 1n } })).tokenIds.length, 1, 'draw')
    },
  },
]
