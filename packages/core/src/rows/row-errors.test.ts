import { describe, expect, it } from 'vitest'
import { throwRowErrors } from './row-errors.ts'

describe('throwRowErrors()', () => {
  it('returns where no row failed', () => {
    expect(() => throwRowErrors({})).not.toThrow()
    expect(() => throwRowErrors({ invalid: [], masked: [] })).not.toThrow()
  })

  it('names the rows, those with invalid logits first', () => {
    const rows = { invalid: [2, 5], masked: [1] }
    expect(() => throwRowErrors(rows)).toThrow(
      expect.objectContaining({
        code: 'INVALID_LOGITS',
        row: 2,
        rows: [2, 5],
        message:
          'Cannot sample tokens as logits of row 2, 5 are NaN or +Infinity: check the hidden states and the weights',
      }),
    )
    expect(() => throwRowErrors({ masked: [1, 3] })).toThrow(
      expect.objectContaining({
        code: 'ALL_TOKENS_MASKED',
        row: 1,
        rows: [1, 3],
        message:
          'Cannot sample tokens as every token of row 1, 3 is masked: allow at least one token',
      }),
    )
  })

  it('says what the backend knows', () => {
    const options = { found: 'NaN', remedy: 'look at the scales' }
    expect(() => throwRowErrors({ invalid: [0] }, options)).toThrow(
      'logits of row 0 are NaN: look at the scales',
    )
  })
})
