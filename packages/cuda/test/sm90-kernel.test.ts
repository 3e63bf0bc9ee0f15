/** The Hopper kernel, run thread by thread on the host against a plain loop over tokens: no GPU, no nvcc. */
import { describe, it } from 'vitest'
import { buildHostProgram, findCompiler, type HostProgram } from './host-program.ts'
import {
  combine,
  expectEqual as expectEqualRows,
  type Flag,
  type KernelCase,
} from './kernel-cases.ts'

const VALUES = { integers: 0, equal: 1, huge: 2, rare: 3, tight: 4, wide: 5 } as const

interface HopperCase extends KernelCase {
  numMultiprocessors?: number
  numShards?: number
  values?: keyof typeof VALUES
  /** Repetitions, each with its own random numbers and its own order of threads, blocks and copies. */
  repetition?: number
}

// The emulation has one instruction of the device as a macro for the assembler of x86-64.
const compiler = process.arch === 'x64' ? findCompiler() : undefined
const ask = compiler === undefined ? undefined : buildHostProgram(compiler, 'sm90_kernel_test.cc')

function expectEqual(cases: readonly HopperCase[]): void {
  expectEqualRows(ask as HostProgram, cases, (options) => {
    const { values = 'integers', numMultiprocessors = 4, numShards = 1 } = options
    return [VALUES[values], numMultiprocessors, numShards]
  })
}

/** A batch size of every instantiation: narrow ones, and wide ones with their filter of tokens. */
const NARROW = [7, 16, 25]
const WIDE = [64, 100, 200]

// In 4 blocks: 3 tiles each, the last one in part (5 or 3 units of 8), or in 2 clusters as many for each block.
const SEVERAL_TILES = { vocabSize: [1300], vocabStart: [5], numMultiprocessors: [4] }
const SEVERAL_CLUSTER_TILES = { vocabSize: [1300], vocabStart: [11], numMultiprocessors: [5] }

