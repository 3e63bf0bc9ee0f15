import { describe, expect, test } from 'vitest'
import { checkDependencies } from './check-dependencies.mjs'
import { makeTemporaryTree } from './lib/temporary-tree.mjs'

/**
 * @param {Record<string, string>} files
 * @param {Record<string, object>} [manifests]
 */
function problemsOf(files, manifests = {}) {
  const root = makeTemporaryTree({
    'packages/core/package.json': { name: '@flashsampling/core' },
    'packages/cuda/package.json': { name: '@flashsampling/cuda' },
    'apps/bench/package.json': { name: 'flashsampling-bench' },
    ...manifests,
    ...files,
  })
  return checkDependencies(root)
}

describe('checkDependencies()', () => {
  test('accepts imports along the allowed direction', () => {
    const files = {
      'packages/cuda/src/a.ts': `import { createSampler } from '@flashsampling/core'`,
      'apps/bench/src/a.ts': `export * from '@flashsampling/cuda'`,
    }
    expect(problemsOf(files)).toEqual([])
  })

  test('rejects an import against the direction, also as a type', () => {
    const files = {
      'packages/core/src/a.ts': `export const a = 1\nimport type { B } from '@flashsampling/cuda'`,
    }
    expect(problemsOf(files)).toEqual([
      'packages/core/src/a.ts:2: @flashsampling/core may not import @flashsampling/cuda',
    ])
  })

  test('rejects an import type and a dynamic import against the direction', () => {
    const files = {
      'packages/core/src/a.ts': `export type A = import('@flashsampling/cuda').A`,
      'packages/core/src/b.ts': `await import('flashsampling-bench')`,
    }
    expect(problemsOf(files)).toHaveLength(2)
  })

  test('rejects a dependence against the direction in a manifest', () => {
    const manifest = {
      name: '@flashsampling/core',
      devDependencies: { '@flashsampling/cuda': 'workspace:^' },
    }
    expect(problemsOf({}, { 'packages/core/package.json': manifest })).toEqual([
      'packages/core/package.json: @flashsampling/core may not depend on @flashsampling/cuda',
    ])
  })

  test('rejects a relative import that leaves the package', () => {
    const files = { 'packages/cuda/src/a.ts': `import { a } from '../../core/src/a.ts'` }
    expect(problemsOf(files)[0]).toMatch('packages/cuda/src/a.ts:1: "../../core/src/a.ts" leaves')
  })

  test('rejects a static import of a Node module in a package that runs in browsers', () => {
    const files = {
      'packages/core/src/a.ts': `import { Worker } from 'node:worker_threads'`,
      'packages/core/src/b.ts': `export { readFileSync } from 'fs'`,
    }
    expect(problemsOf(files)).toEqual([
      expect.stringContaining('packages/core/src/a.ts:1'),
      expect.stringContaining('packages/core/src/b.ts:1'),
    ])
  })

  test('accepts Node modules in dynamic imports, types and tests of such a package', () => {
    const files = {
      'packages/core/src/a.ts': `const { Worker } = await import('node:worker_threads')`,
      'packages/core/src/b.ts': `import type { Worker } from 'node:worker_threads'`,
      'packages/core/src/c.test.ts': `import { readFileSync } from 'node:fs'`,
    }
    expect(problemsOf(files)).toEqual([])
  })

  test('names every file of a circular import', () => {
    const files = {
      'packages/core/src/a.ts': `import { b } from './b.ts'`,
      'packages/core/src/b.ts': `import { c } from './c.ts'`,
      'packages/core/src/c.ts': `export * from './a.ts'`,
    }
    expect(problemsOf(files)).toEqual([
      'circular import: packages/core/src/a.ts -> packages/core/src/b.ts -> packages/core/src/c.ts -> packages/core/src/a.ts',
    ])
  })
})
