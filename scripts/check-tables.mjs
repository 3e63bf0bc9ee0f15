/**
 * Holds two tables against the code: `docs/environment-variables.md` lists every `FLASHSAMPLING_*` variable, and
 * `docs/errors.md` every error code, and nothing else.
 */
import { existsSync, readFileSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import ts from 'typescript'
import { runCheck } from './lib/run-check.mjs'
import { listFiles, repositoryRoot } from './lib/workspace.mjs'

const VARIABLES_TABLE = 'docs/environment-variables.md'
const ERRORS_TABLE = 'docs/errors.md'

/** Folders whose files may read variables. */
const CODE_FOLDERS = ['packages', 'apps', 'scripts', '.ci', '.github']

/** Native sources use the same prefix for macros: there only `getenv` counts. */
const NATIVE = /\.(c|cc|cpp|cu|cuh|h|hpp)$/

/** Headers whose names other languages repeat: statuses and enumerators, not variables. */
const PUBLIC_HEADER = /\/include\/[^/]+\.h$/

runCheck(import.meta.url, 'tables of the documentation', () => checkTables(repositoryRoot))

/**
 * Checks both tables in both directions.
 *
 * @param {string} root - Root folder of the repository.
 * @returns {string[]} One line per difference.
 */
export function checkTables(root) {
  return [
    ...compare(root, VARIABLES_TABLE, findVariables(root), /^FLASHSAMPLING_[A-Z0-9_]+$/),
    ...compare(root, ERRORS_TABLE, findErrorCodes(root), /^[A-Z][A-Z0-9_]+$/),
  ]
}

/**
 * @param {string} root
 * @param {string} table - File of the table.
 * @param {Map<string, string>} used - Where each name is used.
 * @param {RegExp} shape - What the table's first column holds.
 */
function compare(root, table, used, shape) {
  if (!existsSync(join(root, table))) return [`${table}: the file does not exist`]
  const listed = new Set(firstColumn(readFileSync(join(root, table), 'utf8'), shape))
  const missing = [...used].filter(([name]) => !listed.has(name))
  const stale = [...listed].filter((name) => !used.has(name))
  return [
    ...missing.map(([name, file]) => `${table}: ${name} is missing, ${file} uses it`),
    ...stale.map((name) => `${table}: ${name} is listed but nothing uses it`),
  ]
}

/**
 * @param {string} markdown
 * @param {RegExp} shape
 */
function firstColumn(markdown, shape) {
  return markdown
    .split('\n')
    .map((line) => /^\|\s*`([^`]+)`\s*\|/.exec(line)?.[1] ?? '')
    .filter((name) => shape.test(name))
}

/** @param {string} root */
function findVariables(root) {
  /** @type {Map<string, string>} */
  const found = new Map()
  const files = CODE_FOLDERS.flatMap((folder) => listFiles(join(root, folder)))
  const declared = findDeclaredNames(files)
  for (const file of files) {
    if (!/\.([cm]?[jt]s|py|sh|ya?ml|wgsl)$|\/run$/.test(file) && !NATIVE.test(file)) continue
    if (file.endsWith('.generated.ts') || basename(file).startsWith('check-tables.')) continue
    const pattern = NATIVE.test(file)
      ? /getenv\(\s*"(FLASHSAMPLING_[A-Z0-9_]+)"/g
      : /\b(FLASHSAMPLING_[A-Z0-9_]*[A-Z0-9])\b/g
    for (const match of readFileSync(file, 'utf8').matchAll(pattern)) {
      const [, name = ''] = match
      if (!declared.has(name)) found.set(name, relative(root, file))
    }
  }
  return found
}

/** @param {string[]} files */
function findDeclaredNames(files) {
  const headers = files.filter((file) => PUBLIC_HEADER.test(file))
  const names = headers.flatMap(
    (file) => readFileSync(file, 'utf8').match(/\bFLASHSAMPLING_\w+/g) ?? [],
  )
  return new Set(names)
}

/**
 * Codes are the upper-case string literals of the packages' `errors.ts` files.
 *
 * @param {string} root
 */
function findErrorCodes(root) {
  /** @type {Map<string, string>} */
  const found = new Map()
  for (const file of listFiles(join(root, 'packages'))) {
    if (basename(file) !== 'errors.ts') continue
    const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest)
    /** @param {ts.Node} node */
    const visit = (node) => {
      if (ts.isStringLiteral(node) && /^[A-Z][A-Z0-9_]+$/.test(node.text)) {
        found.set(node.text, relative(root, file))
      }
      ts.forEachChild(node, visit)
    }
    visit(source)
  }
  return found
}
