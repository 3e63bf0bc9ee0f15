import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { listPackages, repositoryRoot } from '../lib/workspace.mjs'
import { explainNetwork, reachRegistry } from './network.mjs'
import { readState, writeState } from './state.mjs'
import { runStep } from './steps.mjs'

/**
 * Installs the locked dependencies, unless the last installation already matches the lockfile.
 *
 * @param {NodeJS.ProcessEnv} env - Environment with pnpm on its PATH.
 */
export async function installDependencies(env) {
  const wanted = fingerprint()
  const present = existsSync(join(repositoryRoot, 'node_modules/.modules.yaml'))
  if (present && readState().installed === wanted) return
  await reachRegistry(env)
  await runStep(
    'install dependencies',
    'pnpm',
    ['install', '--frozen-lockfile', '--reporter=append-only'],
    { ...env, CI: 'true' },
    explainNetwork,
  )
  writeState({ installed: wanted })
}

/** @returns {string} Digest of everything that decides what is installed. */
function fingerprint() {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}\n`)
  const manifests = listPackages().map(({ folder }) => `${folder}/package.json`)
  for (const file of ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', ...manifests]) {
    hash.update(`${file}\n`).update(readFileSync(join(repositoryRoot, file)))
  }
  return hash.digest('hex')
}
