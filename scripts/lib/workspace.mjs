import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Absolute path of the repository's root folder. */
export const repositoryRoot = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/**
 * What the checks read of a package's manifest.
 *
 * @typedef {object} Manifest
 * @property {string} name
 * @property {string} version
 * @property {boolean} [private]
 * @property {Record<string, unknown>} [exports]
 * @property {Record<string, string>} [scripts]
 * @property {Record<string, string>} [dependencies]
 * @property {Record<string, string>} [devDependencies]
 * @property {Record<string, string>} [peerDependencies]
 * @property {Record<string, string>} [optionalDependencies]
 * @property {string} [packageManager]
 */

/**
 * One package of the workspace.
 *
 * @typedef {object} WorkspacePackage
 * @property {string} folder - Relative to the root, with forward slashes.
 * @property {string} path - Absolute.
 * @property {Manifest} manifest
 */

/**
 * Lists the packages of the workspace: `packages/*`, `apps/*` and `scripts`.
 *
 * @param {string} [root] - Root folder of the repository.
 * @returns {WorkspacePackage[]} In alphabetical order of their folders.
 */
export function listPackages(root = repositoryRoot) {
  const folders = ['packages', 'apps'].flatMap((parent) =>
    existsSync(join(root, parent))
      ? readdirSync(join(root, parent)).map((name) => `${parent}/${name}`)
      : [],
  )
  return [...folders, 'scripts']
    .filter((folder) => existsSync(join(root, folder, 'package.json')))
    .sort()
    .map((folder) => {
      const path = join(root, folder)
      return { folder, path, manifest: readJson(join(path, 'package.json')) }
    })
}

/**
 * Lists the packages that are published.
 *
 * @param {string} [root] - Root folder of the repository.
 */
export function listPublishedPackages(root = repositoryRoot) {
  return listPackages(root).filter(({ manifest }) => manifest.private !== true)
}

/**
 * Lists the files below a folder, without `node_modules` and build outputs.
 *
 * @param {string} folder - Absolute path.
 * @returns {string[]} Absolute paths, in alphabetical order; empty where the folder does not exist.
 */
export function listFiles(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      if (SKIPPED_FOLDERS.has(entry.name)) return []
      const path = join(folder, entry.name)
      return entry.isDirectory() ? listFiles(path) : entry.isFile() ? [path] : []
    })
}

const SKIPPED_FOLDERS = new Set(['node_modules', 'dist', 'build', 'coverage', '.turbo', '.cache'])

/**
 * Reads a JSON file.
 *
 * @param {string} file - Absolute path.
 */
export function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'))
}
