import { readWeightRows } from '@flashsampling/core'
import { describe, expect, it } from 'vitest'
import { bytesToRead, LOGIT_SPREAD, makeHead, makeHiddenStates } from './inputs.ts'
import { DTYPES, halfMask, SHAPES, type Shape } from './shapes.ts'

const shape: Shape = { name: 'test', title: 'test', vocabSize: 2000, hiddenSize: 256 }

describe('makeHead()', () => {
  it.each(DTYPES)('gives logits with the stated spread in %s', (dtype) => {
    const head = makeHead(shape, dtype)
    const weights = readWeightRows(head, 0, shape.vocabSize)
    const states = makeHiddenStates(1, shape.hiddenSize, 3)
    let sum = 0
    let squares = 0
    for (let row = 0; row < shape.vocabSize; row++) {
      let logit = 0
      for (let i = 0; i < shape.hiddenSize; i++) {
        logit += (weights[row * shape.hiddenSize + i] as number) * (states[i] as number)
      }
      sum += logit
      squares += logit * logit
    }
    const mean = sum / shape.vocabSize
    const spread = Math.sqrt(squares / shape.vocabSize - mean * mean)
    // 2,000 logits: the standard error of the mean is 0.07; states and block scales vary by a few percent.
    expect(Math.abs(mean)).toBeLessThan(0.4)
    expect(spread).toBeGreaterThan(LOGIT_SPREAD * 0.85)
    expect(spread).toBeLessThan(LOGIT_SPREAD * 1.3)
  })
})

describe('bytesToRead()', () => {
  it('counts the head in its storage format and the hidden states in f32', () => {
    expect(bytesToRead(shape, 'q8_0', 2)).toBe(2000 * 8 * 34 + 2 * 256 * 4)
    expect(bytesToRead(shape, 'bf16', 1)).toBe(2000 * 256 * 2 + 256 * 4)
  })
})

describe('SHAPES', () => {
  it('has names that occur once and widths that hold whole blocks', () => {
    expect(new Set(SHAPES.map(({ name }) => name)).size).toBe(SHAPES.length)
    expect(SHAPES.filter(({ hiddenSize }) => hiddenSize % 32 !== 0)).toEqual([])
  })
})

describe('halfMask()', () => {
  it('allows about half of the tokens', () => {
    let allowed = 0
    for (const word of halfMask(49_152)) {
      for (let bit = 0; bit < 32; bit++) allowed += (word >>> bit) & 1
    }
    expect(allowed / 49_152).toBeGreaterThan(0.48)
    expect(allowed / 49_152).toBeLessThan(0.52)
  })
})
