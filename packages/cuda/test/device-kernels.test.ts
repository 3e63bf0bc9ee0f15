/** The portable kernels, run thread by thread on the host against a plain loop over tokens: no GPU, no nvcc. */
import { describe, it } from 'vitest'
import { buildHostProgram, findCompiler, type HostProgram } from './host-program.ts'
import {
  combine,
  expectEqual as expectEqualRows,
  type Flag,
  type KernelCase,
} from './kernel-cases.ts'

const VALUES = { small: 0, huge: 1, wide: 2 } as const

/** A case, how many blocks run it, and what its logits are. */
interface PortableCase extends KernelCase {
  numBlocks?: number
  values?: keyof typeof VALUES
}

const compiler = findCompiler()
const ask =
  compiler === undefined ? undefined : buildHostProgram(compiler, 'device_kernels_test.cc')

function expectEqual(kernel: 'smxx' | 'logits', cases: readonly PortableCase[]): void {
  expectEqualRows(ask as HostProgram, cases, ({ numBlocks = 2, values = 'small' }) => [
    kernel,
    numBlocks,
    VALUES[values],
  ])
}

const TRANSFORMS: Flag[][] = [
  ['temperatures'],
  ['bias'],
  ['mask'],
  ['temperatures', 'bias', 'mask', 'sharedRow', 'logprobs'],
  ['temperatures', 'bias', 'mask', 'maskedRow', 'logprobs', 'int64'],
]

/** Logits and quotients near the end of fp32, and quotients beyond it. */
const EXTREMES = {
  values: ['huge' as const, 'wide' as const],
  mode: [0, 1],
  flags: [
    ['logprobs'],
    ['temperatures', 'logprobs'],
    ['temperatures', 'mask', 'bias', 'logprobs'],
    ['greedy', 'logprobs'],
  ] satisfies Flag[][],
}

const DRAWS: Flag[][] = [['numSamples', 'temperatures', 'logprobs'], ['int64']]

const title = `portable kernels on the host${ask ? '' : ' (skipped: no C++ compiler found)'}`
describe.skipIf(ask === undefined)(title, () => {
  describe('smxx_tile_sample', () => {
    it('gives the tokens of a plain loop at every width, in both storage types', () => {
      const batchSizes = [1, 7, 8, 9, 16, 23, 32, 33, 64, 65, 128, 130]
      expectEqual('smxx', combine({ batchSize: batchSizes, type: [0, 1], vocabSize: [150] }))
    })

    it('serves any number of tokens, from any first token, over any number of blocks', () => {
      expectEqual(
        'smxx',
        combine({
          vocabSize: [1, 8, 15, 16, 17, 129, 300, 1031],
          vocabStart: [0, 5, 8, 1003],
          numBlocks: [1, 3],
          hiddenSize: [16],
        }),
      )
    })

    it('serves every multiple of 8 as hidden size, and rows with padding between them', () => {
      const hiddenSizes = [8, 16, 24, 56, 64, 72, 128, 200, 512]
      expectEqual('smxx', combine({ hiddenSize: hiddenSizes, flags: [[], ['padded']] }))
      expectEqual('smxx', combine({ hiddenSize: hiddenSizes, batchSize: [20], vocabSize: [40] }))
    })

    it('applies temperature, bias and mask, and reports masses, in both schemes and modes', () => {
      const common = { vocabStart: [21], scheme: [0, 1], mode: [0, 1], flags: TRANSFORMS }
      expectEqual('smxx', combine({ ...common, batchSize: [10] }))
      expectEqual(
        'smxx',
        combine({ ...common, batchSize: [40], vocabSize: [100], hiddenSize: [16] }),
      )
    })

    it('keeps order and log-probabilities of logits near the end of fp32', () => {
      expectEqual('smxx', combine({ ...EXTREMES, batchSize: [12, 40], hiddenSize: [8] }))
    })

    it('takes several draws of a row, in one pass or more', () => {
      const small = { vocabSize: [50], hiddenSize: [16], flags: DRAWS }
      expectEqual('smxx', combine({ ...small, batchSize: [1, 9, 130], numDraws: [3] }))
      expectEqual('smxx', combine({ ...small, batchSize: [1], numDraws: [40, 300] }))
    })

    it('makes rows with NaN or +Infinity errors, and no other row', () => {
      expectEqual(
        'smxx',
        combine({
          batchSize: [5, 20],
          type: [0, 1],
          flags: [['invalid'], ['invalid', 'mask', 'logprobs', 'temperatures']],
        }),
      )
    })
  })

  describe('logits_sample', () => {
    it('gives the tokens of a plain loop in every storage type, aligned or not', () => {
      expectEqual(
        'logits',
        combine({
          type: [0, 1, 2],
          batchSize: [1, 6],
          vocabSize: [1, 15, 16, 17, 1031, 5000],
          vocabStart: [0, 5, 160],
          flags: [[], ['misaligned'], ['padded', 'logprobs']],
        }),
      )
    })

    it('applies temperature, bias and mask, and reports masses, in both schemes and modes', () => {
      expectEqual(
        'logits',
        combine({
          batchSize: [10],
          vocabStart: [0, 21],
          scheme: [0, 1],
          mode: [0, 1],
          flags: TRANSFORMS,
        }),
      )
    })

    it('keeps order and log-probabilities of logits near the end of fp32', () => {
      const sizes = { batchSize: [12], vocabSize: [300, 5000] }
      expectEqual('logits', combine({ ...EXTREMES, ...sizes, type: [0, 2], scheme: [0, 1] }))
    })

    it('takes several draws of a row, in one pass or more', () => {
      expectEqual(
        'logits',
        combine({ batchSize: [1, 20, 130], numDraws: [3], vocabSize: [70], flags: DRAWS }),
      )
      expectEqual(
        'logits',
        combine({ batchSize: [1], numDraws: [40, 300], vocabSize: [70], flags: DRAWS }),
      )
    })

    it('makes rows with NaN or +Infinity errors, and no other row', () => {
      const flags: Flag[][] = [['invalid'], ['invalid', 'mask', 'logprobs', 'temperatures']]
      expectEqual('logits', combine({ batchSize: [10], type: [0, 1, 2], numBlocks: [1, 4], flags }))
    })
  })
})
