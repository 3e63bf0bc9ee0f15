/**
 * Holds the direction of dependences: which package may import which, what may not be imported at all, that no file
 * imports itself by a detour, and which layer of native code may include which.
 */
import { readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { listImports } from './lib/imports.mjs'
import { checkNativeLayers } from './lib/native-layers.mjs'
import { runCheck } from './lib/run-check.mjs'
import { listFiles, listPackages, repositoryRoot } from './lib/workspace.mjs'

/** @typedef {import('./lib/workspace.mjs').WorkspacePackage} WorkspacePackage */
/** @typedef {import('./lib/imports.mjs').Import & { file: string }} FileImport */

const ALL_PUBLISHED = [
  '@flashsampling/core',
  '@flashsampling/cuda',
  '@flashsampling/webgpu',
  '@flashsampling/tp',
  '@flashsampling/vllm',
]

/**
 * Packages of ours that each package may import; a package that is not listed may import none.
 *
 * @type {Record<string, readonly string[]>}
 */
const MAY_IMPORT = {
  '@flashsampling/core': [],
  '@flashsampling/cuda': ['@flashsampling/core'],
  '@flashsampling/webgpu': ['@flashsampling/core'],
  '@flashsampling/tp': ['@flashsampling/core', '@flashsampling/cuda'],
  '@flashsampling/vllm': ['@flashsampling/core', '@flashsampling/cuda'],
  'flashsampling-bench': ALL_PUBLISHED,
  // The rehearsal's programs are users of the published packages.
  'flashsampling-scripts': ALL_PUBLISHED,
}

/** Packages that run in a browser: their sources import nothing that only Node has. */
const RUNS_IN_BROWSER = ['@flashsampling/core', '@flashsampling/webgpu']

const NODE_MODULES = new Set(builtinModules)

runCheck(import.meta.url, 'dependencies', () => checkDependencies(repositoryRoot))

/**
 * Checks manifests and imports of every package.
 *
 * @param {string} root - Root folder of the repository.
 * @returns {string[]} One line per violation.
 */
export function checkDependencies(root) {
  return listPackages(root).flatMap((workspacePackage) => {
    const imports = importsOf(workspacePackage)
    return [
      ...checkManifest(workspacePackage),
      ...imports.flatMap((entry) => checkImport(root, workspacePackage, entry)),
      ...checkCycles(root, imports),
      ...checkNativeLayers(root, workspacePackage.path),
    ]
  })
}

/** @param {WorkspacePackage} workspacePackage */
function checkManifest({ folder, manifest }) {
  const declared = {
    ...manifest.dependencies,
    ...manifest.devDependencies,
    ...manifest.peerDependencies,
    ...manifest.optionalDependencies,
  }
  return Object.keys(declared)
    .filter((name) => isOurs(name) && !mayImport(manifest.name, name))
    .map((name) => `${folder}/package.json: ${manifest.name} may not depend on ${name}`)
}

/**
 * @param {string} root
 * @param {WorkspacePackage} workspacePackage
 * @param {FileImport} entry
 */
function checkImport(root, { path, manifest }, { file, line, specifier, typeOnly, dynamic }) {
  const where = `${relative(root, file)}:${line}`
  if (specifier.startsWith('.')) {
    const leaves = relative(path, resolve(dirname(file), specifier)).startsWith('..')
    return leaves && isSource(path, file) && !isTest(file)
      ? [`${where}: "${specifier}" leaves the package; import the other package by its name`]
      : []
  }
  const name = packageName(specifier)
  if (isOurs(name) && name !== manifest.name && !mayImport(manifest.name, name)) {
    return [`${where}: ${manifest.name} may not import ${name}`]
  }
  const nodeOnly = specifier.startsWith('node:') || NODE_MODULES.has(specifier)
  const evaluated = !typeOnly && !dynamic
  if (nodeOnly && evaluated && RUNS_IN_BROWSER.includes(manifest.name)) {
    return isSource(path, file) && !isTest(file)
      ? [
          `${where}: ${manifest.name} runs in browsers and may import "${specifier}" only dynamically`,
        ]
      : []
  }
  return []
}

/**
 * Finds every group of files that import each other in a circle; type imports count as well.
 *
 * @param {string} root
 * @param {FileImport[]} imports
 */
function checkCycles(root, imports) {
  /** @type {Map<string, string[]>} */
  const graph = new Map()
  for (const { file, specifier, dynamic } of imports) {
    if (!specifier.startsWith('.') || dynamic) continue
    graph.set(file, [...(graph.get(file) ?? []), resolve(dirname(file), specifier)])
  }
  /** @type {string[]} */
  const problems = []
  /** @type {Map<string, 'open' | 'closed'>} */
  const state = new Map()
  /**
   * @param {string} file
   * @param {string[]} trail
   */
  const visit = (file, trail) => {
    if (state.get(file) === 'closed') return
    if (state.get(file) === 'open') {
      const circle = [...trail.slice(trail.indexOf(file)), file]
      problems.push(`circular import: ${circle.map((f) => relative(root, f)).join(' -> ')}`)
      return
    }
    state.set(file, 'open')
    for (const target of graph.get(file) ?? []) visit(target, [...trail, file])
    state.set(file, 'closed')
  }
  for (const file of graph.keys()) visit(file, [])
  return problems
}

/**
 * @param {WorkspacePackage} workspacePackage
 * @returns {FileImport[]}
 */
function importsOf({ path }) {
  return listFiles(path)
    .filter((file) => /\.[cm]?[jt]sx?$/.test(file) && !file.endsWith('.generated.ts'))
    .flatMap((file) =>
      listImports(file, readFileSync(file, 'utf8')).map((entry) => ({ ...entry, file })),
    )
}

/**
 * @param {string} packagePath
 * @param {string} file
 */
function isSource(packagePath, file) {
  return file.startsWith(join(packagePath, 'src/'))
}

/** @param {string} file */
function isTest(file) {
  return /\.test(-d)?\.[jt]s$/.test(file)
}

/** @param {string} name */
function isOurs(name) {
  return Object.hasOwn(MAY_IMPORT, name) || name.startsWith('@flashsampling/')
}

/**
 * @param {string} importer
 * @param {string} imported
 */
function mayImport(importer, imported) {
  return MAY_IMPORT[importer]?.includes(imported) ?? false
}

/** @param {string} specifier */
function packageName(specifier) {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}
