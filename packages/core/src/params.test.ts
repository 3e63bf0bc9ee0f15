import { describe, expect, it } from 'vitest'
import { normalizeBatchParams, normalizeParams } from './params.ts'
import type { SamplingParams } from './types.ts'

/** Message of the error that `params` causes, with its class. */
function errorOf(params: unknown, vocabSize = 10): string {
  try {
    normalizeParams(params as SamplingParams, vocabSize)
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`
  }
  return 'no error'
}

describe('normalizeParams()', () => {
  it('fills in every default', () => {
    expect(normalizeParams({ seed: 5n }, 100)).toEqual({
      temperature: 1,
      topK: 0,
      topP: 1,
      minP: 0,
      seed: 5n,
      position: 0n,
      drawIndex: 0,
      numSamples: 1,
      repetitionPenalty: 1,
      edits: [],
      allowedMask: null,
      logprobs: 0,
      logprobsMode: 'transformed',
    })
  })

  it('treats undefined as absent', () => {
    const all = {
      seed: 5n,
      temperature: undefined,
      topK: undefined,
      topP: undefined,
      minP: undefined,
      position: undefined,
      drawIndex: undefined,
      numSamples: undefined,
      logitBias: undefined,
      allowedTokens: undefined,
      repetitionPenalty: undefined,
      presencePenalty: undefined,
      frequencyPenalty: undefined,
      promptTokenIds: undefined,
      outputTokenIds: undefined,
      logprobs: undefined,
      logprobsMode: undefined,
    }
    expect(normalizeParams(all, 100)).toEqual(normalizeParams({ seed: 5n }, 100))
  })

  it('turns topK off from the vocabulary size on', () => {
    expect(normalizeParams({ seed: 0n, topK: 10 }, 10).topK).toBe(0)
    expect(normalizeParams({ seed: 0n, topK: 9 }, 10).topK).toBe(9)
  })

  it('merges bias and penalties into one ascending list of edits', () => {
    const { edits } = normalizeParams(
      {
        seed: 0n,
        logitBias: new Map([
          [7, 1.5],
          [2, -Infinity],
        ]),
        repetitionPenalty: 1.2,
        presencePenalty: 0.5,
        frequencyPenalty: 0.25,
        promptTokenIds: new Set([9]),
        outputTokenIds: [7, 3, 7],
      },
      10,
    )
    expect(edits).toEqual([
      { tokenId: 2, bias: -Infinity, repeated: false, penalty: 0 },
      { tokenId: 3, bias: 0, repeated: true, penalty: 0.75 },
      { tokenId: 7, bias: 1.5, repeated: true, penalty: 1 },
      { tokenId: 9, bias: 0, repeated: true, penalty: 0 },
    ])
  })

  it('makes no edits from token lists when every penalty is off', () => {
    const params = { seed: 0n, promptTokenIds: [1, 2], outputTokenIds: [3] }
    expect(normalizeParams(params, 10).edits).toEqual([])
  })

  it('accepts the bias as an object or as a Map', () => {
    const fromMap = normalizeParams({ seed: 0n, logitBias: new Map([[4, 2]]) }, 10)
    expect(normalizeParams({ seed: 0n, logitBias: { 4: 2 } }, 10)).toEqual(fromMap)
  })

  it('makes the same mask of ids and of words, and keeps a copy', () => {
    const ids = normalizeParams({ seed: 0n, allowedTokens: new Set([0, 31, 33]) }, 40)
    const words = Int32Array.of(1 | (1 << 31), 2, -1)
    const mask = normalizeParams({ seed: 0n, allowedTokens: words }, 40)
    expect(mask).toEqual(ids)
    expect(mask.allowedMask).toHaveLength(2)
    words[0] = 0
    expect(mask.allowedMask?.[0]).toBe(1 | (1 << 31))
  })

  it('accepts the whole range of seeds and positions', () => {
    const max = (1n << 64n) - 1n
    expect(normalizeParams({ seed: max, position: max }, 4)).toMatchObject({
      seed: max,
      position: max,
    })
    expect(normalizeParams({ seed: 0n, position: 2 ** 53 - 1 }, 4).position).toBe(2n ** 53n - 1n)
    expect(normalizeParams({ seed: 0n, drawIndex: 2 ** 32 - 1 }, 4).drawIndex).toBe(2 ** 32 - 1)
  })

  it.each<[unknown, string]>([
    [
      { seed: 1n, temperature: -1 },
      'RangeError: Cannot sample tokens as "temperature" must be >= 0: current value is -1',
    ],
    [
      { seed: 1n, temperature: Number.NaN },
      'RangeError: Cannot sample tokens as "temperature" must be >= 0: current value is NaN',
    ],
    [
      { seed: 1n, temperature: Infinity },
      'RangeError: Cannot sample tokens as "temperature" must be >= 0: current value is Infinity',
    ],
    [
      { seed: 1n, temperature: '1' },
      'TypeError: Cannot sample tokens as "temperature" must be a number: current value is "1" (string)',
    ],
    [
      { seed: 1n, topK: 1.5 },
      'RangeError: Cannot sample tokens as "topK" must be a whole number >= 0: current value is 1.5',
    ],
    [
      { seed: 1n, topK: -1 },
      'RangeError: Cannot sample tokens as "topK" must be a whole number >= 0: current value is -1',
    ],
    [
      { seed: 1n, topP: 1.01 },
      'RangeError: Cannot sample tokens as "topP" must be from 0 to 1: current value is 1.01',
    ],
    [
      { seed: 1n, minP: -0.1 },
      'RangeError: Cannot sample tokens as "minP" must be from 0 to 1: current value is -0.1',
    ],
    [
      { seed: 1 },
      'TypeError: Cannot sample tokens as "seed" must be a bigint, for example 42n: current value is 1 (number)',
    ],
    [
      {},
      'TypeError: Cannot sample tokens as "seed" must be a bigint, for example 42n: current value is undefined',
    ],
    [
      { seed: -1n },
      'RangeError: Cannot sample tokens as "seed" must be from 0 to 2^64 - 1: current value is -1n',
    ],
    [
      { seed: 1n << 64n },
      'RangeError: Cannot sample tokens as "seed" must be from 0 to 2^64 - 1: current value is 18446744073709551616n',
    ],
    [
      { seed: 1n, position: -1 },
      'RangeError: Cannot sample tokens as "position" must be a whole number from 0 to 2^53 - 1, or a bigint: current value is -1',
    ],
    [
      { seed: 1n, numSamples: 0 },
      'RangeError: Cannot sample tokens as "numSamples" must be a whole number from 1 to 1024: current value is 0',
    ],
    [
      { seed: 1n, numSamples: 1025 },
      'RangeError: Cannot sample tokens as "numSamples" must be a whole number from 1 to 1024: current value is 1025',
    ],
    [
      { seed: 1n, numSamples: 2, drawIndex: 2 ** 32 - 1 },
      'RangeError: Cannot sample tokens as "drawIndex" must be a whole number from 0 to 2^32 - numSamples: current value is 4294967295',
    ],
    [
      { seed: 1n, repetitionPenalty: 0 },
      'RangeError: Cannot sample tokens as "repetitionPenalty" must be > 0: current value is 0',
    ],
    [
      { seed: 1n, presencePenalty: Infinity },
      'RangeError: Cannot sample tokens as "presencePenalty" must be a finite number: current value is Infinity',
    ],
    [
      { seed: 1n, frequencyPenalty: Number.NaN },
      'RangeError: Cannot sample tokens as "frequencyPenalty" must be a finite number: current value is NaN',
    ],
    [
      { seed: 1n, logprobs: 1025 },
      'RangeError: Cannot sample tokens as "logprobs" must be a whole number from 0 to 1024: current value is 1025',
    ],
    [
      { seed: 1n, logprobsMode: 'both' },
      'RangeError: Cannot sample tokens as "logprobsMode" must be "transformed" or "raw": current value is "both"',
    ],
    [
      { seed: 1n, logitBias: 5 },
      'TypeError: Cannot sample tokens as "logitBias" must be a Map or an object from token id to number: current value is 5 (number)',
    ],
    [
      { seed: 1n, logitBias: { 10: 1 } },
      'RangeError: Cannot sample tokens as "logitBias" must be token ids from 0 to 9: current value is 10',
    ],
    [
      { seed: 1n, logitBias: { x: 1 } },
      'RangeError: Cannot sample tokens as "logitBias" must be token ids from 0 to 9: current value is NaN',
    ],
    [
      { seed: 1n, logitBias: { 3: Infinity } },
      'RangeError: Cannot sample tokens as "logitBias[3]" must be finite or -Infinity: current value is Infinity',
    ],
    [
      { seed: 1n, logitBias: { 3: '1' } },
      'TypeError: Cannot sample tokens as "logitBias[3]" must be a number: current value is "1" (string)',
    ],
    [
      { seed: 1n, allowedTokens: [10] },
      'RangeError: Cannot sample tokens as "allowedTokens" must be token ids from 0 to 9: current value is 10',
    ],
    [
      { seed: 1n, allowedTokens: ['1'] },
      'TypeError: Cannot sample tokens as "allowedTokens" must be token ids (numbers): current value is "1" (string)',
    ],
    [
      { seed: 1n, allowedTokens: 5 },
      'TypeError: Cannot sample tokens as "allowedTokens" must be an iterable of token ids: current value is 5 (number)',
    ],
    [
      { seed: 1n, allowedTokens: new Int32Array(0) },
      'RangeError: Cannot sample tokens as "allowedTokens" must be a bitmask of at least 1 words (one bit per token): current value is a Int32Array of length 0',
    ],
    [
      { seed: 1n, promptTokenIds: [-1] },
      'RangeError: Cannot sample tokens as "promptTokenIds" must be token ids from 0 to 9: current value is -1',
    ],
    [
      { seed: 1n, outputTokenIds: [0.5] },
      'RangeError: Cannot sample tokens as "outputTokenIds" must be token ids from 0 to 9: current value is 0.5',
    ],
    [
      null,
      'TypeError: Cannot sample tokens as "params" must be an object with at least "seed": current value is null',
    ],
  ])('rejects parameters with the message of case %#', (params, message) => {
    expect(errorOf(params)).toBe(message)
  })
})

describe('normalizeBatchParams()', () => {
  it('shares one object between all rows', () => {
    const rows = normalizeBatchParams({ seed: 3n }, 3, 10)
    expect(rows).toHaveLength(3)
    expect(rows[2]).toBe(rows[0])
  })

  it('takes one object per row, and no other number of them', () => {
    const rows = normalizeBatchParams([{ seed: 3n }, { seed: 4n }], 2, 10)
    expect(rows.map((row) => row.seed)).toEqual([3n, 4n])
    expect(() => normalizeBatchParams([{ seed: 3n }], 2, 10)).toThrow(
      'Cannot sample tokens as "params" must be one object, or an array of 2 (one per row): ' +
        'current value is an array of length 1',
    )
  })
})
