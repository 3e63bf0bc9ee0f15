/**
 * Finds an nvcc, or fetches one: the compiler and headers that NVIDIA publishes as Python wheels, unpacked into the
 * user's cache folder. Nothing is installed into any Python environment.
 */
import { execFile } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Oldest release that compiles the kernels: it knows every TMA and wgmma instruction that they use. */
const OLDEST_VERSION = [12, 4]

/** Wheels that make up a compiler; the versions belong together and are the ones that prebuilt binaries come from. */
const WHEELS = [
  'nvidia-cuda-nvcc==13.0.88',
  'nvidia-cuda-crt==13.0.88',
  'nvidia-nvvm==13.0.88',
  'nvidia-cuda-runtime==13.0.96',
  'nvidia-cuda-cccl==13.0.85',
]
const WHEELS_FOLDER = 'cuda-toolchain-13.0.88'

/**
 * Everything that a compilation needs of a CUDA toolkit.
 *
 * @typedef {object} Toolchain
 * @property {string} nvcc - Absolute path.
 * @property {string} version - For example `13.0.88`.
 * @property {string} include - Folder of `cuda_runtime.h`.
 * @property {string} library - Folder of `libcudart_static.a`.
 * @property {string} bin - Folder of `nvcc`; `cuobjdump` may lie beside it.
 * @property {string} source - Where it was found.
 */

/** No compiler can be had on this machine; the message says what was tried. */
export class ToolchainMissingError extends Error {}

/**
 * Finds a toolkit: `FLASHSAMPLING_NVCC`, `CUDA_HOME`, `CUDA_PATH`, the `PATH`, `/usr/local/cuda`, wheels fetched
 * earlier, and in the end wheels fetched now.
 *
 * @param {(line: string) => void} log - Told before a download.
 * @returns {Promise<Toolchain>}
 * @throws {ToolchainMissingError} when none is found and none can be fetched.
 */
export async function findToolchain(log) {
  const explicit = process.env.FLASHSAMPLING_NVCC
  if (explicit) return inspect(explicit, 'FLASHSAMPLING_NVCC')

  /** @type {string[]} */
  const attempts = []
  for (const [source, nvcc] of installedCompilers()) {
    try {
      return await inspect(nvcc, source)
    } catch (error) {
      attempts.push(messageOf(error))
    }
  }
  try {
    return await inspect(await fetchWheels(log), 'wheels')
  } catch (error) {
    attempts.push(messageOf(error))
  }
  throw new ToolchainMissingError(
    ['Cannot compile the CUDA kernels as there is no CUDA compiler:', ...attempts].join('\n- ') +
      `\nInstall CUDA ${OLDEST_VERSION.join('.')} or later, or Python 3 with pip and a network connection.`,
  )
}

/** @returns {[string, string][]} Where a compiler was found, and its path. */
function installedCompilers() {
  const { CUDA_HOME, CUDA_PATH, PATH = '' } = process.env
  /** @type {[string, string | undefined][]} */
  const folders = [
    ['CUDA_HOME', CUDA_HOME && join(CUDA_HOME, 'bin')],
    ['CUDA_PATH', CUDA_PATH && join(CUDA_PATH, 'bin')],
    .../** @type {[string, string][]} */ (PATH.split(delimiter).map((folder) => ['PATH', folder])),
    ['/usr/local/cuda', '/usr/local/cuda/bin'],
  ]
  return folders.flatMap(([source, folder]) =>
    folder && existsSync(join(folder, 'nvcc')) ? [[source, join(folder, 'nvcc')]] : [],
  )
}

/**
 * Looks at one compiler and the files that belong to it.
 *
 * @param {string} nvcc
 * @param {string} source
 * @returns {Promise<Toolchain>}
 */
