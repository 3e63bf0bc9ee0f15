/**
 * Compiles `csrc/` into `prebuilds/<platform>-<arch>/`: `libflashsampling.so` (kernels and C ABI) and `flashsampling.node`
 * (the Node addon). Needs g++ and either an installed CUDA toolkit or Python with pip, which then fetches a compiler.
 *
 * Options:
 *   --if-possible   where no compiler can be had, say why and succeed; a failed compilation still fails
 *   --jobs N        compilations at a time; all processors by default
 *   --library-only  leave out the Node addon and the test programs
 *   --debug         device assertions and no optimisation gate; never ship the result
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { CommandFailedError, makeAll } from './native/objects.mjs'
import { findDefects, formatResources, readResources } from './native/ptxas.mjs'
import { findToolchain, ToolchainMissingError } from './native/toolchain.mjs'

/** @typedef {import('./native/objects.mjs').Task} Task */
/** @typedef {import('./native/objects.mjs').Outcome} Outcome */
/** @typedef {import('./native/toolchain.mjs').Toolchain} Toolchain */

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const require = createRequire(import.meta.url)
const { values: options } = parseArgs({
  options: {
    'if-possible': { type: 'boolean', default: false },
    debug: { type: 'boolean', default: false },
    'library-only': { type: 'boolean', default: false },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
})

const prebuilds = `prebuilds/${process.platform}-${process.arch}`
const library = `${prebuilds}/libflashsampling.so`
const addon = `${prebuilds}/flashsampling.node`
const work = options.debug ? 'build/native-debug' : 'build/native'
const statusFile = 'build/native/status.json'
const compiler = process.env.CXX || 'g++'
const started = performance.now()

try {
  const problems = await build()
  for (const problem of problems) console.error(problem)
  writeStatus(
    problems.length === 0 ? { built: true } : { built: false, failure: problems.join('\n') },
  )
  process.exitCode = problems.length === 0 ? 0 : 1
} catch (error) {
  const known = error instanceof ToolchainMissingError || error instanceof CommandFailedError
  if (!known) throw error
  const forgiven = error instanceof ToolchainMissingError && options['if-possible']
  removeOutputs()
  writeStatus({ built: false, [forgiven ? 'reason' : 'failure']: error.message })
  console.error(forgiven ? `native build skipped: ${error.message}` : error.message)
  process.exitCode = forgiven ? 0 : 1
}

/** @returns {Promise<string[]>} What a release must not contain. */
async function build() {
  if (process.platform !== 'linux') {
    throw new ToolchainMissingError(
      `Cannot compile the CUDA kernels as the system must be Linux: current system is ${process.platform}`,
    )
  }
  const host = hostCompilerVersion()
  const toolchain = await findToolchain(console.log)
  console.log(`nvcc ${toolchain.version} (${toolchain.source}), ${host}`)

  const launchers = list('csrc/launch', /\.cu$/)
  const abi = list('csrc/abi', /\.cc$/)
  const bindings = options['library-only'] ? [] : list('csrc/addon', /\.cc$/)
  const kernelTasks = launchers.map((source) => kernelTask(source, toolchain, host))
  const abiTasks = abi.map((source) => abiTask(source, toolchain, host))
  const addonTasks = bindings.map((source) => addonTask(source, host))
  const kernels = await make([...kernelTasks, ...abiTasks, ...addonTasks])

  await make([libraryTask([...kernelTasks, ...abiTasks], toolchain, host)])
  if (bindings.length > 0) await make([addonLinkTask(addonTasks, host)])
  if (!options['library-only']) await make(testTasks(abiTasks, toolchain, host))

  return inspectKernels(kernels.filter(({ task }) => kernelTasks.includes(task)))
}

/**
 * Holds the kernels against what a release demands and writes the report.
 *
 * @param {Outcome[]} outcomes
 */
function inspectKernels(outcomes) {
  const resources = outcomes.flatMap(({ task, output }) =>
    readResources(output, task.inputs[0] ?? ''),
  )
  const names = demangle(resources.map(({ kernel }) => kernel))
  const named = resources.map((entry, i) => ({ ...entry, kernel: names[i] ?? entry.kernel }))
  writeJson(`${work}/ptxas-report.json`, named)
  if (outcomes.some(({ ran }) => ran)) console.log(formatResources(named))
  const defects = outcomes.flatMap(({ task, output }) =>
    findDefects(
      output,
      named.filter(({ source }) => source === task.inputs[0]),
    ),
  )
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`native build: ${named.length} kernels in ${seconds} s`)
  return options.debug ? [] : defects
}

