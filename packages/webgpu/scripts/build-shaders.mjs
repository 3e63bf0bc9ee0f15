/**
 * Makes `src/shaders.generated.ts` of the WGSL files: one string constant a file, without comments and spare white
 * space, and one list of strings for each kernel: the files that it includes, each once, and itself.
 *
 * Files of `src/shaders` are kernels; those of its folders are parts that kernels include or that a pipeline chooses.
 * Lines stay lines and names stay names, so that messages of compilers can be read.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = join(root, 'src/shaders')
const output = join(root, 'src/shaders.generated.ts')

const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .map((name) => name.replaceAll('\\', '/'))
  .filter((name) => name.endsWith('.wgsl'))
  .sort()
const parts = files.map((name) => {
  const text = readFileSync(join(folder, name), 'utf8').replace(includePattern(), '')
  return `const ${constantOf(name)}_TEXT: string = ${JSON.stringify(strip(text))}\n`
})
const lists = files
  .filter((name) => !name.startsWith('include/'))
  .map((name) => {
    const texts = withIncludes(join(folder, name), new Set()).map((file) => {
      return `${constantOf(relative(folder, file).replaceAll('\\', '/'))}_TEXT`
    })
    return `/** \`src/shaders/${name}\` behind its includes. */\nexport const ${constantOf(name)}: readonly string[] = [${texts.join(', ')}]\n`
  })
writeFileSync(
  output,
  `// Made by scripts/build-shaders.mjs; not committed.\n\n${[...parts, ...lists].join('\n')}`,
)

/** @param {string} name */
function constantOf(name) {
  return name
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

/**
 * Strips comments, indentation, empty lines and spaces beside punctuation; a sign keeps its distance from another.
 *
 * @param {string} source
 */
function strip(source) {
  return source
    .replace(/\/\/.*$/gm, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) =>
      line.replace(/ ?([{}()[\];,:=*/<>&|^%!?]) ?/g, '$1').replace(/ ?([+-]) ?(?![+-])/g, '$1'),
    )
    .join('\n')
}
