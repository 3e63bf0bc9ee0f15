import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { runProgram } from './processes.mjs'
import { listFiles, readJson, repositoryRoot } from './workspace.mjs'

const tools = join(repositoryRoot, 'scripts/node_modules/.bin')

/**
 * Checks a packed package: what it holds, what its manifest points to, and that publint and attw are clean.
 *
 * @param {string} tarball - Absolute path of the `.tgz` file.
 * @param {string} folder - New folder to unpack into.
 * @returns {Promise<string[]>} One line per violation.
 */
export async function checkTarball(tarball, folder) {
  mkdirSync(folder, { recursive: true })
  await runProgram('tar', ['-xzf', tarball, '-C', folder])
  const problems = checkContents(join(folder, 'package'))
  const runs = {
    publint: ['run', tarball, '--strict'],
    attw: [tarball, '--profile', 'esm-only', '--no-emoji', '--no-color'],
  }
  for (const [tool, args] of Object.entries(runs)) {
    try {
      await runProgram(join(tools, tool), args)
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error))
    }
  }
  return problems
}

/**
 * Checks the files of an unpacked package.
 *
 * @param {string} folder - Folder that holds its `package.json`.
 * @returns {string[]} One line per violation.
 */
export function checkContents(folder) {
  const manifest = readJson(join(folder, 'package.json'))
  const required = [
    'README.md',
    'LICENSE',
    ...targetsOf(manifest.exports),
    ...targetsOf(manifest.bin),
  ]
  const missing = required.filter((file) => !existsSync(join(folder, file)))
  const sources = listAll(folder).filter((file) =>
    /(^|\/)src\/|\.test\.|tsconfig|\.map\.map$/.test(file),
  )
  const text = JSON.stringify(manifest)
  const forbidden = ['@flashsampling/source', 'workspace:', 'catalog:'].filter((s) =>
    text.includes(s),
  )
  return [
    ...missing.map((file) => `${manifest.name}: ${file} is not in the package`),
    ...sources.map((file) => `${manifest.name}: ${file} does not belong in the package`),
    ...forbidden.map((part) => `${manifest.name}: the packed package.json holds "${part}"`),
  ]
}

/**
 * @param {unknown} target - An `exports` or `bin` entry.
 * @returns {string[]} Every file it points to.
 */
function targetsOf(target) {
  if (typeof target === 'string') return [target]
  if (typeof target !== 'object' || target === null) return []
  return Object.values(target).flatMap(targetsOf)
}

/** @param {string} folder */
function listAll(folder) {
  return [...listFiles(folder), ...listFiles(join(folder, 'dist'))].map((file) =>
    file.slice(folder.length + 1),
  )
}
