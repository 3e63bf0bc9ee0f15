/**
 * Small helpers over WebGPU: kernels from text, buffers from arrays.
 *
 * @module
 */

/** `GPUBufferUsage`, which exists as a global in browsers only. */
export const USAGE = {
  MAP_READ: 1,
  COPY_SRC: 4,
  COPY_DST: 8,
  UNIFORM: 64,
  STORAGE: 128,
} as const

/** `GPUMapMode.READ`. */
const MAP_READ = 1
/** Largest piece of an upload, bytes. */
const UPLOAD_BYTES = 64 * 2 ** 20

/** What a shader is compiled with: constants, each one line of WGSL. */
export type Constants = Readonly<Record<string, number | boolean>>

/** Facts about a device that choose the cut of a kernel. */
export interface DeviceClass {
  /** Whether a processor does the work. */
  isSoftware: boolean
  /** Lanes that exchange values without memory; 1 without subgroups. */
  subgroup: number
}

/** A kernel with its bindings in the order of their numbers. */
export class Kernel {
  readonly #device: GPUDevice
  readonly #pipeline: GPUComputePipeline

  private constructor(device: GPUDevice, pipeline: GPUComputePipeline) {
    this.#device = device
    this.#pipeline = pipeline
  }

  /**
   * Compiles a kernel.
   *
   * @param device - The device.
   * @param label - Its name in messages.
   * @param source - WGSL without the constants.
   * @param constants - Constants.
   * @returns The kernel.
   */
  static async compile(
    device: GPUDevice,
    label: string,
    source: string,
    constants: Constants,
  ): Promise<Kernel> {
    const lines = Object.entries(constants).map(
      ([name, value]) =>
        `const ${name}: ${typeof value === 'boolean' ? 'bool' : 'u32'} = ${value}${typeof value === 'boolean' ? '' : 'u'};\n`,
    )
    // Directives stand before everything else.
    const enables = source.match(/^enable .*;\n/gm)?.join('') ?? ''
    const code = `${enables}${lines.join('')}${source.replace(/^enable .*;\n/gm, '')}`
    const module = device.createShaderModule({ label, code })
    const pipeline = await device.createComputePipelineAsync({
      label,
      layout: 'auto',
      compute: { module, entryPoint: 'main' },
    })
    return new Kernel(device, pipeline)
  }

  /**
   * Binds buffers.
   *
   * @param buffers - One for each binding, in order.
   * @returns What `dispatch()` takes.
   */
  bind(buffers: readonly GPUBuffer[]): GPUBindGroup {
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }))
    return this.#device.createBindGroup({ layout: this.#pipeline.getBindGroupLayout(0), entries })
  }

  /**
   * Adds a dispatch to a pass.
   *
   * @param pass - The pass.
   * @param group - Bound buffers.
   * @param x - Workgroups.
   * @param y - Workgroups.
   */
  dispatch(pass: GPUComputePassEncoder, group: GPUBindGroup, x: number, y = 1): void {
    pass.setPipeline(this.#pipeline)
    pass.setBindGroup(0, group)
    pass.dispatchWorkgroups(x, y)
  }
}

/**
 * Uploads an array in pieces.
 *
 * @param device - The device.
 * @param data - Any typed array; a whole number of 4 bytes.
 * @param usage - Usage beside being written.
 * @returns The buffer.
 */
export async function upload(
  device: GPUDevice,
  data: ArrayBufferView,
  usage: number = USAGE.STORAGE,
): Promise<GPUBuffer> {
  const buffer = device.createBuffer({ size: data.byteLength, usage: usage | USAGE.COPY_DST })
  const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength)
  for (let at = 0; at < bytes.length; at += UPLOAD_BYTES) {
    device.queue.writeBuffer(buffer, at, bytes.subarray(at, at + UPLOAD_BYTES))
    // Keeps the memory of copies in flight small.
    await device.queue.onSubmittedWorkDone()
  }
  return buffer
}

/**
 * Maps a buffer and copies it.
 *
 * @param buffer - With usage `MAP_READ`.
 * @returns Its bytes.
 */
export async function readMapped(buffer: GPUBuffer): Promise<ArrayBuffer> {
  await buffer.mapAsync(MAP_READ)
  const copy = buffer.getMappedRange().slice(0)
  buffer.unmap()
  return copy
}
