/**
 * Bytes of tensors as elements.
 *
 * @module
 */
import { bf16ToNumber } from '@flashsampling/core'
import { InvalidOnnxModelError } from './errors.ts'
import { dataTypeName, type OnnxTensor } from './graph.ts'

/**
 * Scales or a bias as core takes them: f32, or f16 as bit patterns.
 *
 * @param tensor - Tensor of float32, float16 or bfloat16.
 * @param bytes - Its bytes.
 * @returns Views of the bytes; bfloat16 as f32.
 * @throws {InvalidOnnxModelError} when the tensor is of another type.
 */
export function readScales(tensor: OnnxTensor, bytes: Uint8Array): Float32Array | Uint16Array {
  if (tensor.dataType === 1) return viewF32(bytes)
  if (tensor.dataType === 10) return viewU16(bytes)
  if (tensor.dataType === 16) return Float32Array.from(viewU16(bytes), bf16ToNumber)
  throw new InvalidOnnxModelError(
    `Cannot read tensor "${tensor.name}" as scales must be float32, float16 or bfloat16: ` +
      `current type is ${dataTypeName(tensor.dataType)}`,
  )
}

/** The bytes as f32; copied only where they do not lie on a multiple of 4. */
export function viewF32(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes)
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4)
}

/** The bytes as u16; copied only where they do not lie on a multiple of 2. */
export function viewU16(bytes: Uint8Array): Uint16Array {
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : new Uint8Array(bytes)
  return new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.length / 2)
}
