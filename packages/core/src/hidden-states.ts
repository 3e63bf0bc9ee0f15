/**
 * Hidden states as callers give them, checked and widened.
 *
 * @module
 */
import { invalidType, RowError } from './errors.ts'
import { f16ToNumber } from './half-floats.ts'
import type { DType, SampleOptions } from './types.ts'

/**
 * Checks hidden states and widens them to f32.
 *
 * @param input - `[batchSize, hiddenSize]` f32 row-major, or a record that names dtype and batch size.
 * @param hiddenSize - Width of a hidden state, elements.
 * @returns A copy, `[batchSize, hiddenSize]`, and the number of rows.
 * @throws {TypeError} when it has a wrong type.
 * @throws {RangeError} when its length is not that of whole rows.
 * @throws {RowError} when a row holds NaN or an infinity.
 */
export function normalizeHiddenStates(
  input: SampleOptions['hiddenStates'],
  hiddenSize: number,
): { hiddenStates: Float32Array; batchSize: number } {
  const record =
    input instanceof Float32Array
      ? { data: input, dtype: 'f32' as const, batchSize: input.length / hiddenSize }
      : input
  if (typeof record !== 'object' || record === null || !ArrayBuffer.isView(record.data)) {
    throw invalidType(
      'sample tokens',
      'hiddenStates',
      'a Float32Array or { data, dtype, batchSize }',
      input,
    )
  }
  const { data, dtype, batchSize } = record
  if (!Number.isSafeInteger(batchSize) || batchSize < 1 || data.length !== batchSize * hiddenSize) {
    throw new RangeError(
      `Cannot sample tokens as "hiddenStates" must have batchSize * hiddenSize elements ` +
        `(hiddenSize = ${hiddenSize}, batchSize >= 1): current length is ${data.length}` +
        (input instanceof Float32Array ? '' : `, current batchSize is ${batchSize}`),
    )
  }
  const hiddenStates = widenHiddenStates(data, dtype)
  const nanRows: number[] = []
  for (let row = 0; row < batchSize; row++) {
    for (let i = row * hiddenSize; i < (row + 1) * hiddenSize; i++) {
      const value = hiddenStates[i] as number
      // x - x is NaN for NaN and for infinities, 0 for everything else.
      if (value - value !== 0) {
        nanRows.push(row)
        break
      }
    }
  }
  if (nanRows.length > 0) {
    throw new RowError(
      'INVALID_LOGITS',
      `Cannot sample tokens as the hidden states of row ${nanRows.join(', ')} contain NaN or infinite values: ` +
        'check the model output',
      nanRows,
    )
  }
  return { hiddenStates, batchSize }
}

function widenHiddenStates(data: Float32Array | Uint16Array, dtype: DType): Float32Array {
  // A copy: a queued call must not see what the caller writes into the buffer for the next one.
  if (dtype === 'f32' && data instanceof Float32Array) return data.slice()
  if ((dtype === 'f16' || dtype === 'bf16') && data instanceof Uint16Array) {
    return dtype === 'f16' ? widenF16(data) : widenBf16(data)
  }
  throw invalidType(
    'sample tokens',
    'hiddenStates',
    'a Float32Array for "f32", or a Uint16Array for "f16" and "bf16"',
    data,
  )
}

// Plain loops: at the batch sizes of a GPU, a callback for each element takes longer than the draw.

function widenBf16(data: Uint16Array): Float32Array {
  const bits = new Uint32Array(data.length)
  for (let i = 0; i < data.length; i++) bits[i] = (data[i] as number) << 16
  return new Float32Array(bits.buffer)
}

function widenF16(data: Uint16Array): Float32Array {
  const widened = new Float32Array(data.length)
  for (let i = 0; i < data.length; i++) widened[i] = f16ToNumber(data[i] as number)
  return widened
}
