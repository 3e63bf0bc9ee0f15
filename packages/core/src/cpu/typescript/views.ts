/** Typed views over one linear memory; index = byte address / element size. */
export interface MemoryViews {
  readonly f32: Float32Array
  readonly f64: Float64Array
  readonly i64: BigInt64Array
  readonly i32: Int32Array
  readonly u32: Uint32Array
  readonly u16: Uint16Array
  readonly i8: Int8Array
  readonly u8: Uint8Array
}

/**
 * Makes the views of a memory; they go stale when the memory grows.
 *
 * @param buffer - The memory.
 * @returns Views over all of it.
 */
export function createViews(buffer: ArrayBufferLike): MemoryViews {
  return {
    f32: new Float32Array(buffer),
    f64: new Float64Array(buffer),
    i64: new BigInt64Array(buffer),
    i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer),
    u16: new Uint16Array(buffer),
    i8: new Int8Array(buffer),
    u8: new Uint8Array(buffer),
  }
}
