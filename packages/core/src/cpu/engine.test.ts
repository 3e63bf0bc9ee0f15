import { describe, expect, it } from 'vitest'
import { chooseTileVocab } from './engine.ts'

describe('chooseTileVocab()', () => {
  it('gives large tiles to small batches, and every thread enough of them', () => {
    expect(chooseTileVocab(49_152, 1, 1)).toBe(1024)
    expect(chooseTileVocab(49_152, 2, 1)).toBe(1024)
    expect(chooseTileVocab(49_152, 8, 1)).toBe(384)
    expect(chooseTileVocab(151_936, 2, 16)).toBe(512)
    expect(chooseTileVocab(151_936, 2, 64)).toBe(128)
    expect(chooseTileVocab(100, 2, 1)).toBe(64)
  })
})
