import {
  createSampler,
  FlashSamplingError,
  makeCase,
  sampleFromLogits,
  UnsupportedDeviceError,
} from '@flashsampling/core'
import { DeviceState } from '../../src/device-state.ts'
import { BUFFER_USAGE } from '../../src/gpu-constants.ts'
import { logitsHead } from '../../src/gpu-head.ts'
import {
  createLmHeadSampler,
  createLogitsSampler,
  createWebGpuBackend,
  DeviceLostError,
  type LogitsSampler,
} from '../../src/index.ts'
import { logitsSource, tileSampleKernel } from '../../src/kernels.ts'
import { PassRunner } from '../../src/pass-runner.ts'
import type { Check } from './check.ts'
import { equal, isTrue, rejects } from './expect.ts'
import { uploadRows } from './sampler-checks.ts'
import { watchDevice } from './watched-device.ts'

const { STORAGE, COPY_DST, COPY_SRC, MAP_READ } = BUFFER_USAGE
const LOGITS = Float32Array.of(0.5, 2, -1, 0.25)
const params = { seed: 3n }

/** Draws once more: whatever went wrong before, device and sampler go on. */
async function expectAlive(device: GPUDevice, sampler: LogitsSampler): Promise<void> {
  const { tokenIds } = await sampler.sample({ logits: uploadRows(device, LOGITS, 4), params })
  equal(tokenIds[0], sampleFromLogits(LOGITS, params).tokenId, 'token after the error')
}

