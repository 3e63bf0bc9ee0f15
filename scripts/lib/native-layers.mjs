/** Holds the direction of includes inside native code: `kernels` <- `launch` <- `abi` <- `addon`. */
import { readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { listFiles } from './workspace.mjs'

/** Folders of `csrc`, lowest first: a file includes its own layer and those before it. */
const LAYERS = ['kernels', 'launch', 'abi', 'addon']

/** Headers from outside `csrc` that only some layers know. */
const RESERVED = [
  // Kernels and launchers take plain values and raw pointers; the C structs end in the ABI.
  { header: /(^|\/)flashsampling\.h$/, layers: ['abi', 'addon'] },
  { header: /^(napi|node_api|js_native_api)\.h$/, layers: ['addon'] },
  { header: /^(torch|ATen|c10)\//, layers: [] },
]

/**
 * Checks the includes of one package's native sources.
 *
 * @param {string} root - Root folder of the repository.
 * @param {string} packagePath - Folder of the package.
 * @returns {string[]} One line per violation.
 */
export function checkNativeLayers(root, packagePath) {
  const sources = join(packagePath, 'csrc')
  return listFiles(sources)
    .filter((file) => /\.(c|cc|cu|cuh|h)$/.test(file))
    .flatMap((file) =>
      listIncludes(file).flatMap(({ header, line }) => {
        const problem = explain(sources, file, header)
        return problem === undefined ? [] : [`${relative(root, file)}:${line}: ${problem}`]
      }),
    )
}

/**
 * @param {string} sources - Folder `csrc`.
 * @param {string} file
 * @param {string} header - As written.
 * @returns {string | undefined} What is wrong with the include.
 */
function explain(sources, file, header) {
  const own = layerOf(sources, file)
  if (own === undefined) return undefined
  const reserved = RESERVED.find((entry) => entry.header.test(header))
  if (reserved !== undefined) {
    return reserved.layers.includes(own) ? undefined : `${own} may not include "${header}"`
  }
  const target = layerOf(sources, resolve(dirname(file), header))
  if (target === undefined || target === own) return undefined
  if (own === 'addon') return `addon may include flashsampling.h only, not "${header}" of ${target}`
  return LAYERS.indexOf(target) < LAYERS.indexOf(own)
    ? undefined
    : `${own} may not include "${header}" of ${target}`
}

/**
 * @param {string} sources
 * @param {string} file
 * @returns {string | undefined} Folder of `csrc` that the file lies in.
 */
function layerOf(sources, file) {
  const [layer = ''] = relative(sources, file).split('/')
  return LAYERS.includes(layer) ? layer : undefined
}

/**
 * @param {string} file
 * @returns {{ header: string, line: number }[]} Includes in both forms.
 */
function listIncludes(file) {
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((text, i) => {
      const header = /^\s*#\s*include\s*["<]([^">]+)[">]/.exec(text)?.[1]
      return header === undefined ? [] : [{ header, line: i + 1 }]
    })
}
