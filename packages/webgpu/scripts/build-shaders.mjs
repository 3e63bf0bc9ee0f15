/**
 * Composes the shaders: expands `#include "file.wgsl"` (each file once), strips comments and spare white space, and
 * writes `src/shaders.generated.ts` with one string constant a file.
 *
 * Files of `src/shaders` are kernels; those of its folders are parts that kernels include or that a pipeline chooses.
 * `include/` holds the former, which get no constant of their own.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = join(root, 'src/shaders')
const output = join(root, 'src/shaders.generated.ts')

const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .map((name) => name.replaceAll('\\', '/'))
  .filter((name) => name.endsWith('.wgsl') && !name.startsWith('include/'))
  .sort()
const constants = files.map((name) => {
  const source = strip(expand(join(folder, name), new Set()))
  const constant = name
    .replace(/\.wgsl$/, '')
    .replace('/', '_')
    .toUpperCase()
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
function strip(source) {
  return source
    .replace(/\/\/.*$/gm, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join('\n')
}
