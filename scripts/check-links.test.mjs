import { describe, expect, test } from 'vitest'
import { checkLinks } from './check-links.mjs'
import { makeTemporaryTree } from './lib/temporary-tree.mjs'

/** @param {string} markdown */
function problemsOf(markdown) {
  const root = makeTemporaryTree({
    'docs/a.md': markdown,
    'docs/b.md': '# Title\n\n## Noise: one seed, one token\n',
    'README.md': '',
  })
  return checkLinks(root)
}

describe('checkLinks()', () => {
  test('accepts files, folders, headings and other hosts', () => {
    const links =
      '[a](b.md) [b](../README.md) [c](..) [d](b.md#noise-one-seed-one-token) [e](https://x.org/y)'
    expect(problemsOf(links)).toEqual([])
  })

  test('finds files and headings that do not exist, with their line', () => {
    expect(problemsOf('text\n[a](c.md) and [b](b.md#silence)')).toEqual([
      'docs/a.md:2: c.md leads nowhere',
      'docs/a.md:2: b.md#silence leads nowhere',
    ])
  })

  test('leaves code alone', () => {
    expect(problemsOf('`[a](c.md)`\n```\n[a](c.md)\n```')).toEqual([])
  })
})
