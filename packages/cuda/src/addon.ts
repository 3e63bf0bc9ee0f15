/**
 * Finds and loads the Node addon, once per process.
 *
 * @module
 */
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { type BackendAttempt, BackendUnavailableError } from '@flashsampling/core'
import type { NativeAddon } from './addon-types.ts'

const require = createRequire(import.meta.url)

/** Holds `prebuilds/`: the parent of `src/` and of `dist/`. */
const packageRoot = fileURLToPath(new URL('..', import.meta.url))

/** How long the trial in a child process may take, milliseconds. */
const PROBE_TIMEOUT_MS = 20_000

/** The addon and where it came from. */
export interface LoadedAddon {
  /** The addon's module. */
  addon: NativeAddon
  /** Its file. */
  path: string
}

let loaded: LoadedAddon | null = null

/**
 * Loads the addon: the file that `FLASHSAMPLING_NATIVE_PATH` names, else the prebuilt binary of this package.
 *
 * A binary is loaded by a child process first (about 50 ms, once), so that one that crashes cannot take the program along.
 *
 * @returns The addon and its file.
 * @throws {BackendUnavailableError} when there is none or it cannot be loaded; `attempts` names file and reason.
 */
export function loadAddon(): LoadedAddon {
  loaded ??= findAndLoad()
  return loaded
}

function findAndLoad(): LoadedAddon {
  const path = process.env.FLASHSAMPLING_NATIVE_PATH || findPrebuilt()
  const crash = probe(path)
  if (crash !== null) throw unavailable(path, crash)
  let addon: NativeAddon
  try {
    addon = createRequire(import.meta.url)(path) as NativeAddon
  } catch (error) {
    throw unavailable(path, error instanceof Error ? error.message : String(error))
  }
  if (addon.abiVersion !== addon.builtForAbiVersion) {
    throw unavailable(
      path,
      `the addon needs ABI version ${addon.builtForAbiVersion} of libflashsampling.so, which has ${addon.abiVersion}`,
    )
  }
  return { addon, path }
}

function findPrebuilt(): string {
  try {
    const nodeGypBuild = require('node-gyp-build') as { resolve(folder: string): string }
    return nodeGypBuild.resolve(packageRoot)
  } catch (error) {
    const { platform, arch } = process
    const reason =
      error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND'
        ? error.message
        : `no binary for ${platform}-${arch}`
    throw unavailable(`${packageRoot}prebuilds/${platform}-${arch}`, reason)
  }
}

/** Why loading a binary kills a process, or null when it does not. What else fails is found by loading it here. */
function probe(path: string): string | null {
  const trial = spawnSync(process.execPath, ['-e', 'require(process.argv[1])', path], {
    env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', NODE_OPTIONS: '' },
    stdio: 'ignore',
    timeout: PROBE_TIMEOUT_MS,
  })
  if (trial.error !== undefined && 'code' in trial.error && trial.error.code === 'ETIMEDOUT') {
    return `loading it in a child process took longer than ${PROBE_TIMEOUT_MS} ms`
  }
  return trial.signal === null ? null : `loading it ended a child process with ${trial.signal}`
}

function unavailable(path: string, reason: string): BackendUnavailableError {
  const attempts: BackendAttempt[] = [{ backend: `cuda (${path})`, reason }]
  return new BackendUnavailableError(
    'Cannot load the native library of @flashsampling/cuda',
    attempts,
    [
      'prebuilt binaries exist for linux-x64 with glibc; elsewhere build from source: scripts/build-native.mjs of the package',
      'use the CPU backend: leave "backend" out of createSampler()',
    ],
  )
}
