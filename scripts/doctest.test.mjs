import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { findCodeBlocks } from './lib/code-blocks.mjs'
import { compileExample, importUsedNames } from './lib/compile-example.mjs'

/** @param {string} code */
function run(code) {
  const args = ['--input-type=module', '-e', compileExample(code)]
  return spawnSync(process.execPath, args, { encoding: 'utf8' })
}

describe('findCodeBlocks()', () => {
  test('finds the blocks of comments with their line and without the leading asterisk', () => {
    const text = '/**\n * Text.\n *\n * ```ts\n * if (a) {\n *   b()\n *\n * }\n * ```\n */'
    expect(findCodeBlocks('a.ts', text)).toEqual([
      { file: 'a.ts', line: 5, code: 'if (a) {\n  b()\n\n}' },
    ])
  })

  test('leaves out blocks of other languages and ignored blocks', () => {
    const text = '```sh\nls\n```\n```ts ignore\na()\n```\n```\nb\n```\n```ts\nc()\n```\n'
    expect(findCodeBlocks('a.md', text).map(({ code }) => code)).toEqual(['c()'])
  })
})

describe('importUsedNames()', () => {
  const names = new Set(['merge', 'Candidate', 'unused', 'own', 'member'])

  test('imports what the example uses and neither declares nor imports', () => {
    const code = 'const own: Candidate = merge(a.member, { member: 1 })'
    expect(importUsedNames(code, 'pkg', names)).toBe(
      `import { Candidate, merge } from 'pkg'\n${code}\nexport {}\n`,
    )
  })

  test('adds nothing to an example that imports its names', () => {
    const code = "import { merge } from 'pkg'\nmerge()"
    expect(importUsedNames(code, 'pkg', names)).toBe(`${code}\nexport {}\n`)
  })
})

describe('compileExample()', () => {
  test('passes where values are as the comments say', () => {
    const code = `
      1 + 1 // => 2
      const list: number[] = [1, 2] // => [1, 2]
      Uint8Array.of(
        list.length,
      ) // => Uint8Array [2]
      await Promise.resolve({ a: 1n }) // => { a: 1n }`
    expect(run(code)).toMatchObject({ status: 0 })
  })

  test.each([
    ['1 + 1 // => 3', '// => 3": current value is 2'],
    ['const a = [1] // => [2]', 'current value is [ 1 ]'],
    ['Uint8Array.of(1) // => Int8Array [1]', 'current value is Uint8Array(1) [ 1 ]'],
  ])('fails for %s', (code, message) => {
    const { status, stderr } = run(code)
    expect(status).toBe(1)
    expect(stderr).toContain(message)
  })

  test('rejects an expectation after a statement without a value', () => {
    expect(() => compileExample('if (true) {} // => 1')).toThrow(SyntaxError)
    expect(() => compileExample('if (true) {\n  f() // => 1\n}')).toThrow(SyntaxError)
  })
})
