import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { repositoryRoot } from '../lib/workspace.mjs'

/**
 * What earlier runs found out; lost without harm.
 *
 * @typedef {{ pnpm?: { wanted: string, folder: string }, installed?: string }} State
 */

const file = join(repositoryRoot, '.cache/bootstrap.json')

/** @returns {State} What earlier runs stored, empty in a fresh clone. */
export function readState() {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return {}
  }
}

/**
 * Adds to what later runs rely on.
 *
 * @param {State} change - Entries to replace.
 */
export function writeState(change) {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify({ ...readState(), ...change }, null, 2)}\n`)
}
