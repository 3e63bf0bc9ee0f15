import { describe, expect, test } from 'vitest'
import { checkTables } from './check-tables.mjs'
import { makeTemporaryTree } from './lib/temporary-tree.mjs'

/** @param {Record<string, string>} files */
function problemsOf(files) {
  const root = makeTemporaryTree({
    'docs/environment-variables.md':
      '| variable | default |\n|---|---|\n| `FLASHSAMPLING_A` | 1 |\n',
    'docs/errors.md': '| code | class |\n|---|---|\n| `DISPOSED` | `DisposedError` |\n',
    'packages/core/src/a.ts': 'process.env.FLASHSAMPLING_A',
    'packages/core/src/errors.ts': "/** `NOT_A_CODE` */\nexport type Code = 'DISPOSED'",
    ...files,
  })
  return checkTables(root)
}

describe('checkTables()', () => {
  test('accepts tables that agree with the code', () => {
    expect(problemsOf({})).toEqual([])
  })

  test('finds a variable and a code that the tables lack', () => {
    const files = {
      'apps/bench/src/b.ts': "env['FLASHSAMPLING_B']",
      'packages/cuda/src/errors.ts': "super('CUDA_ERROR', message)",
    }
    expect(problemsOf(files)).toEqual([
      'docs/environment-variables.md: FLASHSAMPLING_B is missing, apps/bench/src/b.ts uses it',
      'docs/errors.md: CUDA_ERROR is missing, packages/cuda/src/errors.ts uses it',
    ])
  })

  test('finds a listed variable and a listed code that nothing uses', () => {
    const files = { 'packages/core/src/a.ts': '', 'packages/core/src/errors.ts': '' }
    expect(problemsOf(files)).toEqual([
      'docs/environment-variables.md: FLASHSAMPLING_A is listed but nothing uses it',
      'docs/errors.md: DISPOSED is listed but nothing uses it',
    ])
  })

  test('does not take a name that a public header declares for a variable', () => {
    const files = {
      'packages/cuda/include/flashsampling.h': 'FLASHSAMPLING_STATUS = 0,',
      'packages/cuda/src/a.ts': "['FLASHSAMPLING_STATUS', 'FLASHSAMPLING_C']",
    }
    expect(problemsOf(files)).toEqual([
      'docs/environment-variables.md: FLASHSAMPLING_C is missing, packages/cuda/src/a.ts uses it',
    ])
  })

  test('counts getenv, not macros, in native sources', () => {
    const files = {
      'packages/cuda/csrc/a.cc': '#define FLASHSAMPLING_MACRO\ngetenv("FLASHSAMPLING_NATIVE")',
    }
    expect(problemsOf(files)).toEqual([
      'docs/environment-variables.md: FLASHSAMPLING_NATIVE is missing, packages/cuda/csrc/a.cc uses it',
    ])
  })

  test('finds a table that does not exist', () => {
    const root = makeTemporaryTree({ 'packages/core/src/a.ts': '' })
    expect(checkTables(root)).toEqual([
      'docs/environment-variables.md: the file does not exist',
      'docs/errors.md: the file does not exist',
    ])
  })
})
