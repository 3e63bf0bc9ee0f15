/**
 * The plain product of hidden states and head into a buffer of logits.
 *
 * @module
 */
import type { WebGpuHead, WebGpuRows } from './contender.ts'
import { type DeviceClass, Kernel, USAGE, upload } from './gpu.ts'
import { splitQ8Blocks } from './heads.ts'
import { type ProductCut, productMain } from './product-shader.ts'
import PRODUCT from './shaders/product.wgsl'

const FORMATS = {
  f32: {
    number: 0,
    word: 'vec4<f32>',
    load: 'return Chunk(weight[2u * index], weight[2u * index + 1u]);',
  },
  f16: {
    number: 1,
    word: 'vec4<u32>',
    load: `let word = weight[index];
  return Chunk(
    vec4<f32>(unpack2x16float(word.x), unpack2x16float(word.y)),
    vec4<f32>(unpack2x16float(word.z), unpack2x16float(word.w)),
  );`,
  },
  q8_0: {
    number: 2,
    word: 'vec2<u32>',
    load: 'let word = weight[index];\n  return Chunk(signed_bytes(word.x), signed_bytes(word.y));',
  },
  nbits4: {
    number: 3,
    word: 'u32',
    load: `let even = vec4<f32>(unpack4xU8(weight[index] & 0x0f0f0f0fu)) - 8.0;
  let odd = vec4<f32>(unpack4xU8((weight[index] >> 4u) & 0x0f0f0f0fu)) - 8.0;
  return Chunk(vec4<f32>(even.x, odd.x, even.y, odd.y), vec4<f32>(even.z, odd.z, even.w, odd.w));`,
  },
} as const

/** Writes logits of rows, ordered by row and token. */
export class LogitsProduct {
  readonly vocabSize: number
  readonly #device: GPUDevice
  readonly #head: WebGpuHead
  readonly #cut: ProductCut
  readonly #weight: GPUBuffer
  readonly #scales: GPUBuffer
  readonly #kernels = new Map<number, Kernel>()
  readonly #uniforms = new Map<number, GPUBuffer>()
  readonly #logits = new Map<number, GPUBuffer>()

  private constructor(
    device: GPUDevice,
    head: WebGpuHead,
    { isSoftware, subgroup }: DeviceClass,
    weight: GPUBuffer,
    scales: GPUBuffer,
  ) {
    this.#device = device
    this.#head = head
    this.#weight = weight
    this.#scales = scales
    this.vocabSize = head.vocabSize
    // The fastest cuts found: docs/findings/webgpu-products.md and webgpu-software.md.
    const isQuantised = head.dtype === 'q8_0' || head.dtype === 'nbits4'
    const lanes = isSoftware ? 1 : 32
    this.#cut = {
      lanes,
      tokens: isQuantised ? (isSoftware ? 16 : 4) : 8,
      workgroup: isSoftware ? 4 : 128,
      shuffle: lanes > 1 && subgroup >= lanes,
    }
  }

  /**
   * Uploads a head.
   *
   * @param device - The device.
   * @param head - The head.
   * @param deviceClass - Chooses the cut of the kernel.
   * @returns The product, owned by the caller.
   * @throws {RangeError} when the head does not fit one binding of the device.
   */
  static async create(
    device: GPUDevice,
    head: WebGpuHead,
    deviceClass: DeviceClass,
  ): Promise<LogitsProduct> {
    const split = head.dtype === 'q8_0' ? splitQ8Blocks(head) : null
    const data = split?.quants ?? head.data
    const limit = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize)
    if (data.byteLength > limit) {
      throw new RangeError(
        `Cannot bind the head as it must have at most ${limit} bytes on this device: current size is ${data.byteLength}`,
      )
    }
    // Heads without scales bind a few words that nothing reads.
    const scales = split?.scales ?? head.quantization?.scales ?? new Float32Array(4)
    return new LogitsProduct(
      device,
      head,
      deviceClass,
      await upload(device, data),
      await upload(device, scales),
    )
  }

  /**
   * Compiles what a batch needs and makes its buffer of logits.
   *
   * @param batchSize - Rows.
   * @returns `[batchSize, vocabSize]` f32, filled by `encode()`.
   */
  async prepare(batchSize: number): Promise<GPUBuffer> {
    const { vocabSize, hiddenSize } = this.#head
    const found = this.#logits.get(batchSize)
    if (found !== undefined) return found
    const rows = rowsAtATime(batchSize)
    if (!this.#kernels.has(rows)) this.#kernels.set(rows, await this.#compile(rows))
    const shape = Uint32Array.of(vocabSize, hiddenSize / 8, batchSize, 0)
    this.#uniforms.set(batchSize, await upload(this.#device, shape, USAGE.UNIFORM))
    const logits = this.#device.createBuffer({
      size: batchSize * vocabSize * 4,
      usage: USAGE.STORAGE | USAGE.COPY_SRC,
    })
    this.#logits.set(batchSize, logits)
    return logits
  }

  /**
   * Adds the product to a pass.
   *
   * @param pass - The pass.
   * @param rows - Hidden states of a batch that was prepared.
   */
  encode(pass: GPUComputePassEncoder, { batchSize, buffer }: WebGpuRows): void {
    const rows = rowsAtATime(batchSize)
    const kernel = this.#kernels.get(rows) as Kernel
    const uniform = this.#uniforms.get(batchSize) as GPUBuffer
    const logits = this.#logits.get(batchSize) as GPUBuffer
    const group = kernel.bind([uniform, buffer, this.#weight, this.#scales, logits])
    const { workgroup, lanes, tokens } = this.#cut
    const perWorkgroup = (workgroup / lanes) * tokens
    kernel.dispatch(
      pass,
      group,
      Math.ceil(batchSize / rows),
      Math.ceil(this.vocabSize / perWorkgroup),
    )
  }

  /** Frees weights and logits. */
  dispose(): void {
    this.#weight.destroy()
    this.#scales.destroy()
    for (const buffer of [...this.#logits.values(), ...this.#uniforms.values()]) buffer.destroy()
  }

  #compile(rows: number): Promise<Kernel> {
    const { dtype } = this.#head
    const { lanes, workgroup, shuffle } = this.#cut
    const { number, word, load } = FORMATS[dtype]
    const source = [
      shuffle ? 'enable subgroups;\n' : '',
      `alias WeightWord = ${word};\n`,
      `fn load_chunk(index: u32) -> Chunk {\n  ${load}\n}\n`,
      'fn shuffle_xor(value: f32, offset: u32) -> f32 {\n',
      shuffle ? '  return subgroupShuffleXor(value, offset);\n}\n' : '  return value;\n}\n',
      PRODUCT,
      productMain(this.#cut, rows, dtype === 'q8_0' || dtype === 'nbits4'),
    ].join('')
    return Kernel.compile(this.#device, 'logits product', source, {
      FORMAT: number,
      LANES: lanes,
      WORKGROUP: workgroup,
      SHUFFLE: shuffle,
    })
  }
}

/** Rows that a thread works on at once: as many as the batch has, up to eight. */
function rowsAtATime(batchSize: number): number {
  let rows = 1
  while (rows < batchSize && rows < 8) rows *= 2
  return rows
}
