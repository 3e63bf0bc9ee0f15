import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { readJson, repositoryRoot } from '../lib/workspace.mjs'
import { explainNetwork, QUICK_RETRIES } from './network.mjs'
import { readState, writeState } from './state.mjs'
import { runStep, StepFailedError } from './steps.mjs'

/**
 * Finds the pnpm that the root manifest pins, through npx, so that nothing has to be installed globally.
 *
 * @returns {Promise<string>} A PATH that starts with the folder of that pnpm.
 */
export async function findPnpm() {
  /** @type {string} */
  const wanted = readJson(join(repositoryRoot, 'package.json')).packageManager
  const known = readState().pnpm
  const folder =
    known?.wanted === wanted && existsSync(join(known.folder, 'pnpm'))
      ? known.folder
      : await askNpx(wanted)
  return `${folder}${delimiter}${process.env.PATH ?? ''}`
}

/** @param {string} wanted - For example `pnpm@12.21.0`. */
async function askNpx(wanted) {
  const output = await runStep(
    `fetch ${wanted}`,
    'npx',
    [
      ...QUICK_RETRIES,
      '--yes',
      `--package=${wanted}`,
      '--',
      'node',
      '-e',
      'console.log(process.env.PATH)',
    ],
    process.env,
    explainNetwork,
  )
  const path = output.trim().split('\n').at(-1) ?? ''
  const folder = path.split(delimiter).find((entry) => existsSync(join(entry, 'pnpm')))
  if (folder === undefined) throw new StepFailedError(`Cannot find ${wanted} in ${path}`)
  writeState({ pnpm: { wanted, folder } })
  return folder
}
