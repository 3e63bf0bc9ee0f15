/**
 * Bytes of constant tensors, wherever an ONNX model keeps them.
 *
 * @module
 */
import { bf16ToNumber, f16ToNumber } from '@flashsampling/core'
import { InvalidOnnxModelError } from './errors.ts'
import { dataTypeName, type ExternalPlace, type OnnxTensor } from './graph.ts'
import { plainBytes, readFields, readIntegers } from './wire.ts'

/**
 * Reads a stretch of a file beside the model, for example by a `Range` request.
 *
 * @param place - `location` relative to the model, `offset` and `length` in bytes.
 * @returns Exactly `length` bytes.
 */
export type ExternalDataLoader = (
  place: Readonly<{ location: string; offset: number; length: number }>,
) => Promise<Uint8Array> | Uint8Array

/** Bytes of one element. */
const ELEMENT_BYTES: Readonly<Record<number, number>> = {
  1: 4,
  2: 1,
  3: 1,
  6: 4,
  7: 8,
  10: 2,
  16: 2,
}

/** uint4 and int4: two elements a byte, the lower half first. */
const HALF_BYTE_TYPES = [21, 22]

/**
 * Bytes that a tensor's dimensions ask for.
 *
 * @param tensor - Tensor of a type with whole or half bytes.
 * @returns Bytes.
 * @throws {InvalidOnnxModelError} when its type has none.
 */
export function tensorByteLength(tensor: OnnxTensor): number {
  const numElements = tensor.dims.reduce((product, dim) => product * dim, 1)
  if (HALF_BYTE_TYPES.includes(tensor.dataType)) return Math.ceil(numElements / 2)
  const elementBytes = ELEMENT_BYTES[tensor.dataType]
  if (elementBytes === undefined) {
    throw new InvalidOnnxModelError(
      `Cannot read tensor "${tensor.name}" as its type must be a float or a whole number: ` +
        `current type is ${dataTypeName(tensor.dataType)}`,
    )
  }
  return numElements * elementBytes
}

/**
 * Reads a tensor.
 *
 * @param tensor - Tensor of the model.
 * @param load - Reads files beside the model.
 * @returns Little-endian bytes; a view of the file where they stand there as they are.
 * @throws {InvalidOnnxModelError} when bytes are missing.
 */
export async function readTensorBytes(
  tensor: OnnxTensor,
  load: ExternalDataLoader | undefined,
): Promise<Uint8Array> {
  const byteLength = tensorByteLength(tensor)
  const bytes = tensor.external
    ? await readExternal(tensor, tensor.external, byteLength, load)
    : readInline(tensor)
  if (bytes.length !== byteLength) {
    throw new InvalidOnnxModelError(
      `Cannot read tensor "${tensor.name}" as its shape [${tensor.dims.join(', ')}] of ` +
        `${dataTypeName(tensor.dataType)} needs ${byteLength} bytes: current data has ${bytes.length}`,
    )
  }
  return bytes
}

async function readExternal(
  tensor: OnnxTensor,
  { location, offset }: ExternalPlace,
  length: number,
  load: ExternalDataLoader | undefined,
): Promise<Uint8Array> {
  if (load === undefined) {
    throw new InvalidOnnxModelError(
      `Cannot read tensor "${tensor.name}" as it lies in the file "${location}" beside the model: ` +
        'pass "loadExternalData", which reads that file',
    )
  }
  return plainBytes(await load({ location, offset, length }))
}

const RAW_DATA = 9
const FLOAT_DATA = 4
const INT32_DATA = 5
const INT64_DATA = 7

function readInline(tensor: OnnxTensor): Uint8Array {
  let raw: Uint8Array = new Uint8Array(0)
  const integers: number[] = []
  readFields(tensor.message, (field) => {
    if (field.number === RAW_DATA || field.number === FLOAT_DATA) raw = field.bytes
    else if (field.number === INT32_DATA) for (const v of readIntegers(field)) integers.push(v)
  })
  if (integers.length === 0) return raw
  // 4-bit elements too lie in it as whole bytes, of two elements each.
  const narrow = HALF_BYTE_TYPES.includes(tensor.dataType) ? 1 : ELEMENT_BYTES[tensor.dataType]
  const array =
    narrow === 1
      ? Uint8Array.from(integers)
      : narrow === 2
        ? Uint16Array.from(integers)
        : Int32Array.from(integers)
  return new Uint8Array(array.buffer)
}

/**
 * Reads a constant of one float.
 *
 * @param tensor - Tensor of the model.
 * @returns Its value; `null` when it has several, is of another type or lies outside the model.
 */
export function readConstantNumber(tensor: OnnxTensor): number | null {
  const { dataType, dims, external } = tensor
  if (external !== null || dims.some((dim) => dim !== 1)) return null
  if (dataType !== 1 && dataType !== 10 && dataType !== 16) return null
  const bytes = readInline(tensor)
  if (bytes.length !== tensorByteLength(tensor)) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (dataType === 1) return view.getFloat32(0, true)
  return (dataType === 10 ? f16ToNumber : bf16ToNumber)(view.getUint16(0, true))
}

/**
 * Reads a small constant of int32 or int64.
 *
 * @param tensor - Tensor of the model.
 * @returns Its values; `null` when it is of another type or outside the model.
 */
export function readConstantIntegers(tensor: OnnxTensor): number[] | null {
  const isLong = tensor.dataType === 7
  if ((!isLong && tensor.dataType !== 6) || tensor.external !== null) return null
  const integers: number[] = []
  readFields(tensor.message, (field) => {
    if (field.number === INT32_DATA || field.number === INT64_DATA) {
      integers.push(...readIntegers(field))
    } else if (field.number === RAW_DATA) {
      const view = new DataView(field.bytes.buffer, field.bytes.byteOffset, field.bytes.length)
      for (let at = 0; at < field.bytes.length; at += isLong ? 8 : 4) {
        integers.push(isLong ? Number(view.getBigInt64(at, true)) : view.getInt32(at, true))
      }
    }
  })
  return integers
}
