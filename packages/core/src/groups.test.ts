import { describe, expect, it } from 'vitest'
import { createGenerator } from './conformance/generator.ts'
import { RowError } from './errors.ts'
import { createOnlineSampler, mergeDistributed, sampleGroups, summarizeGroup } from './groups.ts'
import { logMassOf, logSumExp } from './merge.ts'
import { sampleFromLogits } from './oracle.ts'

const generator = createGenerator(70n)
const logits = Array.from({ length: 37 }, () => generator.normal() * 2)

describe('summarizeGroup()', () => {
  it('draws inside the group as the oracle draws from it alone', () => {
    for (let position = 0; position < 50; position++) {
      const group = logits.slice(10, 21)
      const masked = logits.map((logit, tokenId) =>
        tokenId >= 10 && tokenId < 21 ? logit : -Infinity,
      )
      const summary = summarizeGroup(group, { seed: 1n, position, startTokenId: 10 })
      expect(summary.tokenId).toBe(sampleFromLogits(masked, { seed: 1n, position }).tokenId)
      expect(summary.logMass).toBeCloseTo(logSumExp(logMassOf(group)), 12)
    }
  })

  it('is empty when no token can be drawn', () => {
    expect(summarizeGroup([-Infinity, -Infinity], { seed: 1n })).toEqual({
      tokenId: -1,
      logMass: -Infinity,
    })
    expect(summarizeGroup([], { seed: 1n })).toEqual({ tokenId: -1, logMass: -Infinity })
  })

  it('names the token of a NaN logit by its global id', () => {
    expect(() => summarizeGroup([0, Number.NaN], { seed: 1n, startTokenId: 100 })).toThrow(
      'Cannot sample tokens as the logit of token 101 is NaN: logits must be finite or -Infinity',
    )
  })
})

describe('sampleGroups()', () => {
  it('with one group equals the oracle', () => {
    for (let position = 0; position < 50; position++) {
      const draw = sampleGroups(logits, { seed: 2n, position, groupSize: 100 })
      expect(draw.tokenId).toBe(sampleFromLogits(logits, { seed: 2n, position }).tokenId)
      expect(draw.group).toBe(0)
    }
  })

  it('gives a token of the group that it names, and the log-sum-exp of all', () => {
    for (const groupSize of [1, 2, 5, 36, 37]) {
      for (let position = 0; position < 20; position++) {
        const draw = sampleGroups(logits, { seed: 3n, position, groupSize })
        expect(Math.floor(draw.tokenId / groupSize)).toBe(draw.group)
        expect(draw.logSumExp).toBeCloseTo(logSumExp(logMassOf(logits)), 12)
      }
    }
  })

  it('skips groups without a drawable token', () => {
    const masked = logits.map((logit, tokenId) => (tokenId === 30 ? logit : -Infinity))
    expect(sampleGroups(masked, { seed: 1n, groupSize: 4 })).toMatchObject({
      tokenId: 30,
      group: 7,
    })
    expect(() => sampleGroups([-Infinity], { seed: 1n, groupSize: 4 })).toThrow(RowError)
  })

  it('rejects a group size that is not a whole number >= 1', () => {
    for (const groupSize of [0, -1, 1.5, Number.NaN]) {
      expect(() => sampleGroups(logits, { seed: 1n, groupSize })).toThrow(
        `Cannot sample groups as "groupSize" must be a whole number >= 1: current value is ${groupSize}`,
      )
    }
  })
})

describe('mergeDistributed()', () => {
  it('equals the parallel form for the same groups', () => {
    for (let position = 0; position < 30; position++) {
      const key = { seed: 4n, position }
      const groups = [0, 10, 20, 30].map((start) =>
        summarizeGroup(logits.slice(start, start + 10), { ...key, startTokenId: start }),
      )
      expect(mergeDistributed(groups, key)).toEqual(sampleGroups(logits, { ...key, groupSize: 10 }))
    }
  })

  it('rejects a log-mass of NaN or +Infinity, and a merge of nothing', () => {
    const key = { seed: 1n }
    expect(() => mergeDistributed([{ tokenId: 3, logMass: Number.NaN }], key)).toThrow(
      'Cannot merge groups as the log-mass of group 0 is NaN: it must be finite or -Infinity',
    )
    expect(() => mergeDistributed([{ tokenId: 3, logMass: Infinity }], key)).toThrow(RowError)
    expect(() => mergeDistributed([], key)).toThrow(RowError)
    expect(() => mergeDistributed([{ tokenId: -1, logMass: -Infinity }], key)).toThrow(RowError)
  })
})

describe('createOnlineSampler()', () => {
  it('holds the draw of the first group until another replaces it', () => {
    for (let position = 0; position < 100; position++) {
      const key = { seed: 5n, position }
      const online = createOnlineSampler(key)
      let start = 0
      let held: { tokenId: number; group: number } | null = null
      for (const [group, size] of [3, 1, 20, 13].entries()) {
        const part = logits.slice(start, start + size)
        online.push(part)
        start += size
        const now = online.result()
        expect(now.logSumExp).toBeCloseTo(logSumExp(logMassOf(logits.slice(0, start))), 12)
        if (now.group === group) {
          const inGroup = summarizeGroup(part, { ...key, startTokenId: start - size })
          expect(now.tokenId).toBe(inGroup.tokenId)
        } else {
          expect(now).toMatchObject(held ?? {})
        }
        held = { tokenId: now.tokenId, group: now.group }
      }
    }
  })

  it('counts token ids over groups that hold nothing', () => {
    const online = createOnlineSampler({ seed: 1n })
    expect(() => online.result()).toThrow(RowError)
    online.push([-Infinity, -Infinity, -Infinity])
    expect(() => online.result()).toThrow(RowError)
    online.push([-Infinity, 0])
    online.push([])
    expect(online.result()).toMatchObject({ tokenId: 4, group: 1, logSumExp: 0 })
  })

  it('rejects a seed that is not a bigint when it is created', () => {
    expect(() => createOnlineSampler({ seed: 1 as unknown as bigint })).toThrow(TypeError)
  })
})
