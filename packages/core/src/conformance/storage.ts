/**
 * Random weights in dense and GGUF storage, written block by block.
 *
 * @module
 */
import { bf16ToNumber, f16ToNumber } from '../half-floats.ts'
import { STORAGE_FORMATS } from '../lm-head.ts'
import type { DType, GgufFormat } from '../types.ts'
import type { Generator } from './generator.ts'

type WeightArray = Float32Array | Uint16Array | Uint8Array

/**
 * Weights from -2 to 2 in a storage format.
 *
 * @param generator - Source of the values.
 * @param dtype - Storage format.
 * @param length - Weights; a multiple of the format's block.
 * @returns The stored bytes.
 */
export function integerWeights(
  generator: Generator,
  dtype: DType | GgufFormat,
  length: number,
): WeightArray {
  const next = (): number => generator.integer(-2, 2)
  if (dtype === 'f32') return Float32Array.from({ length }, next)
  if (dtype === 'f16') return Uint16Array.from({ length }, () => numberToF16(next()))
  if (dtype === 'bf16') return Uint16Array.from({ length }, () => numberToBf16(next()))
  return quantizedBlocks(dtype, length, () => BLOCK_OF_ONE[dtype], next)
}

/**
 * Weights about normal in a storage format; quantised ones are uniform inside a block of random scale.
 *
 * @param generator - Source of the values.
 * @param dtype - Storage format.
 * @param length - Weights; a multiple of the format's block.
 * @param deviation - Standard deviation of a weight.
 * @returns The stored bytes.
 */
export function realWeights(
  generator: Generator,
  dtype: DType | GgufFormat,
  length: number,
  deviation: number,
): WeightArray {
  const next = (): number => generator.normal() * deviation
  if (dtype === 'f32') return Float32Array.from({ length }, next)
  if (dtype === 'f16') return Uint16Array.from({ length }, () => numberToF16(next()))
  if (dtype === 'bf16') return Uint16Array.from({ length }, () => numberToBf16(next()))
  const { low, high } = QUANT_RANGE[dtype]
  // A uniform quant has deviation range / sqrt(12); scales vary from half to three halves of what that asks for.
  const unit = (deviation * Math.sqrt(12)) / (high - low)
  return quantizedBlocks(
    dtype,
    length,
    () => {
      const factor = unit * (0.5 + generator.uniform())
      const scales = Array.from({ length: 16 }, () => generator.integer(-40, 40))
      return dtype === 'q6_k'
        ? { d: factor / 24, m: 0, scales }
        : { d: factor, m: -factor * generator.integer(6, 9), scales }
    },
    () => generator.integer(low, high),
  )
}

/** Scales of one block: value = d * quant + m (q4_1), d * quant (q8_0, q4_0), d * scale * quant (q6_k). */
interface BlockScales {
  d: number
  m: number
  scales: number[]
}

const ONES: number[] = new Array<number>(16).fill(1)
const BLOCK_OF_ONE: Record<GgufFormat, BlockScales> = {
  q8_0: { d: 1, m: 0, scales: ONES },
  q4_0: { d: 1, m: 0, scales: ONES },
  q4_1: { d: 1, m: -8, scales: ONES },
  q6_k: { d: 1, m: 0, scales: ONES },
}
/** Signed quants a format can hold; those of q4_1 are counted from -8, the offset that {@link BLOCK_OF_ONE} takes away. */
const QUANT_RANGE: Record<GgufFormat, { low: number; high: number }> = {
  q8_0: { low: -127, high: 127 },
  q4_0: { low: -8, high: 7 },
  q4_1: { low: -8, high: 7 },
  q6_k: { low: -32, high: 31 },
}

function quantizedBlocks(
  dtype: GgufFormat,
  length: number,
  nextScales: () => BlockScales,
  nextQuant: () => number,
): Uint8Array {
  const { blockWeights, blockBytes } = STORAGE_FORMATS[dtype]
  const numBlocks = length / blockWeights
  const bytes = new Uint8Array(numBlocks * blockBytes)
  const view = new DataView(bytes.buffer)
  for (let block = 0; block < numBlocks; block++) {
    const scales = nextScales()
    const quants = Array.from({ length: blockWeights }, nextQuant)
    BLOCK_WRITERS[dtype](view, block * blockBytes, scales, quants)
  }
  return bytes
}

type BlockWriter = (view: DataView, at: number, scales: BlockScales, quants: number[]) => void

function writeNibbles(view: DataView, at: number, quants: number[]): void {
  for (let i = 0; i < 16; i++) {
    view.setUint8(at + i, ((quants[i] as number) + 8) | (((quants[i + 16] as number) + 8) << 4))
  }
}

