import { execFileSync, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildHostLibrary, obstacle } from './host-library.ts'
import { findCompiler } from './host-program.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const built = join(root, 'dist/index.js')
const addon = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'flashsampling.node')
const compiler = findCompiler()

/** What a child process found out; it must live to tell. */
interface Report {
  available: boolean
  reason: string
  devices: number
  error: { name: string; code: string; message: string; attempts: unknown[]; hints: string[] }
  cpuTokenId: number
}

const PROGRAM = `
const { checkAvailability, createCudaBackend, isAvailable } = await import(process.env.TESTED_PACKAGE)
const { createSampler } = await import(process.env.TESTED_CORE)
const { reason, devices } = checkAvailability()
let error = null
try {
  createCudaBackend()
} catch ({ name, code, message, attempts, hints }) {
  error = { name, code, message, attempts, hints }
}
const sampler = await createSampler({
  lmHead: { dtype: 'f32', vocabSize: 2, hiddenSize: 1, data: Float32Array.of(90, 0) },
})
const { tokenIds } = await sampler.sample({ hiddenStates: Float32Array.of(1), params: { seed: 1n } })
await sampler.dispose()
const cpuTokenId = tokenIds[0]
console.log(JSON.stringify({ available: isAvailable(), reason, devices: devices.length, error, cpuTokenId }))
`

function run(program: string, env: Record<string, string>, entry: string = built): string {
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    env: {
      ...process.env,
      TESTED_PACKAGE: pathToFileURL(entry).href,
      TESTED_CORE: pathToFileURL(join(root, '../core/dist/index.js')).href,
      ...env,
    },
    encoding: 'utf8',
  })
  expect(child.stderr).toBe('')
  expect([child.status, child.signal]).toEqual([0, null])
  return child.stdout
}

function report(env: Record<string, string>, entry?: string): Report {
  return JSON.parse(run(PROGRAM, env, entry))
}

function expectUnavailable(found: Report, reason: RegExp): void {
  expect(found.available).toBe(false)
  expect(found.reason).toMatch(reason)
  expect(found.devices).toBe(0)
  expect([found.error.name, found.error.code]).toEqual([
    'BackendUnavailableError',
    'BACKEND_UNAVAILABLE',
  ])
  expect(found.error.message).toMatch(reason)
  expect(found.error.attempts).toHaveLength(1)
  expect(found.error.hints.join('\n')).toContain('CPU backend')
  expect(found.cpuTokenId).toBe(0)
}

