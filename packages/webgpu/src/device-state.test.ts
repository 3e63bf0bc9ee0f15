import { describe, expect, it } from 'vitest'
import { DeviceState } from './device-state.ts'

/** A device that reports given errors: what a real one only does when its memory is full or its driver fails. */
function failingDevice(errors: Partial<Record<GPUErrorFilter, string>>): GPUDevice {
  const scopes: GPUErrorFilter[] = []
  const device = {
    features: new Set(),
    limits: { maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupSizeX: 256 },
    lost: new Promise(() => undefined),
    createBuffer: () => ({}),
    pushErrorScope: (filter: GPUErrorFilter) => void scopes.push(filter),
    async popErrorScope() {
      const message = errors[scopes.pop() as GPUErrorFilter]
      return message === undefined ? null : { message }
    },
  }
  return device as unknown as GPUDevice
}

async function failureOf(errors: Partial<Record<GPUErrorFilter, string>>): Promise<unknown> {
  const state = DeviceState.of('test', failingDevice(errors))
  const { checked } = state.capture('load the LM head', () => 'value', 4096)
  return checked.catch((error: unknown) => error)
}

describe('DeviceState.capture()', () => {
  it('says how much memory was wanted when the GPU has too little', async () => {
    expect(await failureOf({ 'out-of-memory': 'no room' })).toMatchObject({
      name: 'OutOfMemoryError',
      code: 'OUT_OF_MEMORY',
      requestedBytes: 4096,
      message:
        'Cannot load the LM head as the GPU has not enough memory (4096 bytes wanted): no room',
    })
  })

  it.each(['validation', 'internal'] as const)('names an error of kind %s', async (kind) => {
    expect(await failureOf({ [kind]: 'bad buffer' })).toMatchObject({
      name: 'WebGpuError',
      code: 'WEBGPU_ERROR',
      operation: 'load the LM head',
      message: 'Cannot load the LM head: bad buffer',
    })
  })

  it('gives the value of work without errors', async () => {
    const state = DeviceState.of('test', failingDevice({}))
    const { value, checked } = state.capture('test', () => 7)
    await checked
    expect(value).toBe(7)
  })

  it('takes a RangeError of the work for a lack of memory', () => {
    const state = DeviceState.of('test', failingDevice({}))
    const work = (): never => {
      throw new RangeError('Array buffer allocation failed')
    }
    expect(() => state.capture('load the LM head', work, 4096)).toThrow(
      expect.objectContaining({ code: 'OUT_OF_MEMORY', requestedBytes: 4096 }),
    )
  })

  it('pops its scopes where the work throws', () => {
    const device = failingDevice({})
    let open = 0
    const push = device.pushErrorScope
    const pop = device.popErrorScope
    device.pushErrorScope = (filter) => {
      open++
      push(filter)
    }
    device.popErrorScope = () => {
      open--
      return pop()
    }
    const state = DeviceState.of('test', device)
    const work = (): never => {
      throw new TypeError('x')
    }
    expect(() => state.capture('test', work)).toThrow('Cannot test: x')
    expect(open).toBe(0)
  })
})
