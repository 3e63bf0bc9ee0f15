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

  test('accepts native includes along the layers', () => {
    const files = {
      'packages/cuda/csrc/kernels/common/a.h': '#include <cstdint>\n',
      'packages/cuda/csrc/launch/a.cu': '#include "../kernels/common/a.h"\n#include <cuda.h>\n',
      'packages/cuda/csrc/abi/a.cc': '#include "../launch/a.h"\n#include "flashsampling.h"\n',
      'packages/cuda/csrc/addon/a.cc': '#include <napi.h>\n#include "flashsampling.h"\n',
    }
    expect(problemsOf(files)).toEqual([])
  })

  test('rejects native includes that point back', () => {
    const files = {
      'packages/cuda/csrc/kernels/a.cuh': '\n#include "../launch/launch.h"\n',
      'packages/cuda/csrc/launch/a.cu': '#include "flashsampling.h"\n',
      'packages/cuda/csrc/abi/a.cc': '#  include <napi.h>\n',
      'packages/cuda/csrc/addon/a.cc': '#include "../abi/context.h"\n',
    }
    expect(problemsOf(files)).toEqual([
      'packages/cuda/csrc/abi/a.cc:1: abi may not include "napi.h"',
      'packages/cuda/csrc/addon/a.cc:1: addon may include flashsampling.h only, not "../abi/context.h" of abi',
      'packages/cuda/csrc/kernels/a.cuh:2: kernels may not include "../launch/launch.h" of launch',
      'packages/cuda/csrc/launch/a.cu:1: launch may not include "flashsampling.h"',
    ])
  })
})