// --- Tasks ---

/**
 * Kernels of Hopper use instructions that only `sm_90a` has; all others run from Ampere on, and as PTX on what is yet to
 * come.
 *
 * @param {string} source
 * @param {Toolchain} toolchain
 * @param {string} host
 * @returns {Task}
 */
function kernelTask(source, toolchain, host) {
  const isHopper = /(^|\/)sm90_[^/]*\.cu$/.test(source)
  const targets = isHopper
    ? ['-gencode=arch=compute_90a,code=sm_90a']
    : ['-gencode=arch=compute_80,code=[sm_80,compute_80]', '-gencode=arch=compute_90,code=sm_90']
  const optimise = options.debug ? ['-O1', '-g'] : ['-O3', '-DNDEBUG']
  const forHost = '-fPIC,-fvisibility=hidden,-Wall,-Wno-unused-function,-Wno-unknown-pragmas'
  return {
    output: `${work}/obj/${source}.o`,
    command: toolchain.nvcc,
    args: [
      ...['-c', source, '-std=c++17', '--expt-relaxed-constexpr', ...optimise, '-lineinfo'],
      ...['-Xptxas', '-v,-warn-spills', '-Xcompiler', forHost, '-ccbin', compiler, ...targets],
      ...['-I', 'include'],
    ],
    identity: `${toolchain.version} ${host}`,
    inputs: [source],
    dependenceFlag: '-MMD',
  }
}

/**
 * @param {string} source
 * @param {Toolchain} toolchain
 * @param {string} host
 * @returns {Task}
 */
function abiTask(source, toolchain, host) {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const defines = [...(source.endsWith('/library.cc') ? [`-DFS_VERSION="${version}"`] : [])]
  return {
    output: `${work}/obj/${source}.o`,
    command: compiler,
    args: [...hostFlags(source), ...defines, '-I', 'include', '-isystem', toolchain.include],
    identity: `${toolchain.version} ${host}`,
    inputs: [source],
    dependenceFlag: '-MMD',
  }
}

/**
 * @param {string} source
 * @param {string} host
 * @returns {Task}
 */
function addonTask(source, host) {
  const headers = ['node-addon-api', 'node-api-headers'].map(addonHeaders)
  return {
    output: `${work}/obj/${source}.o`,
    command: compiler,
    args: [
      ...[
        ...hostFlags(source).filter((flag) => flag !== '-fno-exceptions' && flag !== '-fno-rtti'),
      ],
      ...['-DNAPI_VERSION=8', '-I', 'include'],
      ...headers.flatMap(({ include }) => ['-isystem', include]),
    ],
    identity: [host, ...headers.map(({ version }) => version)].join(' '),
    inputs: [source],
    dependenceFlag: '-MMD',
  }
}

/**
 * @param {Task[]} objects
 * @param {Toolchain} toolchain
 * @param {string} host
 * @returns {Task}
 */
function libraryTask(objects, toolchain, host) {
  const files = objects.map(({ output }) => output)
  return {
    output: library,
    command: compiler,
    args: [
      ...[
        '-shared',
        ...files,
        `-L${toolchain.library}`,
        '-lcudart_static',
        '-ldl',
        '-lrt',
        '-lpthread',
      ],
      // The CUDA runtime is part of the library, and nothing but the C ABI shows.
      '-Wl,--exclude-libs,ALL',
      ...['-Wl,-soname,libflashsampling.so', '-Wl,-z,defs', '-Wl,-z,relro', '-Wl,--gc-sections'],
      ...(options.debug ? [] : ['-Wl,-s']),
    ],
    identity: `${toolchain.version} ${host}`,
    inputs: files,
  }
}

/**
 * @param {Task[]} objects
 * @param {string} host
 * @returns {Task}
 */
function addonLinkTask(objects, host) {
  const files = objects.map(({ output }) => output)
  return {
    output: addon,
    command: compiler,
    args: [...['-shared', ...files, `-L${prebuilds}`, '-lflashsampling', '-Wl,-rpath,$ORIGIN']],
    identity: host,
    inputs: [...files, library],
  }
}

/**
 * Programs that `test/*.test.ts` start. `<name>_test.c` uses the library as a C program would; `<name>_test.cc` is linked with
 * the objects of the ABI that need no CUDA.
 *
 * @param {Task[]} abiTasks
 * @param {Toolchain} toolchain
 * @param {string} host
 * @returns {Task[]}
 */
