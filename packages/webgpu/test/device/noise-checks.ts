import { deriveRowKey, gumbelFromBits, type NoiseScheme } from '@flashsampling/core'
import fixture from '../../../../fixtures/contract.json' with { type: 'json' }
import { BUFFER_USAGE, MAP_MODE_READ } from '../../src/gpu-constants.ts'
import { PipelineCache } from '../../src/kernel.ts'
import { NOISE_VALUES } from '../../src/shaders.generated.ts'
import type { Check, CheckContext } from './check.ts'
import { equal, isTrue } from './expect.ts'

/** Noise bits and fp32 noise of the kernel's own functions. */
async function noiseOnDevice(
  device: GPUDevice,
  keys: Uint32Array<ArrayBuffer>,
  scheme: NoiseScheme,
): Promise<{ bits: Uint32Array; noise: Float32Array }> {
  const { pipeline, layout } = await new PipelineCache(device).get({
    label: 'noise_values',
    sources: NOISE_VALUES,
    constants: { NOISE_VLLM: scheme === 'vllm' },
    bindings: ['read', 'write'],
  })
  const count = keys.length / 4
  const input = device.createBuffer({
    size: keys.byteLength,
    usage: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_DST,
  })
  const output = device.createBuffer({
    size: count * 8,
    usage: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_SRC,
  })
  const staging = device.createBuffer({
    size: count * 8,
    usage: BUFFER_USAGE.MAP_READ | BUFFER_USAGE.COPY_DST,
  })
  device.queue.writeBuffer(input, 0, keys)
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  pass.setPipeline(pipeline)
  const entries = [input, output].map((buffer, binding) => ({ binding, resource: { buffer } }))
  pass.setBindGroup(0, device.createBindGroup({ layout, entries }))
  pass.dispatchWorkgroups(Math.ceil(count / 64))
  pass.end()
  encoder.copyBufferToBuffer(output, 0, staging, 0, count * 8)
  device.queue.submit([encoder.finish()])
  await staging.mapAsync(MAP_MODE_READ)
  const words = new Uint32Array(staging.getMappedRange().slice(0))
  for (const buffer of [input, output, staging]) buffer.destroy()
  const bits = words.filter((_, i) => i % 2 === 0)
  const noise = new Float32Array(words.filter((_, i) => i % 2 === 1).buffer)
  return { bits, noise }
}

const SCHEMES: NoiseScheme[] = ['flash', 'vllm']

/** Every power of two and its neighbours, the ends, the point where the evaluation changes, and a regular sweep. */
function stratifiedBits(): Uint32Array {
  const chosen = new Set<number>()
  for (let exponent = 0; exponent <= 32; exponent++) {
    for (let delta = -40; delta <= 40; delta++) {
      for (const base of [
        2 ** exponent,
        2 ** 32 - 2 ** exponent,
        15 * 2 ** Math.max(0, exponent - 4),
      ]) {
        const bits = base + delta
        if (bits >= 0 && bits < 2 ** 32) chosen.add(bits)
      }
    }
  }
  // 2^16 strata of equal size, one value in each.
  for (let stratum = 0; stratum < 65536; stratum++) {
    chosen.add(stratum * 65536 + ((stratum * 40503) & 65535))
  }
  return Uint32Array.from(chosen)
}

async function sweep(context: CheckContext, scheme: NoiseScheme): Promise<number> {
  const device = await context.shared()
  const bits = stratifiedBits()
  const keys = new Uint32Array(bits.length * 4)
  bits.forEach((value, i) => {
    keys.set([0xffffffff, value], i * 4)
  })
  const { noise } = await noiseOnDevice(device, keys, scheme)
  let largest = 0
  bits.forEach((value, i) => {
    const error = Math.abs((noise[i] as number) - gumbelFromBits(value, scheme))
    // A comparison that NaN fails.
    if (!(error <= largest)) largest = error
  })
  return largest
}

/** The noise contract on the device. */
export const NOISE_CHECKS: readonly Check[] = [
  ...SCHEMES.map(
    (scheme): Check => ({
      name: `noise: gives the bits of the fixtures bit for bit, scheme ${scheme}`,
      async run(context) {
        const device = await context.shared()
        const keys = new Uint32Array(fixture.noise.length * 4)
        fixture.noise.forEach(({ seed, position, draw, tokenId }, i) => {
          // vLLM draws once per row: its fixtures know no draw index.
          const drawIndex = scheme === 'vllm' ? 0 : draw
          const key = { seed: BigInt(seed), position: BigInt(position), drawIndex }
          keys.set([tokenId, ...deriveRowKey(key, 0, scheme)], i * 4)
        })
        const { bits, noise } = await noiseOnDevice(device, keys, scheme)
        const isVllm = scheme === 'vllm'
        const expected = fixture.noise.map((entry) => (isVllm ? entry.vllmBits : entry.bits))
        equal(bits, expected, 'bits')
        const values = fixture.noise.map((entry) => (isVllm ? entry.vllmGumbel : entry.gumbel))
        values.forEach((value, i) => {
          const error = Math.abs((noise[i] as number) - value)
          isTrue(error <= 1e-5, `noise ${i}: ${noise[i]}, expected ${value}`)
        })
      },
    }),
  ),
  ...SCHEMES.map(
    (scheme): Check => ({
      name: `noise: lies within 1e-5 of float64 over a stratified sweep of bits, scheme ${scheme}`,
      async run(context) {
        const largest = await sweep(context, scheme)
        isTrue(largest <= 1e-5, `largest error ${largest}`)
      },
    }),
  ),
]
