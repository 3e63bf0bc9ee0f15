/**
 * Makes modules of the WGSL files: one string constant a file, shortened, and one list of strings for each kernel: the
 * files that it includes, each once, and itself.
 *
 * Files of `src/shaders` and `src/shaders/ranking` are kernels; those of other folders are parts that kernels include or
 * that a pipeline chooses. What lies in `src/shaders/ranking` and `src/shaders/quantised` goes into
 * `src/ranking/shaders.generated.ts` and `src/quantised/shaders.generated.ts`, which are loaded where they are wanted,
 * all else into `src/shaders.generated.ts`. `src/shader-names.generated.ts` has the names that were shortened.
 */
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chooseNames, renameWgsl, stripWgsl } from './minify-wgsl.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = join(root, 'src/shaders')
const BANNER = '// Made by scripts/build-shaders.mjs; not committed.\n\n'
const LATER = ['ranking/', 'quantised/']

const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .map((name) => name.replaceAll('\\', '/'))
  .filter((name) => name.endsWith('.wgsl'))
  .sort()
const stripped = files.map((name) =>
  stripWgsl(readFileSync(join(folder, name), 'utf8').replace(includePattern(), '')),
)
const names = chooseNames(stripped)
const texts = new Map(
  files.map((name, i) => [name, renameWgsl(/** @type {string} */ (stripped[i]), names)]),
)

writeModule('shaders.generated.ts', '', (name) => !LATER.some((part) => name.startsWith(part)))
for (const part of LATER) {
  writeModule(`${part}shaders.generated.ts`, '../shaders.generated.ts', (name) =>
    name.startsWith(part),
  )
}
writeChanged(
  'shader-names.generated.ts',
  `${BANNER}/** Names in the shaders that a device gets, and what the sources call them. */\n` +
    `export const SHADER_NAMES: Readonly<Record<string, string>> = ${JSON.stringify(
      Object.fromEntries([...names].map(([name, short]) => [short, name])),
    )}\n`,
)

/**
 * @param {string} output - File below `src`.
 * @param {string} shared - Module that has the texts of other files; empty where there are none.
 * @param {(name: string) => boolean} isOwn - Which files go into it.
 */
function writeModule(output, shared, isOwn) {
  /** @type {Set<string>} */
  const imported = new Set()
  const lists = files
    .filter((name) => isOwn(name) && !/(^|\/)include\//.test(name))
    .map((name) => {
      const parts = withIncludes(join(folder, name), new Set()).map((file) =>
        relative(folder, file).replaceAll('\\', '/'),
      )
      for (const part of parts) if (!isOwn(part)) imported.add(`${constantOf(part)}_TEXT`)
      const list = parts.map((part) => `${constantOf(part)}_TEXT`).join(', ')
      return `/** \`src/shaders/${name}\` behind its includes. */\nexport const ${constantOf(name)}: readonly string[] = [${list}]\n`
    })
  const declarations = files.filter(isOwn).map((name) => {
    const isShared = name.startsWith('include/')
    return `${isShared ? 'export ' : ''}const ${constantOf(name)}_TEXT: string = ${JSON.stringify(texts.get(name))}\n`
  })
  const imports =
    imported.size === 0 ? [] : [`import { ${[...imported].join(', ')} } from '${shared}'\n`]
  writeChanged(output, `${BANNER}${[...imports, ...declarations, ...lists].join('\n')}`)
}

/**
 * Replaces a file where its text has changed, in one step: tests run this program while others read what it writes.
 *
 * @param {string} output - File below `src`.
 * @param {string} text
 */
function writeChanged(output, text) {
  const file = join(root, 'src', output)
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return
  const partial = `${file}.${process.pid}`
  writeFileSync(partial, text)
  renameSync(partial, file)
}

/** @param {string} name */
function constantOf(name) {
  return LATER.reduce((rest, part) => rest.replace(part, ''), name)
    .replace(/\.wgsl$/, '')
    .replaceAll('/', '_')
    .toUpperCase()
}

/** A new expression each time, as it keeps its place. */
function includePattern() {
  return /^#include "(.+)"$/gm
}

/**
 * @param {string} file
 * @param {Set<string>} seen - Files that are in already.
 * @returns {string[]} The file behind its includes.
 */
function withIncludes(file, seen) {
  if (seen.has(file)) return []
  seen.add(file)
  const includes = [...readFileSync(file, 'utf8').matchAll(includePattern())].flatMap(
    ([, name = '']) => {
      const target = join(dirname(file), name)
      if (!target.startsWith(folder)) {
        throw new Error(
          `Cannot include ${name} as it lies outside src/shaders: ${relative(root, file)}`,
        )
      }
      return withIncludes(target, seen)
    },
  )
  return [...includes, file]
}
