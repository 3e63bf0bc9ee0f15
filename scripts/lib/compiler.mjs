import { join } from 'node:path'
import ts from 'typescript'

/**
 * Lists the source files that a package exports, by its `@flashsampling/source` conditions.
 *
 * @param {import('./workspace.mjs').WorkspacePackage} workspacePackage
 * @returns {string[]} Absolute paths.
 */
export function listEntries({ path, manifest }) {
  return Object.values(manifest.exports ?? {}).flatMap((target) =>
    typeof target === 'object' && target !== null && '@flashsampling/source' in target
      ? [join(path, String(target['@flashsampling/source']))]
      : [],
  )
}

/**
 * Opens a package's exported sources with the options of its `tsconfig.json`.
 *
 * @param {import('./workspace.mjs').WorkspacePackage} workspacePackage
 * @returns {ts.Program}
 */
export function openProgram(workspacePackage) {
  const file = join(workspacePackage.path, 'tsconfig.json')
  const config = ts.readConfigFile(file, ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, workspacePackage.path)
  return ts.createProgram(listEntries(workspacePackage), { ...options, noEmit: true })
}