/** Byte layouts as ggml defines them (`ggml-common.h`: block_q8_0, block_q4_0, block_q4_1, block_q6_K). */
const BLOCK_WRITERS: Record<GgufFormat, BlockWriter> = {
  q8_0: (view, at, { d }, quants) => {
    view.setUint16(at, numberToF16(d), true)
    quants.forEach((quant, i) => {
      view.setInt8(at + 2 + i, quant)
    })
  },
  q4_0: (view, at, { d }, quants) => {
    view.setUint16(at, numberToF16(d), true)
    writeNibbles(view, at + 2, quants)
  },
  q4_1: (view, at, { d, m }, quants) => {
    view.setUint16(at, numberToF16(d), true)
    view.setUint16(at + 2, numberToF16(m), true)
    writeNibbles(view, at + 4, quants)
  },
  q6_k: (view, at, { d, scales }, quants) => {
    quants.forEach((quant, i) => {
      const stored = quant + 32
      const half = i >> 7
      const quarter = (i >> 5) & 3
      const column = i & 31
      const low = at + half * 64 + (quarter & 1) * 32 + column
      const high = at + 128 + half * 32 + column
      view.setUint8(low, view.getUint8(low) | ((stored & 15) << (quarter >= 2 ? 4 : 0)))
      view.setUint8(high, view.getUint8(high) | ((stored >> 4) << (quarter * 2)))
    })
    scales.forEach((scale, i) => {
      view.setInt8(at + 192 + i, scale)
    })
    view.setUint16(at + 208, numberToF16(d), true)
  },
}

const f32Scratch = new Float32Array(1)
const u32Scratch = new Uint32Array(f32Scratch.buffer)

/**
 * Rounds a number towards zero to bfloat16.
 *
 * @param value - Finite.
 * @returns u16 bit pattern.
 */
export function numberToBf16(value: number): number {
  f32Scratch[0] = value
  return (u32Scratch[0] as number) >>> 16
}

/**
 * Rounds a number towards zero to IEEE half precision; too large values become the largest finite one.
 *
 * @param value - Finite.
 * @returns u16 bit pattern.
 */
export function numberToF16(value: number): number {
  const sign = value < 0 ? 0x8000 : 0
  const magnitude = Math.min(Math.abs(value), 65504)
  if (magnitude < 2 ** -14) return sign | Math.floor(magnitude * 2 ** 24)
  let exponent = -14
  while (magnitude >= 2 ** (exponent + 1)) exponent++
  return sign | ((exponent + 15) << 10) | Math.floor((magnitude * 2 ** -exponent - 1) * 1024)
}

/**
 * Rounds a number to the nearest bfloat16, on ties to even.
 *
 * @param value - Not NaN; first rounded to fp32.
 * @returns u16 bit pattern; that of an infinity beyond the largest finite value.
 */
export function nearestBf16(value: number): number {
  f32Scratch[0] = value
  const bits = u32Scratch[0] as number
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

/**
 * Rounds a number to the nearest IEEE half-precision value, on ties to even.
 *
 * @param value - Not NaN.
 * @returns u16 bit pattern; that of an infinity from 65520 on.
 */
export function nearestF16(value: number): number {
  const sign = value < 0 ? 0x8000 : 0
  const magnitude = Math.abs(value)
  if (magnitude >= 65520) return sign | 0x7c00
  let exponent = -14
  while (magnitude >= 2 ** (exponent + 1)) exponent++
  const steps = magnitude / 2 ** (exponent - 10)
  const low = Math.floor(steps)
  const rest = steps - low
  const rounded = rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low
  // From 1024 steps on a number is normal; a carry into the exponent comes out right by itself.
  return sign | (rounded < 1024 ? rounded : ((exponent + 14) << 10) + rounded)
}

/**
 * Rounds values to a storage type, to the nearest, on ties to even.
 *
 * @param values - f32, free of NaN.
 * @param dtype - Type to round to; `f32` keeps the values.
 * @returns The rounded values as f32.
 */
export function roundToDType(values: Float32Array, dtype: DType): Float32Array {
  if (dtype === 'f32') return values
  return values.map((value) =>
    dtype === 'bf16' ? bf16ToNumber(nearestBf16(value)) : f16ToNumber(nearestF16(value)),
  )
}

/**
 * Splits an fp32 value into three bfloat16 values of its sign: 8 of its 24 bits each. Every sum of them is exact in
 * fp32, in any order.
 *
 * @param value - Rounded to fp32 first; of magnitude 0 or above 2^-100. NaN and infinities stay whole.
 * @returns Three values, largest first.
 */
export function splitToBf16(value: number): [number, number, number] {
  const whole = Math.fround(value)
  if (!Number.isFinite(whole)) return [whole, 0, 0]
  const high = bf16ToNumber(numberToBf16(whole))
  const middle = bf16ToNumber(numberToBf16(whole - high))
  return [high, middle, whole - high - middle]
}
