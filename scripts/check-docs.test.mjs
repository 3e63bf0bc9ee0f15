import { describe, expect, test } from 'vitest'
import { checkDocs } from './check-docs.mjs'
import { makeTemporaryTree } from './lib/temporary-tree.mjs'

/**
 * Checks a package whose entry has the given declarations.
 *
 * @param {string} declarations
 * @param {string} [header]
 */
function problemsOf(declarations, header = '/** What it does. @module */') {
  const root = makeTemporaryTree({
    'packages/core/package.json': {
      name: '@flashsampling/core',
      exports: { '.': { '@flashsampling/source': './src/index.ts' } },
    },
    'packages/core/tsconfig.json': {
      compilerOptions: { module: 'nodenext', allowImportingTsExtensions: true, types: [] },
    },
    'packages/core/src/index.ts': `${header}\nexport * from './a.ts'`,
    'packages/core/src/a.ts': declarations,
  })
  return checkDocs(root).map((problem) => problem.replace(/^.*?: /, ''))
}

const DOCUMENTED = `
/**
 * Adds one.
 *
 * @param value - Any number.
 * @returns The next number.
 * @throws {RangeError} when the value is negative.
 */
export function next(value: number): number {
  if (value < 0) throw new RangeError('negative')
  return value + 1
}
/** A point, in pixels. */
export interface Point {
  /** From the left. */
  x: number
}
/** Holds a point. */
export class Holder {
  #point = 0
  /** @param point - Starts here. */
  constructor(point: number) { this.#point = point }
  /** The point. */
  get point(): number { return this.#point }
}
`

describe('checkDocs()', () => {
  test('accepts documented functions, interfaces and classes', () => {
    expect(problemsOf(DOCUMENTED)).toEqual([])
  })

  test('finds a symbol without a comment behind a re-export', () => {
    expect(problemsOf('export const a = 1')).toEqual(['a has no TSDoc comment'])
  })

  test('finds an interface member, a type member and a class member without a comment', () => {
    const text = DOCUMENTED.replace('/** From the left. */', '').replace('/** The point. */', '')
    expect(problemsOf(`${text}\n/** A pair. */\nexport type Pair = { first: number }`)).toEqual([
      'Point.x has no TSDoc comment',
      'Holder.point has no TSDoc comment',
      'Pair.first has no TSDoc comment',
    ])
  })

  test('finds missing and stale @param, missing @returns and missing @throws', () => {
    const text = DOCUMENTED.replace('@param value', '@param count')
      .replace('@returns', '@see')
      .replace('@throws', '@see')
    expect(problemsOf(text)).toEqual([
      'next has no @param value',
      'next has a @param count that is no parameter',
      'next has no @returns',
      'next throws but has no @throws',
    ])
  })

  test('finds an undocumented constructor parameter', () => {
    const text = DOCUMENTED.replace('/** @param point - Starts here. */', '')
    expect(problemsOf(text)).toEqual(['Holder.constructor has no @param point'])
  })

  test('checks arrow functions and function members like functions', () => {
    const text = `
      /** Adds one. */
      export const next = (value: number): number => value + 1
      /** Counts. */
      export interface Counter {
        /** Counts on. */
        count(): number
        /** Counts back. */
        back: (by: number) => void
      }`
    expect(problemsOf(text)).toEqual([
      'next has no @param value',
      'next has no @returns',
      'Counter.count has no @returns',
      'Counter.back has no @param by',
    ])
  })

  test('finds an exported symbol that is marked as internal', () => {
    expect(problemsOf('/** One.\n * @internal */\nexport const a = 1')).toEqual([
      'a is exported but @internal',
    ])
  })

  test('leaves out members that are marked as internal', () => {
    const text = DOCUMENTED.replace('/** From the left. */', '/** @internal */')
    expect(problemsOf(text)).toEqual([])
  })

  test('accepts a method that is described by its result', () => {
    const text = `
      /** Counts. */
      export interface Counter {
        /** @returns The next number. */
        next(): number
      }`
    expect(problemsOf(text)).toEqual([])
  })

  test('finds an entry file without a module comment', () => {
    expect(problemsOf(DOCUMENTED, '')).toEqual([
      'the entry file does not begin with an @module comment',
    ])
  })
})
