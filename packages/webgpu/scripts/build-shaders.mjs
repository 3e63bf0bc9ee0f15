/**
 * Composes the shaders: expands `#include "file.wgsl"` (each file once), strips comments and spare white space, and
 * writes `src/shaders.generated.ts` with one string constant a kernel.
 *
 * Kernels are the files of `src/shaders`; files of `src/shaders/include` are only included.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = join(root, 'src/shaders')
const output = join(root, 'src/shaders.generated.ts')

const kernels = readdirSync(folder)
  .filter((name) => name.endsWith('.wgsl'))
  .sort()
const constants = kernels.map((name) => {
  const source = minify(expand(join(folder, name), new Set()))
  const constant = basename(name, '.wgsl').toUpperCase()
  return `/** \`src/shaders/${name}\` with its includes. */\nexport const ${constant}: string = ${JSON.stringify(source)}\n`
})
writeFileSync(
  output,
  `// Made by scripts/build-shaders.mjs; not committed.\n\n${constants.join('\n')}`,
)

/**
 * @param {string} file
 * @param {Set<string>} seen - Files that are in already.
 * @returns {string} The file with its includes.
 */
function expand(file, seen) {
  if (seen.has(file)) return ''
  seen.add(file)
  return readFileSync(file, 'utf8').replace(/^#include "(.+)"$/gm, (_, name) => {
    const target = join(dirname(file), name)
    if (!target.startsWith(folder)) {
      throw new Error(
        `Cannot include ${name} as it lies outside src/shaders: ${relative(root, file)}`,
      )
    }
    return expand(target, seen)
  })
}

/**
 * Strips comments, indentation and empty lines; names stay as they are, so that messages of compilers can be read.
 *
 * @param {string} source
 */
function minify(source) {
  return source
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/\/\/.*$/gm, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join('\n')
}
