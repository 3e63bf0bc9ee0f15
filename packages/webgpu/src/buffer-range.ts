/**
 * Parts of GPU buffers.
 *
 * @module
 */

/** Part of a buffer. */
export interface BufferRange {
  buffer: GPUBuffer
  offset: number
  size: number
}
