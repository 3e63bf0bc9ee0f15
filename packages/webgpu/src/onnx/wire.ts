/**
 * Protocol-buffer messages as lists of fields that keep their bytes: what is not understood can be copied as it is.
 *
 * @module
 */
import { PbfReader, PbfWriter } from 'pbf'
import { InvalidOnnxModelError } from './errors.ts'

/** One field of a message. */
export interface Field {
  /** Field number. */
  number: number
  /** Tag and value as they stand in the message. */
  raw: Uint8Array
  /** Value of a length-delimited field, else empty: a view of the message. */
  bytes: Uint8Array
  /** Value of a varint field, else 0; signed, exact up to 2^53. */
  integer: number
}

const VARINT = 0
const LENGTH_DELIMITED = 2
const EMPTY = new Uint8Array(0)

/**
 * Reads the fields of a message, in order.
 *
 * @param message - Bytes of the message.
 * @param visit - Called for each field.
 * @throws {InvalidOnnxModelError} when the bytes are no message.
 */
export function readFields(message: Uint8Array, visit: (field: Field) => void): void {
  const reader = new PbfReader(message)
  while (reader.pos < message.length) {
    const start = reader.pos
    const field = readField(reader)
    if (field === null || reader.pos > message.length) {
      throw new InvalidOnnxModelError(
        'Cannot read the ONNX model as its bytes are no protocol-buffer message, or are cut off: ' +
          `${message.length} bytes, unreadable at byte ${start}`,
      )
    }
    visit({ ...field, raw: message.subarray(start, reader.pos) })
  }
}

function readField(reader: PbfReader): Omit<Field, 'raw'> | null {
  try {
    const number = reader.nextField()
    const { type } = reader
    if (number === 0) return null
    if (type === LENGTH_DELIMITED) return { number, bytes: reader.readBytes(), integer: 0 }
    if (type === VARINT) return { number, bytes: EMPTY, integer: reader.readVarint(true) }
    reader.skip(type)
    return { number, bytes: EMPTY, integer: 0 }
  } catch {
    return null
  }
}

/**
 * Reads a repeated integer, packed or not.
 *
 * @param field - One occurrence of the field.
 * @returns Its values.
 */
export function readIntegers(field: Field): number[] {
  if (field.bytes.length === 0) return [field.integer]
  const reader = new PbfReader(field.bytes)
  const values: number[] = []
  while (reader.pos < field.bytes.length) values.push(reader.readVarint(true))
  return values
}

const decoder = new TextDecoder()

/** Reads a text field. */
export function readText(field: Field): string {
  return decoder.decode(field.bytes)
}

/**
 * Encodes one message.
 *
 * @param write - Writes its fields.
 * @returns Bytes of the message.
 */
export function encode(write: (writer: PbfWriter) => void): Uint8Array {
  const writer = new PbfWriter()
  write(writer)
  return writer.finish()
}

/**
 * Puts a message into a field of another one.
 *
 * @param number - Field number.
 * @param parts - Bytes of the inner message.
 * @returns Tag, length and the parts, none of them copied.
 */
export function messageField(number: number, parts: readonly Uint8Array[]): Uint8Array[] {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const head = encode((writer) => {
    writer.writeTag(number, LENGTH_DELIMITED)
    writer.writeVarint(length)
  })
  return [head, ...parts]
}

/** The same bytes without a subclass: `slice()` of a Node `Buffer` would not copy. */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** Joins parts into one array of bytes. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}
