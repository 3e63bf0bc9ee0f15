import { describe, expect, it } from 'vitest'
import {
  BackendUnavailableError,
  CudaError,
  DisposedError,
  describeValue,
  FlashSamplingError,
  invalidArgument,
  invalidType,
  OutOfMemoryError,
  RowError,
  UnsupportedDeviceError,
  UnsupportedFeatureError,
  WorkerFailedError,
} from './errors.ts'

describe('FlashSamplingError', () => {
  it('gives every subclass its name and its code', () => {
    const errors: [FlashSamplingError, string, string][] = [
      [new BackendUnavailableError('no', []), 'BackendUnavailableError', 'BACKEND_UNAVAILABLE'],
      [new UnsupportedFeatureError('topK', 'no'), 'UnsupportedFeatureError', 'UNSUPPORTED_FEATURE'],
      [new RowError('INVALID_LOGITS', 'no', [3, 5]), 'RowError', 'INVALID_LOGITS'],
      [new UnsupportedDeviceError('a', 'b', 'c'), 'UnsupportedDeviceError', 'UNSUPPORTED_DEVICE'],
      [new CudaError('no', 'why'), 'CudaError', 'CUDA_ERROR'],
      [new OutOfMemoryError('no', 12), 'OutOfMemoryError', 'OUT_OF_MEMORY'],
      [new WorkerFailedError('no'), 'WorkerFailedError', 'WORKER_FAILED'],
      [new DisposedError('sampler'), 'DisposedError', 'DISPOSED'],
    ]
    for (const [error, name, code] of errors) {
      expect(error).toBeInstanceOf(FlashSamplingError)
      expect(error).toBeInstanceOf(Error)
      expect([error.name, error.code]).toEqual([name, code])
    }
  })

  it('is recognised by its marker, across copies of the package', () => {
    const foreign = Object.assign(new Error('from another copy'), {
      [Symbol.for('flashsampling.error')]: true,
    })
    expect(FlashSamplingError.isInstance(foreign)).toBe(true)
    expect(FlashSamplingError.isInstance(new DisposedError('sampler'))).toBe(true)
    expect(FlashSamplingError.isInstance(new Error('plain'))).toBe(false)
    expect(FlashSamplingError.isInstance(null)).toBe(false)
    expect(FlashSamplingError.isInstance('text')).toBe(false)
  })

  it('keeps the cause', () => {
    const cause = new Error('below')
    expect(new WorkerFailedError('above', { cause }).cause).toBe(cause)
    expect(new OutOfMemoryError('above', 1, { cause }).cause).toBe(cause)
  })

  it('lists attempts and hints of an unavailable backend', () => {
    const error = new BackendUnavailableError(
      'Cannot open a GPU',
      [{ backend: 'cuda', reason: 'no driver' }],
      ['install a driver'],
    )
    expect(error.message).toBe(
      'Cannot open a GPU\n- cuda: no driver\nPossible solutions:\n- install a driver',
    )
    expect(error.attempts).toEqual([{ backend: 'cuda', reason: 'no driver' }])
    expect(error.hints).toEqual(['install a driver'])
  })

  it('says what a device needs and what it has', () => {
    const error = new UnsupportedDeviceError('open a GPU', 'a sixth wheel', 'four')
    expect(error.message).toBe(
      'Cannot open a GPU as the device must have a sixth wheel: current device has four',
    )
    expect([error.required, error.found]).toEqual(['a sixth wheel', 'four'])
  })

  it('carries name and code of a CUDA error, where they are known', () => {
    const cause = new Error('below')
    const error = new CudaError('upload the weights', 'cudaErrorIllegalAddress (700) in f()', {
      cudaName: 'cudaErrorIllegalAddress',
      cudaCode: 700,
      cause,
    })
    expect(error.message).toBe('Cannot upload the weights: cudaErrorIllegalAddress (700) in f()')
    expect([error.cudaName, error.cudaCode, error.operation, error.cause]).toEqual([
      'cudaErrorIllegalAddress',
      700,
      'upload the weights',
      cause,
    ])
    const unknown = new CudaError('draw', 'it failed')
    expect([unknown.cudaName, unknown.cudaCode]).toEqual(['', -1])
  })

  it('names the first bad row and all of them', () => {
    const error = new RowError('ALL_TOKENS_MASKED', 'masked', [2, 7])
    expect([error.row, error.rows]).toEqual([2, [2, 7]])
  })
})

describe('invalidArgument() and invalidType()', () => {
  it('state action, name, rule and value', () => {
    expect(invalidArgument('sample tokens', 'temperature', '>= 0', -1)).toBeInstanceOf(RangeError)
    expect(invalidArgument('sample tokens', 'temperature', '>= 0', -1).message).toBe(
      'Cannot sample tokens as "temperature" must be >= 0: current value is -1',
    )
    expect(invalidType('sample tokens', 'seed', 'a bigint', 7)).toBeInstanceOf(TypeError)
    expect(invalidType('sample tokens', 'seed', 'a bigint', 7).message).toBe(
      'Cannot sample tokens as "seed" must be a bigint: current value is 7 (number)',
    )
  })
})

describe('describeValue()', () => {
  it('is short and tells types apart', () => {
    expect(describeValue('x'.repeat(100))).toBe(`"${'x'.repeat(45)}..."`)
    expect(describeValue(7n)).toBe('7n')
    expect(describeValue([1, 2])).toBe('an array of length 2')
    expect(describeValue(new Float32Array(3))).toBe('a Float32Array of length 3')
    expect(describeValue(new DataView(new ArrayBuffer(4)))).toBe('a DataView of length 4')
    expect(describeValue(new Map())).toBe('an object (Map)')
    expect(describeValue(Object.create(null))).toBe('an object (null prototype)')
    expect(describeValue(() => 0)).toBe('a function')
    expect(describeValue(undefined)).toBe('undefined')
    expect(describeValue(null)).toBe('null')
    expect(describeValue(Number.NaN)).toBe('NaN')
  })
})
