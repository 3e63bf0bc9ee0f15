/**
 * Contenders that run on WebGPU alone: the library's two samplers, the sort, and the bare product.
 *
 * @module
 */
import { createLmHeadSampler, createLogitsSampler, type LogitsSampler } from '@flashsampling/webgpu'
import type {
  WebGpuCall,
  WebGpuContender,
  WebGpuContenderName,
  WebGpuHead,
  WebGpuRows,
} from './contender.ts'
import { type DeviceClass, readMapped, USAGE } from './gpu.ts'
import { LogitsProduct } from './product.ts'
import { SortSampler } from './sort-sampler.ts'

/** Rounding of fp32 products and of sums of probabilities, natural units of probability. */
const TOLERANCE = 2e-3

/** What contenders are made from. */
export interface ContenderContext {
  device: GPUDevice
  deviceClass: DeviceClass
  head: WebGpuHead
  /** Batch sizes that will be timed. */
  batchSizes: readonly number[]
}

/** Makes contenders that share one product, so that the head is uploaded once for all of them. */
export class GpuContenders {
  readonly #context: ContenderContext
  #product: Promise<LogitsProduct> | undefined

  constructor(context: ContenderContext) {
    this.#context = context
  }

  /**
   * Makes a contender.
   *
   * @param name - Who; one that needs WebGPU alone.
   * @returns The contender, or `null` where this module does not have it.
   */
  async create(name: WebGpuContenderName): Promise<WebGpuContender | null> {
    const { device, head } = this.#context
    if (name === 'flashsampling') return createFused(device, head)
    if (name === 'flashsampling-logits') {
      const sampler = await createLogitsSampler({ device, vocabSize: head.vocabSize })
      return createFromLogits(device, await this.#sharedProduct(), sampler)
    }
    if (name === 'gpu-sort') return this.#createSort()
    if (name === 'logits-product') return createBareProduct(device, await this.#sharedProduct())
    return null
  }

  /** Frees what the contenders share. */
  async dispose(): Promise<void> {
    // A product that could not be made has told so where it was asked for.
    const product = await this.#product?.catch(() => undefined)
    product?.dispose()
  }

  #sharedProduct(): Promise<LogitsProduct> {
    const { device, head, deviceClass, batchSizes } = this.#context
    this.#product ??= LogitsProduct.create(device, head, deviceClass).then(async (product) => {
      for (const batchSize of batchSizes) await product.prepare(batchSize)
      return product
    })
    return this.#product
  }

  async #createSort(): Promise<WebGpuContender> {
    const { device, head, deviceClass, batchSizes } = this.#context
    const product = await this.#sharedProduct()
    const sampler = await SortSampler.create(device, head.vocabSize, deviceClass)
    const stagings = new Map<number, GPUBuffer>()
    for (const batchSize of batchSizes) {
      await sampler.prepare(batchSize, await product.prepare(batchSize))
      const usage = USAGE.MAP_READ | USAGE.COPY_DST
      stagings.set(batchSize, device.createBuffer({ size: batchSize * 4, usage }))
    }
    return {
      name: 'gpu-sort',
      rule: 'rank',
      tolerance: TOLERANCE,
      poison: (batchSize) => sampler.poison(batchSize),
      draw: ({ rows, params, uniforms }) => {
        const staging = stagings.get(rows.batchSize) as GPUBuffer
        const encoder = device.createCommandEncoder()
        const pass = encoder.beginComputePass()
        product.encode(pass, rows)
        const tokens = sampler.encode(pass, { temperature: params.temperature, uniforms })
        pass.end()
        encoder.copyBufferToBuffer(tokens, 0, staging, 0, rows.batchSize * 4)
        device.queue.submit([encoder.finish()])
        return readMapped(staging).then((bytes) => new Uint32Array(bytes))
      },
      dispose: () => {
        sampler.dispose()
        for (const staging of stagings.values()) staging.destroy()
      },
    }
  }
}

async function createFused(device: GPUDevice, head: WebGpuHead): Promise<WebGpuContender> {
  const sampler = await createLmHeadSampler({ device, lmHead: head })
  return {
    name: 'flashsampling',
    rule: 'noise',
    tolerance: TOLERANCE,
    draw: ({ rows, params }) =>
      sampler.sampleTokenIds({ hiddenStates: placeRows(rows, head.hiddenSize), params }),
    dispose: () => sampler.dispose(),
  }
}

function createFromLogits(
  device: GPUDevice,
  product: LogitsProduct,
  sampler: LogitsSampler,
): WebGpuContender {
  return {
    name: 'flashsampling-logits',
    rule: 'noise',
    tolerance: TOLERANCE,
    draw: async ({ rows, params }: WebGpuCall) => {
      submitProduct(device, product, rows)
      const buffer = await product.prepare(rows.batchSize)
      const logits = placeRows({ batchSize: rows.batchSize, buffer }, product.vocabSize)
      return sampler.sampleTokenIds({ logits, params })
    },
    dispose: () => sampler.dispose(),
  }
}

function createBareProduct(device: GPUDevice, product: LogitsProduct): WebGpuContender {
  return {
    name: 'logits-product',
    rule: 'none',
    tolerance: 0,
    draw: async ({ rows }) => {
      submitProduct(device, product, rows)
      await device.queue.onSubmittedWorkDone()
      return []
    },
    dispose: () => undefined,
  }
}

function submitProduct(device: GPUDevice, product: LogitsProduct, rows: WebGpuRows): void {
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  product.encode(pass, rows)
  pass.end()
  device.queue.submit([encoder.finish()])
}

/** Rows of f32 in a buffer, as the library takes them. */
function placeRows(
  { batchSize, buffer }: Pick<WebGpuRows, 'batchSize' | 'buffer'>,
  width: number,
): { buffer: GPUBuffer; dtype: 'f32'; offsets: number[] } {
  const offsets = Array.from({ length: batchSize }, (_, row) => row * width * 4)
  return { buffer, dtype: 'f32', offsets }
}
