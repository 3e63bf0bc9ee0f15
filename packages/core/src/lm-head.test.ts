import { describe, expect, it } from 'vitest'
import { createGenerator } from './conformance/generator.ts'
import { makeCase, splitHead } from './conformance/heads.ts'
import { numberToBf16, numberToF16 } from './conformance/storage.ts'
import {
  isBackendBuffer,
  normalizeLmHead,
  readWeightRows,
  rowByteLength,
  STORAGE_FORMATS,
} from './lm-head.ts'
import type { LmHead, LmHeadShard } from './types.ts'

/** One block with the given bytes at the given offsets. */
function block(length: number, bytes: Record<number, number | number[]>): Uint8Array {
  const out = new Uint8Array(length)
  for (const [at, value] of Object.entries(bytes)) out.set([value].flat(), Number(at))
  return out
}

describe('readWeightRows()', () => {
  it('reads a q8_0 block: f16 scale, 32 signed bytes', () => {
    const data = block(34, { 0: [0x00, 0x38], 2: [1, 0xff, 127, 0x80], 33: 5 })
    const row = readWeightRows({ dtype: 'q8_0', vocabSize: 1, hiddenSize: 32, data }, 0, 1)
    expect([...row.subarray(0, 5), row[31]]).toEqual([0.5, -0.5, 63.5, -64, 0, 2.5])
  })

  it('reads a q4_0 block: low nibbles first, high nibbles 16 columns on, less 8', () => {
    const data = block(18, { 0: [0x00, 0x40], 2: [0x0f, 0xf0], 17: 0x92 })
    const row = readWeightRows({ dtype: 'q4_0', vocabSize: 1, hiddenSize: 32, data }, 0, 1)
    expect([row[0], row[1], row[15], row[16], row[17], row[31]]).toEqual([14, -16, -12, -16, 14, 2])
  })

  it('reads a q4_1 block: scale and offset', () => {
    const data = block(20, { 0: [0x00, 0x40, 0x00, 0xbc], 4: [0x0f, 0xf0], 19: 0x92 })
    const row = readWeightRows({ dtype: 'q4_1', vocabSize: 1, hiddenSize: 32, data }, 0, 1)
    expect([row[0], row[1], row[15], row[16], row[17], row[31]]).toEqual([29, -1, 3, -1, 29, 17])
  })

  it('reads a q6_k block: nibbles, two upper bits, one signed scale for 16 columns', () => {
    // Column c: low nibble byte (c / 128) * 64 + c % 64 (columns 64 to 127 of a half: the upper nibble),
    // upper bits in byte 128 + (c / 128) * 32 + c % 32, shifted by twice (c % 128) / 32; scale byte 192 + c / 16.
    const data = block(210, { 208: [0x00, 0x3c] })
    const view = new DataView(data.buffer)
    const quants = Array.from({ length: 256 }, (_, c) => (c * 37 + 11) % 64)
    const scales = Array.from({ length: 16 }, (_, i) => (i % 2 === 0 ? i + 1 : -i - 1))
    for (const [c, quant] of quants.entries()) {
      const half = Math.floor(c / 128)
      const inHalf = c % 128
      const lowAt = half * 64 + (inHalf % 64)
      const highAt = 128 + half * 32 + (inHalf % 32)
      view.setUint8(lowAt, view.getUint8(lowAt) | ((quant & 15) << (inHalf >= 64 ? 4 : 0)))
      view.setUint8(highAt, view.getUint8(highAt) | ((quant >> 4) << (2 * Math.floor(inHalf / 32))))
    }
    for (const [i, scale] of scales.entries()) view.setInt8(192 + i, scale)
    const row = readWeightRows({ dtype: 'q6_k', vocabSize: 1, hiddenSize: 256, data }, 0, 1)
    const expected = quants.map((quant, c) => (scales[c >> 4] as number) * (quant - 32))
    expect([...row]).toEqual(expected)
  })

  it('reads the rows that are asked for, from views at any offset', () => {
    const lmHead = makeCase({ seed: 1n, vocabSize: 20, hiddenSize: 64, dtype: 'q8_0' }).lmHead
    const all = readWeightRows(lmHead, 0, 20)
    expect(readWeightRows(lmHead, 7, 5)).toEqual(all.slice(7 * 64, 12 * 64))
    const [, second] = splitHead(lmHead, 3) as [LmHeadShard, LmHeadShard]
    const start = second.vocabStart as number
    expect(start).toBeGreaterThan(0)
    expect(readWeightRows(second, 0, second.vocabSize)).toEqual(
      all.slice(start * 64, (start + second.vocabSize) * 64),
    )
  })

  it('reads dense formats as they are stored', () => {
    const f32 = Float32Array.of(1.5, -2.25, 3e-40, 4)
    const f16 = Uint16Array.from([1.5, -2.25, 0, 4], numberToF16)
    const bf16 = Uint16Array.from([1.5, -2.25, 0, 4], numberToBf16)
    const read = (dtype: 'f32' | 'f16' | 'bf16', data: Float32Array | Uint16Array): number[] => [
      ...readWeightRows({ dtype, vocabSize: 2, hiddenSize: 2, data }, 0, 2),
    ]
    expect(read('f32', f32)).toEqual([...f32])
    expect(read('f16', f16)).toEqual([1.5, -2.25, 0, 4])
    expect(read('bf16', bf16)).toEqual([1.5, -2.25, 0, 4])
  })

  it('refuses memory that a backend owns', () => {
    const data = { backend: 'cuda', byteLength: 64 }
    expect(isBackendBuffer(data)).toBe(true)
    expect(() => readWeightRows({ dtype: 'f32', vocabSize: 4, hiddenSize: 4, data }, 0, 1)).toThrow(
      TypeError,
    )
  })
})

