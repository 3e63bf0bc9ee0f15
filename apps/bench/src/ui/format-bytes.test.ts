import { describe, expect, it } from 'vitest'
import { formatBytes } from './format-bytes.ts'

describe('formatBytes()', () => {
  it('picks the unit that leaves one to three digits', () => {
    expect([0, 999, 1000, 92_871_040, 2.5e12, 3e15].map(formatBytes)).toEqual([
      '0 B',
      '999 B',
      '1.0 kB',
      '92.9 MB',
      '2.5 TB',
      '3000.0 TB',
    ])
  })
})