describe.skipIf(!existsSync(built))(
  `a machine without CUDA${existsSync(built) ? '' : ' (skipped: run npm run build first)'}`,
  () => {
    let folder = ''
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), 'flashsampling-unavailable-'))
    })
    afterAll(() => rmSync(folder, { recursive: true, force: true }))

    it('says why there is no GPU, and goes on', ({ skip }) => {
      skip(!existsSync(addon), 'the native code was not compiled')
      const found = report({ CUDA_VISIBLE_DEVICES: '', FLASHSAMPLING_NATIVE_PATH: '' })
      expectUnavailable(found, /no NVIDIA driver|shows no GPU/)
      expect(found.error.hints.join('\n')).toContain('install an NVIDIA driver')
    })

    it('says that there is no binary for the platform', () => {
      const empty = join(folder, 'package')
      cpSync(join(root, 'dist'), join(empty, 'dist'), { recursive: true })
      cpSync(join(root, 'package.json'), join(empty, 'package.json'))
      mkdirSync(join(empty, 'node_modules/@flashsampling'), { recursive: true })
      symlinkSync(join(root, '../core'), join(empty, 'node_modules/@flashsampling/core'))
      symlinkSync(
        join(root, 'node_modules/node-gyp-build'),
        join(empty, 'node_modules/node-gyp-build'),
      )
      const found = report({ FLASHSAMPLING_NATIVE_PATH: '' }, join(empty, 'dist/index.js'))
      expectUnavailable(found, new RegExp(`no binary for ${process.platform}-${process.arch}`))
      expect(found.error.message).toContain(join(empty, 'prebuilds'))
    })

    it('says that the file it was pointed to does not exist', () => {
      const path = join(folder, 'missing.node')
      expectUnavailable(report({ FLASHSAMPLING_NATIVE_PATH: path }), /missing\.node/)
    })

    it('says that the file it was pointed to is no addon', () => {
      const path = join(folder, 'text.node')
      writeFileSync(path, 'not a shared object\n')
      expectUnavailable(report({ FLASHSAMPLING_NATIVE_PATH: path }), /text\.node/)
    })

    it('says that the addon lies without its library', ({ skip }) => {
      skip(!existsSync(addon), 'the native code was not compiled')
      const path = join(folder, 'alone.node')
      copyFileSync(addon, path)
      const found = report({ FLASHSAMPLING_NATIVE_PATH: path })
      expectUnavailable(found, /libflashsampling\.so/)
    })

    it('outlives an addon that kills the process which loads it', ({ skip }) => {
      skip(compiler === undefined, 'there is no C++ compiler')
      const source = join(folder, 'killer.cc')
      const path = join(folder, 'killer.node')
      writeFileSync(
        source,
        '#include <cstdlib>\n__attribute__((constructor)) void load() { abort(); }\n',
      )
      execFileSync(compiler as string, ['-shared', '-fPIC', source, '-o', path])
      const found = report({ FLASHSAMPLING_NATIVE_PATH: path })
      expectUnavailable(found, /ended a child process with SIGABRT/)
    })

    it('checks options before it looks for a GPU', () => {
      const output = run(
        `const { createCudaBackend } = await import(process.env.TESTED_PACKAGE)
        for (const options of [{ deviceIndex: -1 }, { deviceIndex: 'a' }, { kernel: 'best' }, null]) {
          try {
            createCudaBackend(options)
          } catch (error) {
            console.log(error.name + ': ' + error.message)
          }
        }`,
        { FLASHSAMPLING_NATIVE_PATH: join(folder, 'missing.node') },
      )
      expect(output.trim().split('\n')).toEqual([
        'RangeError: Cannot create the CUDA backend as "deviceIndex" must be a whole number >= 0: current value is -1',
        'TypeError: Cannot create the CUDA backend as "deviceIndex" must be a number: current value is "a" (string)',
        'RangeError: Cannot create the CUDA backend as "kernel" must be "auto", "sm90a" or "smxx": current value is "best"',
        'TypeError: Cannot create the CUDA backend as "options" must be an object: current value is null',
      ])
    })

    it('lives through wrong calls of every kind', ({ skip }) => {
      skip(obstacle !== undefined, obstacle)
      // The whole list runs in host.test.ts; here the built package meets some of it in a process of its own.
      const output = run(
        `const { createCudaBackend } = await import(process.env.TESTED_PACKAGE)
        const { createSampler } = await import(process.env.TESTED_CORE)
        const backend = createCudaBackend()
        const lmHead = { dtype: 'bf16', vocabSize: 2, hiddenSize: 8, data: new Uint16Array(16) }
        const sampler = await createSampler({ lmHead, backend })
        const disposed = await createSampler({ lmHead, backend })
        await disposed.dispose()
        const hiddenStates = new Float32Array(8)
        const buffer = backend.allocate(32)
        buffer.dispose()
        for (const call of [
          () => createSampler({ lmHead: { ...lmHead, dtype: 'f32', data: new Float32Array(16) }, backend }),
          () => createSampler({ lmHead: { ...lmHead, data: new Uint16Array(15) }, backend }),
          () => createSampler({ lmHead: { ...lmHead, data: buffer }, backend }),
          () => createSampler({ lmHead: { ...lmHead, data: null }, backend }),
          () => sampler.sample({ hiddenStates, params: { seed: 1n, temperature: -1 } }),
          () => sampler.sample({ hiddenStates: hiddenStates.subarray(1), params: { seed: 1n } }),
          () => sampler.sample({ hiddenStates: hiddenStates.map(() => NaN), params: { seed: 1n } }),
          () => sampler.sample({ hiddenStates, params: { seed: 1n, allowedTokens: [] } }),
          () => sampler.sample({ hiddenStates, params: { seed: 1n, topK: 1 } }),
          () => disposed.sample({ hiddenStates, params: { seed: 1n } }),
          () => backend.allocate(2 ** 40),
          () => backend.allocate(-1),
          () => buffer.write(new Uint8Array(32)),
        ]) {
          try {
            await call()
            console.log('no error')
          } catch (error) {
            console.log(error.name)
          }
        }
        const { tokenIds } = await sampler.sample({ hiddenStates, params: { seed: 1n, temperature: 0 } })
        console.log(tokenIds[0])`,
        { FLASHSAMPLING_NATIVE_PATH: buildHostLibrary() },
      )
      expect(output.trim().split('\n')).toEqual([
        'UnsupportedFeatureError',
        'RangeError',
        'DisposedError',
        'TypeError',
        'RangeError',
        'RangeError',
        'RowError',
        'RowError',
        'UnsupportedFeatureError',
        'DisposedError',
        'OutOfMemoryError',
        'RangeError',
        'DisposedError',
        '0',
      ])
    })
  },
)