describe('rowByteLength()', () => {
  it('counts whole blocks', () => {
    expect(rowByteLength('f32', 10)).toBe(40)
    expect(rowByteLength('bf16', 10)).toBe(20)
    expect(rowByteLength('q8_0', 576)).toBe(612)
    expect(rowByteLength('q4_0', 64)).toBe(36)
    expect(rowByteLength('q4_1', 64)).toBe(40)
    expect(rowByteLength('q6_k', 1024)).toBe(840)
    expect(rowByteLength('nbits4', 576, 128)).toBe(5 * 64)
    expect(rowByteLength('nbits8', 576, 32)).toBe(576)
  })
})

describe('splitHead()', () => {
  it('cuts a head into pieces that cover it once, for any number of shards', () => {
    const { lmHead } = makeCase({ seed: 1n, vocabSize: 29, hiddenSize: 4 })
    for (let numShards = 1; numShards <= 29; numShards++) {
      const { shards, vocabSize } = normalizeLmHead({ shards: splitHead(lmHead, numShards) })
      expect(shards).toHaveLength(numShards)
      expect(vocabSize).toBe(29)
      expect(shards.reduce((sum, shard) => sum + shard.vocabSize, 0)).toBe(29)
    }
  })
})

describe('normalizeLmHead()', () => {
  const shard = (changes: Partial<LmHeadShard> = {}): LmHeadShard => ({
    dtype: 'f32',
    vocabSize: 3,
    hiddenSize: 2,
    data: new Float32Array(6),
    ...changes,
  })

  it('orders shards and reports the end of the last one', () => {
    const { shards, hiddenSize, vocabSize } = normalizeLmHead({
      shards: [shard({ vocabStart: 100 }), shard(), shard({ vocabStart: 3 })],
    })
    expect(shards.map((piece) => piece.vocabStart)).toEqual([0, 3, 100])
    expect([hiddenSize, vocabSize]).toEqual([2, 103])
  })

  it.each<[string, unknown, string]>([
    [
      'no object',
      5,
      'Cannot load the LM head as "lmHead" must be an object: current value is 5 (number)',
    ],
    [
      'no shard',
      { shards: [] },
      'Cannot load the LM head as "lmHead.shards" must be an array of at least one shard: current value is an array of length 0',
    ],
    [
      'an unknown dtype',
      shard({ dtype: 'q5_0' as 'f32' }),
      'Cannot load the LM head as "lmHead.dtype" must be one of f32, f16, bf16, q8_0, q4_0, q4_1, q6_k, nbits4, nbits8: current value is "q5_0"',
    ],
    [
      'a size of 0',
      shard({ vocabSize: 0 }),
      'Cannot load the LM head as "lmHead.vocabSize" must be a whole number >= 1: current value is 0',
    ],
    [
      'a fraction',
      shard({ hiddenSize: 1.5 }),
      'Cannot load the LM head as "lmHead.hiddenSize" must be a whole number >= 1: current value is 1.5',
    ],
    [
      'a broken block',
      { ...shard(), dtype: 'q8_0', hiddenSize: 33, data: new Uint8Array(9) },
      'Cannot load the LM head as "lmHead.hiddenSize" must be a multiple of 32 for q8_0: current value is 33',
    ],
    [
      'a wrong array',
      shard({ data: new Uint16Array(6) }),
      'Cannot load the LM head as "lmHead.data" must be a Float32Array for f32: current value is a Uint16Array of length 6',
    ],
    [
      'a short array',
      shard({ data: new Float32Array(5) }),
      'Cannot load the LM head as "lmHead.data" must have 6 elements ([vocabSize = 3, hiddenSize = 2] of f32): current value is a Float32Array of length 5',
    ],
    [
      'overlap',
      { shards: [shard(), shard({ vocabStart: 2 })] },
      'Cannot load the LM head as "lmHead.shards[].vocabStart" must be at least 3, the end of the shard before it: current value is 2',
    ],
    [
      'unequal widths',
      { shards: [shard(), shard({ vocabStart: 3, hiddenSize: 3, data: new Float32Array(9) })] },
      'Cannot load the LM head as "lmHead.shards[].hiddenSize" must be 2 in every shard: current value is 3',
    ],
    [
      'a short backend buffer',
      shard({ data: { backend: 'cpu', byteLength: 23 } }),
      'Cannot load the LM head as "lmHead.data.byteLength" must be at least 24: current value is 23',
    ],
    [
      'too many tokens',
      shard({ vocabStart: 2 ** 22 }),
      'Cannot load the LM head as "lmHead.vocabSize" must be such that token ids stay below 4194304: current value is 3',
    ],
  ])('rejects %s', (_, lmHead, message) => {
    expect(() => normalizeLmHead(lmHead as LmHead)).toThrow(
      new RegExp(`^${escapeRegExp(message)}$`),
    )
  })

  it('rejects a dtype that names an object property', () => {
    expect(() => normalizeLmHead(shard({ dtype: 'toString' as 'f32' }))).toThrow('"lmHead.dtype"')
  })
})

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

