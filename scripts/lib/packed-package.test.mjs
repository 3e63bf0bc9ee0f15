import { describe, expect, test } from 'vitest'
import { checkContents } from './packed-package.mjs'
import { makeTemporaryTree } from './temporary-tree.mjs'

/**
 * @param {Record<string, string>} files
 * @param {object} manifest
 */
function problemsOf(files, manifest = {}) {
  const root = makeTemporaryTree({
    'package.json': {
      name: 'a',
      exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' } },
      ...manifest,
    },
    'dist/index.js': '',
    'dist/index.d.ts': '',
    'README.md': '',
    LICENSE: '',
    ...files,
  })
  return checkContents(root)
}

describe('checkContents()', () => {
  test('accepts a package that holds what it exports', () => {
    expect(problemsOf({})).toEqual([])
  })

  test('finds exports and programs that are not in the package', () => {
    const manifest = { exports: { './b': './dist/b.js' }, bin: { a: './dist/cli.js' } }
    expect(problemsOf({}, manifest)).toEqual([
      'a: ./dist/b.js is not in the package',
      'a: ./dist/cli.js is not in the package',
    ])
  })

  test('finds sources, tests and configurations', () => {
    const files = { 'src/a.ts': '', 'dist/a.test.d.ts': '', 'tsconfig.json': '' }
    expect(problemsOf(files)).toHaveLength(3)
  })

  test('finds what only the workspace understands', () => {
    const manifest = {
      exports: { '.': { '@flashsampling/source': './dist/index.js' } },
      dependencies: { b: 'workspace:^', c: 'catalog:' },
    }
    expect(problemsOf({}, manifest)).toEqual([
      'a: the packed package.json holds "@flashsampling/source"',
      'a: the packed package.json holds "workspace:"',
      'a: the packed package.json holds "catalog:"',
    ])
  })
})
