import { describe, expect, it } from 'vitest'
import { deviceRequirements } from './requirements.ts'

const MIB = 2 ** 20
const adapter = {
  features: new Set(['subgroups', 'depth-clip-control']),
  limits: { maxStorageBufferBindingSize: 1024 * MIB, maxBufferSize: 1024 * MIB },
} as unknown as GPUAdapter

/** A head of 192 MiB as f32; nothing reads the data. */
const lmHead = {
  dtype: 'f32',
  vocabSize: 3 * 2 ** 14,
  hiddenSize: 1024,
  data: new Float32Array(3 * 2 ** 24),
} as const

describe('deviceRequirements()', () => {
  it('asks for one piece where the adapter allows it', () => {
    expect(deviceRequirements(adapter, lmHead)).toEqual({
      requiredFeatures: ['subgroups'],
      requiredLimits: { maxStorageBufferBindingSize: 192 * MIB, maxBufferSize: 256 * MIB },
      headBytes: 192 * MIB,
      numPieces: 1,
    })
  })

  it('counts the pieces under the default limits', () => {
    expect(deviceRequirements(null, lmHead)).toEqual({
      requiredFeatures: [],
      requiredLimits: { maxStorageBufferBindingSize: 128 * MIB, maxBufferSize: 256 * MIB },
      headBytes: 192 * MIB,
      numPieces: 2,
    })
  })

  it('counts quants and scales of a quantised head', () => {
    const data = new Uint8Array((2 * 64 * 34) / 32)
    const small = { dtype: 'q8_0', vocabSize: 2, hiddenSize: 64, data } as const
    // Two rows of 64 bytes and two scales of two bytes.
    expect(deviceRequirements(null, small).headBytes).toBe(2 * (64 + 4))
  })
})
