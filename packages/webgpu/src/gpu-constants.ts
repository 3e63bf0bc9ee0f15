/**
 * Flags of the WebGPU specification by value: engines without the global objects, such as Node, need no set-up.
 *
 * @module
 */

/** `GPUBufferUsage`. */
export const BUFFER_USAGE = {
  MAP_READ: 0x0001,
  COPY_SRC: 0x0004,
  COPY_DST: 0x0008,
  UNIFORM: 0x0040,
  STORAGE: 0x0080,
} as const

/** `GPUMapMode.READ`. */
export const MAP_MODE_READ = 0x0001

/** `GPUShaderStage.COMPUTE`. */
export const STAGE_COMPUTE = 0x4
