/**
 * The addon over `host/flashsampling_host.cc`, the C ABI on host memory: what tests of the addon and of TypeScript need on
 * machines without a GPU.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findCompiler } from './host-program.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const require = createRequire(import.meta.url)

/** The addon that travels in the package; exists where the native build has run. */
const prebuiltAddon = join(
  root,
  'prebuilds',
  `${process.platform}-${process.arch}`,
  'flashsampling.node',
)

const compiler = findCompiler()

/** Why the library cannot be built here, or undefined. */
export const obstacle: string | undefined =
  process.platform !== 'linux'
    ? 'the addon is for Linux'
    : compiler === undefined
      ? 'there is no C++ compiler'
      : undefined

/**
 * Builds the library and the addon into `build/host`, once for each state of their sources. The addon is the prebuilt
 * binary where there is one: it finds the library that lies beside it.
 *
 * @returns Path of the addon, for `FLASHSAMPLING_NATIVE_PATH`.
 * @throws Error where there is an {@link obstacle}, and with the compiler's messages.
 */
export function buildHostLibrary(): string {
  if (obstacle !== undefined || compiler === undefined) throw new Error(obstacle)
  const folder = join(root, 'build/host', digestOfSources())
  if (!existsSync(folder)) {
    mkdirSync(dirname(folder), { recursive: true })
    const partial = mkdtempSync(`${folder}.partial-`)
    compileLibrary(compiler, partial)
    if (existsSync(prebuiltAddon)) copyFileSync(prebuiltAddon, join(partial, 'flashsampling.node'))
    else compileAddon(compiler, partial)
    try {
      renameSync(partial, folder)
    } catch (error) {
      // Another process was faster.
      rmSync(partial, { recursive: true, force: true })
      if (!existsSync(folder)) throw error
    }
  }
  return join(folder, 'flashsampling.node')
}

function compileLibrary(compiler: string, folder: string): void {
  execFileSync(compiler, [
    ...['-shared', '-fPIC', '-std=c++17', '-O2', '-ffp-contract=off'],
    ...['-Wall', '-Wextra', '-Werror', '-Wno-unknown-pragmas', '-I', join(root, 'include')],
    ...['-DFS_VERSION="0.0.0-host"', join(root, 'csrc/abi/library.cc')],
    ...[join(root, 'test/host/flashsampling_host.cc'), '-Wl,-soname,libflashsampling.so'],
    ...['-o', join(folder, 'libflashsampling.so')],
  ])
}

function compileAddon(compiler: string, folder: string): void {
  const headers = [
    dirname(require.resolve('node-addon-api/package.json')),
    join(dirname(require.resolve('node-api-headers/package.json')), 'include'),
  ]
  execFileSync(compiler, [
    ...['-shared', '-fPIC', '-std=c++17', '-O1', '-fvisibility=hidden', '-DNAPI_VERSION=8'],
    ...['-Wall', '-Wextra', '-Werror', '-I', join(root, 'include')],
    ...headers.flatMap((header) => ['-isystem', header]),
    ...sourcesIn('csrc/addon').filter((file) => file.endsWith('.cc')),
    ...[`-L${folder}`, '-lflashsampling', '-Wl,-rpath,$ORIGIN'],
    ...['-o', join(folder, 'flashsampling.node')],
  ])
}

function digestOfSources(): string {
  const hash = createHash('sha256')
  const files = [
    ...['csrc/abi', 'csrc/addon', 'csrc/kernels/common', 'include', 'test/host'].flatMap(sourcesIn),
    ...(existsSync(prebuiltAddon) ? [prebuiltAddon] : []),
  ]
  for (const file of files) hash.update(readFileSync(file))
  return hash.digest('hex').slice(0, 16)
}

function sourcesIn(folder: string): string[] {
  return readdirSync(join(root, folder))
    .filter((name) => /\.(cc|h)$/.test(name))
    .sort()
    .map((name) => join(root, folder, name))
}
