import { describe, expect, it } from 'vitest'
import { gumbelF32 } from '../src/cpu/math.ts'
import { instantiateKernels } from '../src/cpu/wasm-kernels.ts'
import { createGenerator, NOISE_ERROR } from '../src/index.ts'
import { gumbelFromBits } from '../src/noise.ts'
import { readContractFixture } from './fixture.ts'

const BLOCK = 4096

/** First bits of blocks that cover both ends, every power of two, the seams of the formulas, and the rest at random. */
function stratifiedBlocks(): number[] {
  const starts = [0, 2 ** 32 - BLOCK]
  for (let exponent = 12; exponent <= 32; exponent++) {
    starts.push(2 ** exponent - BLOCK, 2 ** exponent, 2 ** 32 - 2 ** exponent)
  }
  // v = 1/16 of the flash scheme is 2^28 (among the powers of two), of the vllm scheme 2^27.
  for (const seam of [2 ** 28, 2 ** 27, 2 ** 31, 2 ** 32 - 2 ** 27, 2 ** 32 / Math.E]) {
    starts.push(Math.floor(seam / 4) * 4 - BLOCK / 2)
  }
  const generator = createGenerator(77n)
  while (starts.length < 300) starts.push(generator.u32() & ~3)
  return starts.map((start) => Math.min(2 ** 32 - BLOCK, Math.max(0, start >>> 0)))
}

const memory = new WebAssembly.Memory({ initial: 8, maximum: 65535 })
const kernels = await instantiateKernels(memory, false)
const OUT = 65536

/** Noise of the WebAssembly kernels. */
function wasmNoise(firstBits: number, scheme: 'flash' | 'vllm'): Float32Array {
  kernels.fillNoise(OUT, firstBits | 0, BLOCK, scheme === 'vllm' ? 1 : 0)
  return new Float32Array(memory.buffer, OUT, BLOCK)
}

describe.each(['flash', 'vllm'] as const)('fp32 noise of the %s scheme', (scheme) => {
  it('stays within 1e-5 of float64 on a stratified sample, with the same bits from both kernels', () => {
    let checked = 0
    let maxError = 0
    let differing = 0
    for (const firstBits of stratifiedBlocks()) {
      const noise = wasmNoise(firstBits, scheme)
      for (let i = 0; i < BLOCK; i++) {
        const bits = firstBits + i
        const twin = gumbelF32(bits, scheme)
        if (!Object.is(twin, noise[i])) differing++
        const error = Math.abs(twin - gumbelFromBits(bits, scheme))
        if (!(error <= maxError)) maxError = error
        checked++
      }
    }
    expect(checked).toBeGreaterThan(2 ** 20)
    expect(differing).toBe(0)
    expect(maxError).toBeLessThanOrEqual(NOISE_ERROR)
  })

  it('never rises with the bits beyond rounding, and has no two ends that meet', () => {
    const last = scheme === 'flash' ? 2 ** 32 - 1 : 2 ** 31 - 1
    let previous = Infinity
    for (let step = 0; step <= 100_000; step++) {
      const noise = gumbelF32(Math.floor((last * step) / 100_000), scheme)
      expect(noise).toBeLessThanOrEqual(previous + 1e-6)
      previous = noise
    }
    expect(gumbelF32(0, scheme)).toBeGreaterThan(21)
    expect(gumbelF32(last, scheme)).toBeLessThan(-2.8)
  })
})

describe('gumbelF32()', () => {
  it('stays within 1e-5 of the contract values', () => {
    const { gumbel, noise } = readContractFixture()
    for (const { bits, gumbel: value } of [...gumbel, ...noise]) {
      expect(Math.abs(gumbelF32(bits) - value)).toBeLessThanOrEqual(NOISE_ERROR)
    }
    for (const { vllmBits, vllmGumbel } of noise) {
      expect(Math.abs(gumbelF32(vllmBits, 'vllm') - vllmGumbel)).toBeLessThanOrEqual(NOISE_ERROR)
    }
  })
})