/** Bad input and lost devices: named errors, and everything else goes on. */
export const ERROR_CHECKS: readonly Check[] = [
  {
    name: 'errors: names buffers of another device, destroyed ones and those without the usage',
    async run(context) {
      const device = await context.shared()
      const { device: other } = await context.open()
      const sampler = context.keep(await createLogitsSampler({ device, vocabSize: 4 }))
      const own = uploadRows(device, LOGITS, 4)
      const foreign = uploadRows(other, LOGITS, 4)
      const crossed = sampler.sample({ logits: foreign, params })
      const error = await rejects(
        crossed,
        { code: 'WEBGPU_ERROR', name: 'WebGpuError' },
        'another device',
      )
      isTrue(FlashSamplingError.isInstance(error), 'instance')
      await expectAlive(device, sampler)
      const crossedTarget = other.createBuffer({ size: 16, usage: STORAGE })
      const into = sampler.sampleInto({
        logits: own,
        params,
        destination: { buffer: crossedTarget, dtype: 'i32' },
      })
      await rejects(into, { code: 'WEBGPU_ERROR' }, 'destination of another device')
      const gone = uploadRows(device, LOGITS, 4)
      gone.buffer.destroy()
      await rejects(
        sampler.sample({ logits: gone, params }),
        { code: 'WEBGPU_ERROR' },
        'destroyed buffer',
      )
      const useless = device.createBuffer({ size: 16, usage: COPY_DST | MAP_READ })
      const logits = { buffer: useless, dtype: 'f32' as const, offsets: [0] }
      await rejects(
        sampler.sample({ logits, params }),
        { name: 'TypeError', message: /logits\.buffer.*STORAGE.*usage is 9/ },
        'usage',
      )
      const target = {
        buffer: device.createBuffer({ size: 16, usage: COPY_DST }),
        dtype: 'i32' as const,
      }
      const noStorage = sampler.sampleInto({ logits: own, params, destination: target })
      await rejects(
        noStorage,
        { name: 'TypeError', message: /destination\.buffer.*STORAGE/ },
        'usage of the destination',
      )
      const noCopy = {
        buffer: device.createBuffer({ size: 16, usage: STORAGE }),
        dtype: 'i32' as const,
      }
      const filtered = sampler.sampleInto({
        logits: own,
        params: { ...params, topP: 0.5 },
        destination: noCopy,
      })
      await rejects(
        filtered,
        { name: 'TypeError', message: /COPY_DST/ },
        'usage for rows with filters',
      )
      await expectAlive(device, sampler)
    },
  },
  {
    name: 'errors: names rows outside their buffer, wrong types and destinations without room',
    async run(context) {
      const device = await context.shared()
      const sampler = context.keep(await createLogitsSampler({ device, vocabSize: 4 }))
      const logits = uploadRows(device, LOGITS, 4)
      const bad: [object, RegExp][] = [
        [{ ...logits, offsets: [4] }, /logits\.offsets.*from 0 to 0.*current value is 4/],
        [{ ...logits, offsets: [-4] }, /logits\.offsets/],
        [{ ...logits, offsets: [] }, /logits\.offsets/],
        [{ ...logits, dtype: 'bf16' }, /logits\.dtype.*"bf16"/],
        [{ ...logits, buffer: new Float32Array(4) }, /logits\.buffer.*a GPUBuffer/],
      ]
      for (const [rows, message] of bad) {
        await rejects(
          sampler.sample({ logits: rows as never, params }),
          { message },
          JSON.stringify(rows),
        )
      }
      await rejects(
        sampler.sample(undefined as never),
        { name: 'TypeError', message: /"options"/ },
        'no options',
      )
      await rejects(
        sampler.sample({ logits, params: [params, params] }),
        { name: 'RangeError', message: /an array of 1/ },
        'two params',
      )
      await rejects(
        sampler.sample({ logits, params: { seed: 1n, temperature: -1 } }),
        { name: 'RangeError', message: /temperature/ },
        'temperature',
      )
      const buffer = device.createBuffer({ size: 8, usage: STORAGE | COPY_SRC })
      for (const [destination, message] of [
        [{ buffer, dtype: 'i64', offset: 4 }, /destination\.offset.*multiple of 8/],
        [{ buffer, dtype: 'i64', offset: 8 }, /room for 1 token ids/],
        [{ buffer, dtype: 'u8' }, /destination\.dtype/],
        [undefined, /"destination"/],
      ] as [never, RegExp][]) {
        await rejects(
          sampler.sampleInto({ logits, params, destination }),
          { message },
          `${message}`,
        )
      }
      for (const options of [
        undefined,
        {},
        { device: 3 },
        { device, vocabSize: 0 },
        { device, vocabSize: 4, noiseScheme: 'x' },
      ]) {
        await rejects(
          createLogitsSampler(options as never),
          { message: /Cannot create a sampler/ },
          JSON.stringify(options),
        )
      }
      await rejects(
        () => createWebGpuBackend(null as never),
        { name: 'TypeError', message: /a GPUDevice/ },
        'no device',
      )
      await expectAlive(device, sampler)
    },
  },
  {
    name: 'errors: a head whose row exceeds the limits names the limit and what it has',
    async run(context) {
      const real = await context.shared()
      const { device } = watchDevice(real, { maxStorageBufferBindingSize: 256 })
      const { lmHead } = makeCase({ seed: 1n, vocabSize: 4, hiddenSize: 512 })
      const error = await rejects(
        createLmHeadSampler({ device, lmHead }),
        { code: 'UNSUPPORTED_DEVICE' },
        'limit',
      )
      isTrue(
        error instanceof UnsupportedDeviceError && /2048 bytes/.test(error.required),
        `${error}`,
      )
      equal((error as UnsupportedDeviceError).found, '256 bytes', 'what the device has')
    },
  },
  {
    name: 'errors: a lost device is named by every call, and a new device draws at once',
    async run(context) {
      const { device } = await context.open()
      const inputs = makeCase({ seed: 2n, vocabSize: 200, hiddenSize: 16 })
      const { lmHead, hiddenStates } = inputs
      const backend = createWebGpuBackend(device)
      const fused = await createLmHeadSampler({ device, lmHead })
      const core = await createSampler({ lmHead, backend })
      const stored = await createLogitsSampler({ device, vocabSize: 4 })
      const logits = uploadRows(device, LOGITS, 4)
      await fused.sample({ hiddenStates, params })
      const inFlight = fused.sample({ hiddenStates, params }).catch((error: unknown) => error)
      device.destroy()
      const settled = await inFlight
      isTrue(
        settled instanceof DeviceLostError || 'tokenIds' in (settled as object),
        `call in flight: ${settled}`,
      )
      const lost = { code: 'DEVICE_LOST', name: 'DeviceLostError' }
      await rejects(fused.sample({ hiddenStates, params }), lost, 'fused sampler')
      await rejects(core.sample({ hiddenStates, params }), lost, 'sampler of the backend')
      await rejects(stored.sample({ logits, params }), lost, 'logits sampler')
      await rejects(createLmHeadSampler({ device, lmHead }), lost, 'new sampler')
      await rejects(createSampler({ lmHead, backend }), lost, 'new sampler of the backend')
      await rejects(() => createWebGpuBackend(device), lost, 'new backend')
      for (const sampler of [fused, core, stored]) await sampler.dispose()
      const { device: fresh } = await context.open()
      const again = context.keep(await createLmHeadSampler({ device: fresh, lmHead }))
      const expected = sampleFromLogits(inputs.logits[0] as Float64Array, params).tokenId
      equal(
        (await again.sample({ hiddenStates, params })).tokenIds[0],
        expected,
        'token of a new device',
      )
    },
  },
  {
    name: 'errors: a shader that does not compile is named, in the names of the sources',
    async run(context) {
      const device = await context.shared()
      const state = DeviceState.of('test', device)
      const head = await logitsHead(state, 4)
      const runner = new PassRunner(state, head, logitsSource, 'flash')
      const kernel = tileSampleKernel({
        ...{ source: logitsSource, tuning: head.tuning, layout: 'logits', hidden: 'f32', rows: 1 },
        ...{ chunkSources: [], noiseScheme: 'flash', isListed: false },
      })
      // Without the file that gives fill_tile().
      const broken = { ...kernel, sources: kernel.sources.slice(0, -1) }
      await rejects(
        runner.compile(broken),
        { code: 'SHADER_COMPILE', name: 'ShaderCompileError', message: /tile_sample.*fill_tile/s },
        'a broken shader',
      )
      await runner.compile(kernel)
      runner.destroy()
      head.destroy()
    },
  },
  {
    name: 'errors: a disposed sampler refuses calls, twice disposed too',
    async run(context) {
      const device = await context.shared()
      const sampler = await createLogitsSampler({ device, vocabSize: 4 })
      const logits = uploadRows(device, LOGITS, 4)
      const last = sampler.sample({ logits, params })
      await sampler.dispose()
      await sampler[Symbol.asyncDispose]()
      equal((await last).tokenIds.length, 1, 'draws of the call before')
      await rejects(sampler.sample({ logits, params }), { code: 'DISPOSED' }, 'call after disposal')
    },
  },
]