const DTYPES = Object.keys(STORAGE_FORMATS) as (keyof typeof STORAGE_FORMATS)[]

describe('makeCase()', () => {
  it('gives whole numbers in every storage format', () => {
    for (const dtype of DTYPES) {
      const { lmHead } = makeCase({
        seed: 2n,
        vocabSize: 9,
        hiddenSize: 256,
        dtype,
        values: 'integers',
      })
      const counts = new Map<number, number>()
      for (const weight of readWeightRows(lmHead, 0, 9))
        counts.set(weight, (counts.get(weight) ?? 0) + 1)
      expect([...counts.keys()].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2])
    }
  })

  it('gives real logits of about the spread that was asked for, in every storage format', () => {
    for (const dtype of DTYPES) {
      const { logits } = makeCase({
        seed: 3n,
        vocabSize: 800,
        hiddenSize: 256,
        batchSize: 4,
        dtype,
      })
      const all = logits.flatMap((row) => [...row])
      const variance = all.reduce((sum, logit) => sum + logit * logit, 0) / all.length
      expect(Math.sqrt(variance)).toBeGreaterThan(2)
      expect(Math.sqrt(variance)).toBeLessThan(5)
    }
  })

  it('is the same for the same seed', () => {
    const options = { seed: 4n, vocabSize: 11, hiddenSize: 5, batchSize: 2 }
    expect(makeCase(options)).toEqual(makeCase(options))
    expect(makeCase({ ...options, seed: 5n }).logits).not.toEqual(makeCase(options).logits)
    const generator = createGenerator(1n)
    const again = createGenerator(1n)
    for (let i = 0; i < 100; i++) expect(generator.u64()).toBe(again.u64())
  })
})
