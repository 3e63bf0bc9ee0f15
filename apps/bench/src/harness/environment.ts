/**
 * What a run was taken on: processor, system, versions, commit, load.
 *
 * @module
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, loadavg, release, type } from 'node:os'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Machine and software of a run. */
export interface Environment {
  /** Model of the processor. */
  device: string
  /** Operating system and its release. */
  driver: string
  /** Versions of Node and its engine. */
  versions: Record<string, string>
  /** Commit of the repository; `unknown` outside of one. */
  commit: string
}

/**
 * Describes the machine and the software.
 *
 * @returns The description.
 */
export function readEnvironment(): Environment {
  const model = cpus()[0]?.model.trim() ?? ''
  return {
    device: model === '' || model === 'unknown' ? process.arch : model,
    driver: `${type()} ${release()}`,
    versions: { node: process.versions.node, v8: process.versions.v8 },
    commit: readCommit(),
  }
}

/**
 * Turns a device's name into a folder's name.
 *
 * @param device - For example `AMD EPYC 9B45`.
 * @returns For example `amd-epyc-9b45`.
 */
export function deviceSlug(device: string): string {
  return device
    .toLowerCase()
    .replace(/\((r|tm|c)\)/g, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
}

/**
 * Gives the one-minute load average.
 *
 * @returns Processes that run or wait to run; 0 on Windows.
 */
export function readLoadAverage(): number {
  return Math.round((loadavg()[0] ?? 0) * 100) / 100
}

/**
 * Finds the size of the last-level cache.
 *
 * @returns Bytes; 32 MiB where the system does not tell.
 */
export function lastLevelCacheBytes(): number {
  for (const level of [4, 3, 2]) {
    try {
      const path = `/sys/devices/system/cpu/cpu0/cache/index${level}/size`
      const kibibytes = Number.parseInt(readFileSync(path, 'utf8'), 10)
      if (kibibytes > 0) return kibibytes * 1024
    } catch {
      // This level does not exist, or the system has no such files.
    }
  }
  return 32 * 2 ** 20
}

function readCommit(): string {
  const cwd = dirname(fileURLToPath(import.meta.url))
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  try {
    const commit = git('rev-parse', '--short=10', 'HEAD')
    // Results and texts may change without a difference to what was measured.
    const root = git('rev-parse', '--show-toplevel')
    const sources = ['packages', 'apps/bench/src', 'apps/bench/assembly', 'pnpm-lock.yaml']
    const changes = git('-C', root, 'status', '--porcelain', '--', ...sources)
    return changes === '' ? commit : `${commit}-dirty`
  } catch {
    return 'unknown'
  }
}
