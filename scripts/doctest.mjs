/**
 * Runs the examples of the documentation against the built packages: every `ts` block of the published packages'
 * comments and of the READMEs is type-checked and executed, and each `// =>` is compared with the value before it.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import ts from 'typescript'
import { findCodeBlocks } from './lib/code-blocks.mjs'
import { compileExample, importUsedNames } from './lib/compile-example.mjs'
import { listEntries, openProgram } from './lib/compiler.mjs'
import { runCheck } from './lib/run-check.mjs'
import { listFiles, listPublishedPackages, repositoryRoot } from './lib/workspace.mjs'

/** @typedef {import('./lib/workspace.mjs').WorkspacePackage} WorkspacePackage */
/** @typedef {import('./lib/code-blocks.mjs').CodeBlock} CodeBlock */

/** An example takes a second; one that takes this long hangs. Milliseconds. */
const HANG_MS = 300_000

runCheck(import.meta.url, 'examples', () => {
  const { problems, count } = runExamples(repositoryRoot)
  console.log(`examples: ${count} run`)
  return problems
})

/**
 * Runs the examples of every published package, and those of the root README against the package they import.
 *
 * @param {string} root - Root folder of the repository.
 * @returns {{ problems: string[], count: number }} One line per example that fails.
 */
export function runExamples(root) {
  const packages = listPublishedPackages(root)
  const readme = existsSync(join(root, 'README.md')) ? blocksOf(join(root, 'README.md')) : []
  let count = 0
  const problems = packages.flatMap((workspacePackage) => {
    const { name } = workspacePackage.manifest
    const blocks = [
      ...listFiles(join(workspacePackage.path, 'src')).filter(isDocumented).flatMap(blocksOf),
      ...listFiles(workspacePackage.path)
        .filter((file) => file.endsWith('.md'))
        .flatMap(blocksOf),
      ...readme.filter(({ code }) => code.includes(`'${name}'`)),
    ]
    count += blocks.length
    return runBlocks(root, workspacePackage, blocks)
  })
  return { problems, count }
}

/**
 * Writes the examples below the package, where its own name resolves to its build, and runs them.
 *
 * @param {string} root
 * @param {WorkspacePackage} workspacePackage
 * @param {CodeBlock[]} blocks
 */
function runBlocks(root, workspacePackage, blocks) {
  const folder = join(workspacePackage.path, 'build/examples')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const exported = exportedNames(workspacePackage)
  const examples = blocks.map((block, index) => {
    const file = join(folder, `example-${index}.ts`)
    const source = importUsedNames(block.code, workspacePackage.manifest.name, exported)
    writeFileSync(file, source)
    return { block, file, source }
  })
  const wrongTypes = typeErrors(examples.map(({ file }) => file))
  return examples.flatMap(({ block, file, source }) => {
    const messages = wrongTypes.get(file) ?? execute(file.replace(/ts$/, 'mjs'), source)
    return messages.map((message) => `${relative(root, block.file)}:${block.line}: ${message}`)
  })
}

/**
 * @param {string} script - File to write.
 * @param {string} source - The example.
 * @returns {string[]} What went wrong.
 */
function execute(script, source) {
  writeFileSync(script, compileExample(source))
  const options = /** @type {const} */ ({ encoding: 'utf8', timeout: HANG_MS })
  const { status, stdout, stderr } = spawnSync(process.execPath, [script], options)
  return status === 0 ? [] : [stderr.trim() || stdout.trim() || 'took longer than 60 s']
}

/**
 * Type-checks examples as a user's strict project would.
 *
 * @param {string[]} files
 * @returns {Map<string, string[]>} Messages by file.
 */
function typeErrors(files) {
  const program = ts.createProgram(files, {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts', 'lib.dom.d.ts'],
    types: [],
    strict: true,
    noEmit: true,
  })
  /** @type {Map<string, string[]>} */
  const messages = new Map()
  for (const { file, messageText } of ts.getPreEmitDiagnostics(program)) {
    const name = file?.fileName ?? ''
    const text = ts.flattenDiagnosticMessageText(messageText, ' ')
    messages.set(name, [...(messages.get(name) ?? []), text])
  }
  return messages
}

/**
 * @param {WorkspacePackage} workspacePackage
 * @returns {Set<string>} Names that the package's entries export.
 */
function exportedNames(workspacePackage) {
  const program = openProgram(workspacePackage)
  const checker = program.getTypeChecker()
  const names = listEntries(workspacePackage).flatMap((entry) => {
    const source = program.getSourceFile(entry)
    const module = source && checker.getSymbolAtLocation(source)
    return module === undefined ? [] : checker.getExportsOfModule(module).map(({ name }) => name)
  })
  return new Set(names)
}

/** @param {string} file */
function blocksOf(file) {
  return findCodeBlocks(file, readFileSync(file, 'utf8'))
}

/** @param {string} file */
function isDocumented(file) {
  return /\.ts$/.test(file) && !/\.(test|generated)\.ts$/.test(file)
}