const title = `Hopper kernel on the host${ask ? '' : ' (skipped: no C++ compiler for x86-64 found)'}`
describe.skipIf(ask === undefined)(title, () => {
  it('gives the tokens of a plain loop at every width, in both storage types', () => {
    const batchSizes = [1, 8, 9, 16, 17, 32, 33, 64, 65, 127, 128, 129, 255, 256]
    expectEqual(combine({ ...SEVERAL_TILES, batchSize: batchSizes, type: [0, 1] }))
    expectEqual(
      combine({ ...SEVERAL_CLUSTER_TILES, batchSize: batchSizes, flags: [['temperatures']] }),
    )
  })

  it('gives the same tokens in any order of threads, blocks and copies', () => {
    const repetition = [0, 1, 2, 3, 4, 5]
    const common = { ...SEVERAL_TILES, batchSize: [3, 50, 128, 256], repetition }
    expectEqual(combine({ ...common, flags: [['temperatures']], scheme: [0, 1] }))
    expectEqual(combine({ ...common, flags: [['logprobs']], hiddenSize: [16] }))
  })

  it('serves any number of tokens, from any first token', () => {
    const vocabSize = [1, 8, 15, 16, 17, 129, 300, 527]
    expectEqual(
      combine({ batchSize: [3, 40, 70], vocabSize, vocabStart: [0, 5, 1003], hiddenSize: [8] }),
    )
    // Ids near their end, where the first token behind the shard is 2^32.
    const last = { vocabSize: [300], vocabStart: [2 ** 32 - 300], flags: [['int64' as const]] }
    expectEqual(combine({ ...last, batchSize: [3, 70] }))
  })

  it('serves every multiple of 8 as hidden size, and rows with padding between them', () => {
    const hiddenSize = [8, 64, 72, 128, 136, 200]
    expectEqual(combine({ batchSize: [3, 64, 128, 256], hiddenSize, flags: [[], ['padded']] }))
    // More steps of a tile than a ring has stages.
    expectEqual(combine({ batchSize: [3, 64, 128, 256], hiddenSize: [840], vocabSize: [600] }))
  })

  it('applies temperature, bias and mask, in both schemes', () => {
    const flags: Flag[][] = [
      ['temperatures'],
      ['bias'],
      ['mask'],
      ['temperatures', 'bias', 'mask', 'sharedRow'],
      ['temperatures', 'mask', 'maskedRow', 'int64'],
    ]
    expectEqual(
      combine({ ...SEVERAL_TILES, batchSize: [...NARROW, ...WIDE], scheme: [0, 1], flags }),
    )
  })

  it('reports log-masses of raw and transformed logits', () => {
    const flags: Flag[][] = [
      ['logprobs'],
      ['greedy', 'logprobs'],
      ['bias', 'mask', 'maskedRow', 'logprobs'],
      ['mask', 'sharedRow', 'logprobs'],
    ]
    expectEqual(combine({ ...SEVERAL_TILES, batchSize: [...NARROW, ...WIDE], mode: [0, 1], flags }))
  })

  // A warp of the last block takes 32 rows or fewer, and 33 parts of a row at a time.
  it('merges the log-masses of any number of blocks', () => {
    const common = { vocabSize: [4224], hiddenSize: [8], values: ['equal' as const] }
    const numMultiprocessors = [2, 33, 34, 67, 132, 264]
    const shapes = combine({ ...common, batchSize: [3, 100, 256], numMultiprocessors })
    expectEqual(shapes.map((shape) => ({ ...shape, flags: ['temperatures', 'logprobs'] })))
  })

  describe.each([
    ['temperatures near 0', { flags: ['temperatures', 'logprobs'] }],
    ['high temperatures', { flags: ['hot', 'logprobs'] }],
    ['logits near the end of fp32', { flags: ['logprobs'], values: 'huge' }],
    ['quotients near its end', { flags: ['temperatures', 'logprobs'], values: 'huge' }],
    ['quotients beyond its end', { flags: ['temperatures', 'logprobs'], values: 'wide' }],
    [
      'quotients beyond its end, with bias and mask',
      { flags: ['temperatures', 'bias', 'mask', 'maskedRow', 'logprobs'], values: 'wide' },
    ],
  ] satisfies [string, HopperCase][])('reports log-masses at %s', (_, extreme: HopperCase) => {
    const check = (batchSizes: number[]): void => {
      const shapes = combine({
        ...SEVERAL_TILES,
        batchSize: batchSizes,
        mode: [0, 1],
        numShards: [1, 3],
      })
      expectEqual(shapes.map((shape) => ({ ...shape, ...extreme })))
    }
    it('of narrow batches', () => check(NARROW))
    it('of wide batches', () => check(WIDE))
  })

  it('takes several draws of a row, in one pass or more', () => {
    const small = { vocabSize: [600], vocabStart: [3], hiddenSize: [16] }
    const flags: Flag[][] = [
      ['numSamples', 'temperatures'],
      ['int64', 'logprobs'],
    ]
    expectEqual(combine({ ...small, batchSize: [1, 9, 40, 70, 130], numDraws: [3], flags }))
    expectEqual(combine({ ...small, batchSize: [1], numDraws: [40], flags }))
    expectEqual(combine({ ...small, batchSize: [64], numDraws: [1], flags: [['numSamples']] }))
    // Rows beyond one pass.
    expectEqual(combine({ ...small, batchSize: [300], flags }))
  })

  it('makes rows with NaN or +Infinity errors, and no other row', () => {
    expectEqual(
      combine({
        ...SEVERAL_TILES,
        batchSize: [...NARROW, ...WIDE],
        type: [0, 1],
        flags: [
          ['invalid'],
          ['invalid', 'mask', 'temperatures'],
          ['invalid', 'numSamples', 'logprobs'],
        ],
      }),
    )
  })

  it('breaks ties by the lower token id, with more of them than a queue holds', () => {
    expectEqual(
      combine({
        ...SEVERAL_TILES,
        batchSize: [...NARROW, ...WIDE],
        values: ['equal'],
        flags: [['greedy'], ['hot'], ['temperatures'], ['greedy', 'mask', 'logprobs']],
      }),
    )
  })

  it('keeps the order of logits near the end of fp32', () => {
    expectEqual(
      combine({
        ...SEVERAL_TILES,
        batchSize: [...NARROW, ...WIDE],
        values: ['huge', 'wide'],
        flags: [[], ['greedy'], ['temperatures', 'mask']],
      }),
    )
  })

  it('draws tokens that win by rare noise alone, or by a hair', () => {
    const wins = { vocabSize: [1300], vocabStart: [5], hiddenSize: [128], scheme: [0, 1] }
    expectEqual(combine({ ...wins, batchSize: [16, 64, 100, 200], values: ['rare'] }))
    const oneBlock = { numMultiprocessors: [2], values: ['tight' as const] }
    expectEqual(combine({ ...wins, ...oneBlock, batchSize: [16, 64, 100, 200] }))
  })

  it('gives the winners of the whole vocabulary from any number of shards', () => {
    expectEqual(
      combine({
        ...SEVERAL_TILES,
        batchSize: [...NARROW, ...WIDE],
        numShards: [2, 5],
        flags: [
          ['mask', 'logprobs'],
          ['temperatures'],
          ['invalid', 'mask', 'logprobs'],
          ['invalid', 'temperatures'],
        ],
      }),
    )
  })
})
