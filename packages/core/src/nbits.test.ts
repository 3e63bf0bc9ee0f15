import { describe, expect, it } from 'vitest'
import { makeCase, splitHead } from './conformance/heads.ts'
import { numberToF16 } from './conformance/storage.ts'
import { createCpuBackend } from './cpu/cpu-backend.ts'
import { normalizeLmHead, readWeightRows } from './lm-head.ts'
import { createSampler } from './sampler.ts'
import type { LmHeadShard, QuantizationBlocks } from './types.ts'

/** Two rows of 32 weights in blocks of 16: quants 0 to 15 in the first row, 15 to 0 in the second, twice each. */
function nibbleHead(quantization: Partial<QuantizationBlocks> = {}): LmHeadShard {
  const data = new Uint8Array(32)
  for (let i = 0; i < 16; i++) {
    const low = (2 * i) % 16
    data[i] = low | ((low + 1) << 4)
    data[16 + i] = (15 - low) | ((14 - low) << 4)
  }
  const scales = Float32Array.of(0.5, 2, -1, 4)
  return {
    dtype: 'nbits4',
    vocabSize: 2,
    hiddenSize: 32,
    data,
    quantization: { blockSize: 16, scales, ...quantization },
  }
}

const counting = Array.from({ length: 16 }, (_, i) => i)

describe('readWeightRows() of nbits formats', () => {
  it('reads nibbles in order, the lower one first, less the zero point, times the scale of the block', () => {
    expect([...readWeightRows(nibbleHead(), 0, 2)]).toEqual([
      ...counting.map((q) => 0.5 * (q - 8)),
      ...counting.map((q) => 2 * (q - 8)),
      ...counting.map((q) => -(15 - q - 8)),
      ...counting.map((q) => 4 * (15 - q - 8)),
    ])
  })

  it('takes a constant zero point, or one from each nibble of the packed ones', () => {
    const constant = readWeightRows(nibbleHead({ zeroPoints: 7 }), 0, 1)
    expect([constant[0], constant[31]]).toEqual([-3.5, 16])
    const packed = readWeightRows(nibbleHead({ zeroPoints: Uint8Array.of(0xf1, 0x3a) }), 0, 2)
    expect([packed[0], packed[16], packed[32], packed[48]]).toEqual([-0.5, -30, -5, 48])
  })

  it('skips the room behind a last block that is cut short, and widens f16 scales', () => {
    // Rows of 48 weights in blocks of 32: two blocks, 64 bytes.
    const data = Uint8Array.from({ length: 128 }, (_, i) => (i % 64 < 48 ? 128 + i : 255))
    const scales = Uint16Array.from([1, 2, 3, 4], numberToF16)
    const head = { dtype: 'nbits8', vocabSize: 2, hiddenSize: 48, data } as const
    const row = readWeightRows({ ...head, quantization: { blockSize: 32, scales } }, 1, 1)
    expect(row).toHaveLength(48)
    expect([row[0], row[31], row[32], row[47]]).toEqual([64 * 3, 95 * 3, 96 * 4, 111 * 4])
    const packed = { blockSize: 32, scales, zeroPoints: Uint8Array.of(1, 2, 3, 200) }
    const other = readWeightRows({ ...head, quantization: packed }, 1, 1)
    expect([other[0], other[47]]).toEqual([(192 - 3) * 3, (239 - 200) * 4])
  })
})

describe('normalizeLmHead() of nbits formats', () => {
  it('keeps scales and zero points of each shard', () => {
    const quantization = { blockSize: 64, zeroPoints: 'packed' } as const
    const { lmHead } = makeCase({
      seed: 6n,
      vocabSize: 50,
      hiddenSize: 96,
      dtype: 'nbits4',
      quantization,
    })
    const all = readWeightRows(lmHead, 0, 50)
    const { shards } = normalizeLmHead({ shards: splitHead(lmHead, 3).reverse() })
    const rows = shards.flatMap((shard) => [...readWeightRows(shard, 0, shard.vocabSize)])
    expect(rows).toEqual([...all])
  })

  it.each<[string, Partial<LmHeadShard>, string]>([
    [
      'no blocks',
      { quantization: undefined },
      '"lmHead.quantization" must be an object for nbits4: current value is undefined',
    ],
    [
      'an unknown block size',
      { quantization: { blockSize: 24, scales: new Float32Array(4) } },
      '"lmHead.quantization.blockSize" must be one of 16, 32, 64, 128, 256: current value is 24',
    ],
    [
      'too few scales',
      { quantization: { blockSize: 16, scales: new Float32Array(3) } },
      '"lmHead.quantization.scales" must have 4 elements (2 for each of 2 tokens): current value is a Float32Array of length 3',
    ],
    [
      'too few zero points',
      { quantization: { ...nibbleHead().quantization!, zeroPoints: new Uint8Array(4) } },
      '"lmHead.quantization.zeroPoints" must have 2 elements (1 for each of 2 tokens): current value is a Uint8Array of length 4',
    ],
    [
      'a zero point that no quant has',
      { quantization: { ...nibbleHead().quantization!, zeroPoints: 16 } },
      '"lmHead.quantization.zeroPoints" must be a whole number from 0 to 15: current value is 16',
    ],
    [
      'data of rows that are not padded to blocks',
      { quantization: { blockSize: 64, scales: new Float32Array(2) } },
      '"lmHead.data" must have 64 elements ([vocabSize = 2, hiddenSize = 32] of nbits4): current value is a Uint8Array of length 32',
    ],
    [
      'a width that is no multiple of 16',
      { hiddenSize: 24 },
      '"lmHead.hiddenSize" must be a multiple of 16 for nbits4: current value is 24',
    ],
    [
      'blocks of another format',
      { dtype: 'f32', data: new Float32Array(64) },
      '"lmHead.quantization" must be absent for f32: current value is an object (Object)',
    ],
  ])('rejects %s', (_, changes, message) => {
    expect(() => normalizeLmHead({ ...nibbleHead(), ...changes })).toThrow(
      `Cannot load the LM head as ${message}`,
    )
  })
})

describe('the CPU backend with nbits heads', () => {
  it('cuts heads that one memory does not hold, and draws the same tokens', async () => {
    const { lmHead, hiddenStates } = makeCase({
      seed: 7n,
      vocabSize: 777,
      hiddenSize: 80,
      batchSize: 3,
      dtype: 'nbits4',
      quantization: { blockSize: 32, zeroPoints: 'packed' },
    })
    const draw = async (maxMemoryBytes?: number): Promise<number[]> => {
      const backend = createCpuBackend({ maxMemoryBytes })
      const sampler = await createSampler({ lmHead, backend })
      const { tokenIds } = await sampler.sample({ hiddenStates, params: { seed: 5n, topP: 0.8 } })
      await sampler.dispose()
      return [...tokenIds]
    }
    expect(await draw(4096)).toEqual(await draw())
  })

  it('refuses a buffer of its own, as rows are packed anew', async () => {
    const backend = createCpuBackend()
    const data = backend.allocate(32)
    const lmHead = { ...nibbleHead(), data }
    await expect(createSampler({ lmHead, backend })).rejects.toThrow(
      'Cannot load the LM head as nbits4 weights are packed anew for the kernels: pass typed arrays',
    )
  })
})