async function inspect(nvcc, source) {
  const where = `${source}: ${nvcc}`
  let path = ''
  let version = ''
  try {
    path = realpathSync(nvcc)
    const { stdout } = await run(path, ['--version'])
    version = /\bV(\d+\.\d+\.\d+)/.exec(stdout)?.[1] ?? ''
  } catch (cause) {
    throw new ToolchainMissingError(`${where} cannot be started: ${messageOf(cause)}`)
  }
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [wantedMajor = 0, wantedMinor = 0] = OLDEST_VERSION
  if (major < wantedMajor || (major === wantedMajor && minor < wantedMinor)) {
    throw new ToolchainMissingError(
      `${where} is version ${version}, not ${OLDEST_VERSION.join('.')} or later`,
    )
  }
  const root = dirname(dirname(path))
  const targets = join(root, 'targets')
  const roots = [
    root,
    ...(existsSync(targets) ? readdirSync(targets).map((name) => join(targets, name)) : []),
  ]
  const include = roots
    .map((r) => join(r, 'include'))
    .find((f) => existsSync(join(f, 'cuda_runtime.h')))
  const library = roots
    .flatMap((r) =>
      ['lib64', 'lib', 'lib/x86_64-linux-gnu', 'lib/aarch64-linux-gnu'].map((l) => join(r, l)),
    )
    .find((folder) => existsSync(join(folder, 'libcudart_static.a')))
  if (include === undefined || library === undefined) {
    const missing = include === undefined ? 'cuda_runtime.h' : 'libcudart_static.a'
    throw new ToolchainMissingError(`${where} comes without ${missing}`)
  }
  return { nvcc: path, version, include, library, bin: dirname(path), source }
}

/**
 * Unpacks the wheels, once for all checkouts of a user.
 *
 * @param {(line: string) => void} log
 * @returns {Promise<string>} Path of the compiler.
 */
async function fetchWheels(log) {
  const folder = join(cacheFolder(), WHEELS_FOLDER)
  const nvcc = join(folder, 'nvidia/cu13/bin/nvcc')
  if (existsSync(nvcc)) return nvcc
  log(`fetching the CUDA compiler (${WHEELS.join(', ')})`)
  mkdirSync(dirname(folder), { recursive: true })
  // Unpacked beside its place and renamed: a download that is cut off leaves nothing that looks complete.
  const partial = mkdtempSync(`${folder}.partial-`)
  try {
    const args = [
      'install',
      '--target',
      partial,
      '--no-deps',
      '--only-binary=:all:',
      '--no-cache-dir',
    ]
    const quiet = ['--disable-pip-version-check', '--no-input', '--progress-bar', 'off', '--quiet']
    const patience = ['--retries', '2', '--timeout', '20']
    await runPip([...args, ...quiet, ...patience, ...WHEELS])
    try {
      renameSync(partial, folder)
    } catch (error) {
      // Another process was faster.
      if (!existsSync(nvcc)) throw error
    }
  } finally {
    rmSync(partial, { recursive: true, force: true })
  }
  return nvcc
}

/** @param {string[]} args */
async function runPip(args) {
  for (const python of ['python3', 'python']) {
    try {
      await run(python, ['-m', 'pip', ...args], { maxBuffer: 2 ** 26 })
      return
    } catch (cause) {
      const { code, stderr = '' } = /** @type {{ code?: unknown, stderr?: string }} */ (cause)
      if (code === 'ENOENT') continue
      const lines = stderr.trim().split('\n')
      const reason = lines.findLast((line) => /error|no module/i.test(line)) ?? lines.at(-1) ?? ''
      throw new ToolchainMissingError(`pip cannot fetch a compiler: ${reason}`)
    }
  }
  throw new ToolchainMissingError('no Python 3 was found that could fetch a compiler')
}

function cacheFolder() {
  const { FLASHSAMPLING_CACHE_DIR, XDG_CACHE_HOME } = process.env
  if (FLASHSAMPLING_CACHE_DIR) return FLASHSAMPLING_CACHE_DIR
  return join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'flashsampling')
}

/** @param {unknown} error */
function messageOf(error) {
  return error instanceof Error ? error.message : String(error)
}