function testTasks(abiTasks, toolchain, host) {
  const hostObjects = abiTasks
    .map(({ output }) => output)
    .filter((output) => /\/(check_args|debug_log|error|library)\.cc\.o$/.test(output))
  const programs = list('test/abi', /_test\.c$/).map((source) => ({
    source,
    command: process.env.CC || 'gcc',
    args: ['-std=c99', '-Wall', '-Wextra', '-Wpedantic', '-Werror', source],
    link: [`-L${prebuilds}`, '-lflashsampling', `-Wl,-rpath,$ORIGIN/../../../${prebuilds}`],
    inputs: [source, library],
  }))
  const checks = list('test/abi', /_test\.cc$/).map((source) => ({
    source,
    command: compiler,
    args: [
      ...['-std=c++17', '-Wall', '-Wextra', '-Werror', '-Wno-unknown-pragmas', source],
      ...['-isystem', toolchain.include],
    ],
    link: hostObjects,
    inputs: [source, ...hostObjects],
  }))
  return [...programs, ...checks].map(({ source, command, args, link, inputs }) => ({
    output: `${work}/test/${source.replace(/^.*\/|\.cc?$/g, '')}`,
    command,
    args: [...args, '-O1', '-I', 'include', ...link],
    identity: host,
    inputs,
    dependenceFlag: '-MMD',
  }))
}

// --- Parts of tasks ---

/** @param {string} source */
function hostFlags(source) {
  const optimise = options.debug ? ['-O1', '-g'] : ['-O2', '-DNDEBUG']
  return [
    ...[
      '-c',
      source,
      '-std=c++17',
      ...optimise,
      '-fPIC',
      '-fvisibility=hidden',
      '-Wall',
      '-Wextra',
    ],
    // Headers shared with device code unroll loops.
    '-Wno-unknown-pragmas',
    ...['-fno-exceptions', '-fno-rtti', '-ffunction-sections'],
  ]
}

/** @param {string} name - Package that holds headers for addons. */
function addonHeaders(name) {
  try {
    const manifest = require(`${name}/package.json`)
    const folder = dirname(require.resolve(`${name}/package.json`))
    return {
      include: name === 'node-api-headers' ? join(folder, 'include') : folder,
      version: `${name}@${manifest.version}`,
    }
  } catch {
    throw new ToolchainMissingError(
      `Cannot compile the Node addon as the package ${name} must be installed: run npm install ${name}, or build with --library-only`,
    )
  }
}

function hostCompilerVersion() {
  try {
    const banner = execFileSync(compiler, ['--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return banner.split('\n')[0] ?? compiler
  } catch {
    throw new ToolchainMissingError(
      `Cannot compile native code as "${compiler}" cannot be started: install g++ or set CXX`,
    )
  }
}

/** @param {string[]} names */
function demangle(names) {
  try {
    const input = `${names.join('\n')}\n`
    return execFileSync('c++filt', { input, encoding: 'utf8' }).split('\n')
  } catch {
    return names
  }
}

// --- Files ---

/** @param {Task[]} tasks */
function make(tasks) {
  return makeAll(
    root,
    `${work}/records`,
    tasks,
    Math.max(1, Number(options.jobs) || 1),
    (outcome) => {
      if (!outcome.ran) return
      console.log(`${outcome.task.output} (${outcome.seconds.toFixed(1)} s)`)
      const warnings = outcome.output.split('\n').filter((line) => /warning/i.test(line))
      for (const line of warnings) console.warn(line)
    },
  )
}

/**
 * @param {string} folder - Relative to the package.
 * @param {RegExp} pattern
 * @returns {string[]} Files below it, relative to the package, in a fixed order.
 */
function list(folder, pattern) {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => pattern.test(name))
    .map((name) => `${folder}/${name}`)
    .sort()
}

/** What an earlier build left must not be taken for what could not be built. */
function removeOutputs() {
  for (const file of [library, addon, `${work}/ptxas-report.json`])
    rmSync(join(root, file), { force: true })
}

/**
 * Tells the tests whether there is something to test.
 *
 * @param {{ built: boolean, reason?: string, failure?: string }} status - Why there is no usable build: a reason lets
 *   tests be skipped, a failure does not.
 */
function writeStatus(status) {
  writeJson(statusFile, status)
}

/**
 * @param {string} file - Relative to the package.
 * @param {unknown} value
 */
function writeJson(file, value) {
  mkdirSync(join(root, dirname(file)), { recursive: true })
  writeFileSync(join(root, file), `${JSON.stringify(value, null, 2)}\n`)
}
