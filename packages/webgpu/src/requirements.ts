/**
 * What a head asks of a device.
 *
 * @module
 */
import { type LmHead, normalizeLmHead } from '@flashsampling/core'
import { storageLayout } from './storage.ts'

/** What to ask an adapter for; every part of it is optional. */
export interface DeviceRequirements {
  /** Features that make draws faster and that the adapter has; none of them is needed. */
  requiredFeatures: GPUFeatureName[]
  /** Limits that let each part of the head be one piece, as far as the adapter goes. */
  requiredLimits: Record<string, number>
  /** Memory that the head takes, bytes. */
  headBytes: number
  /** Pieces that the head is cut into under these limits: dispatches of a draw, beside the one that merges. */
  numPieces: number
}

/** Features that the kernels use where a device has them. */
const USEFUL_FEATURES: GPUFeatureName[] = ['subgroups']

/**
 * Tells which features and limits a device should be requested with for a head. A device with the default limits and no
 * features serves every head too, in more pieces and more slowly.
 *
 * @param adapter - The adapter; `null` asks about the default limits of WebGPU.
 * @param lmHead - The head; only its shape and storage are looked at.
 * @returns What to hand to `adapter.requestDevice()`, and what the head takes.
 * @throws {TypeError} when the head has a wrong type.
 * @throws {RangeError} when a size of the head is out of range.
 * @example
 * ```ts
 * import { deviceRequirements } from '@flashsampling/webgpu'
 *
 * const lmHead = { dtype: 'f32', vocabSize: 2, hiddenSize: 2, data: Float32Array.of(1, 0, 0, 1) } as const
 * deviceRequirements(null, lmHead).numPieces // => 1
 * ```
 */
export function deviceRequirements(adapter: GPUAdapter | null, lmHead: LmHead): DeviceRequirements {
  const { shards } = normalizeLmHead(lmHead)
  const defaults = { maxStorageBufferBindingSize: 2 ** 27, maxBufferSize: 2 ** 28 }
  const limits = adapter?.limits ?? defaults
  let headBytes = 0
  let largest = 0
  const rowBytes = shards.map((shard) => {
    const layout = storageLayout(shard)
    const parts = [layout.rowBytes, layout.numBlocks * layout.scaleBytes, layout.offsetRowBytes]
    for (const part of parts) {
      headBytes += shard.vocabSize * part
      largest = Math.max(largest, shard.vocabSize * part)
    }
    return Math.max(...parts)
  })
  const want = (name: keyof typeof defaults): number =>
    Math.min(limits[name], Math.max(defaults[name], Math.ceil(largest / 16) * 16))
  const requiredLimits = {
    maxStorageBufferBindingSize: want('maxStorageBufferBindingSize'),
    maxBufferSize: want('maxBufferSize'),
  }
  const pieceBytes = Math.min(...Object.values(requiredLimits))
  const numPieces = shards.reduce(
    (sum, { vocabSize }, i) => sum + Math.ceil((vocabSize * (rowBytes[i] as number)) / pieceBytes),
    0,
  )
  return {
    requiredFeatures: USEFUL_FEATURES.filter((name) => adapter?.features.has(name) === true),
    requiredLimits,
    headBytes,
    numPieces,
  }
}
