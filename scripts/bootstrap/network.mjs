import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { StepFailedError } from './steps.mjs'

/** npm would wait more than a minute before it says that there is no network. */
export const QUICK_RETRIES = ['--fetch-retry-mintimeout=1000', '--fetch-retry-maxtimeout=5000']

const NETWORK_FAILURE =
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ENOTCACHED|META_FETCH_FAIL|SOCKET_TIMEOUT|error sending request|fetch failed|dns error/i

/**
 * Recognises a registry that cannot be reached.
 *
 * @param {string} output - What npm or pnpm printed.
 * @returns {string | undefined} What the user can do, where the network is at fault.
 */
export function explainNetwork(output) {
  if (!NETWORK_FAILURE.test(output)) return undefined
  return (
    'Cannot install dependencies as the npm registry must be reachable: connecting to it failed\n' +
    '- check the network connection, then run the same command again;\n' +
    '- behind a proxy, set HTTPS_PROXY;\n' +
    '- with a mirror, check "npm config get registry".'
  )
}

/**
 * Fails within seconds where the registry cannot be reached; pnpm would retry every package for minutes.
 *
 * @param {NodeJS.ProcessEnv} env
 * @throws {StepFailedError} when no connection is made; a registry that answers with an error is left to pnpm.
 */
export async function reachRegistry(env) {
  try {
    await promisify(execFile)('npm', ['ping', ...QUICK_RETRIES], { env })
  } catch (error) {
    const output = String(/** @type {{ stderr?: unknown }} */ (error).stderr)
    const remedy = explainNetwork(output)
    if (remedy !== undefined) throw new StepFailedError(`${output.trimEnd()}\n\n${remedy}`)
  }
}
