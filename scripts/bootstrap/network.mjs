import { runStep } from './steps.mjs'

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
 * @param {string} known - A package that the registry has, with version.
 * @param {NodeJS.ProcessEnv} env
 */
export async function reachRegistry(known, env) {
  const args = ['view', known, 'version', ...QUICK_RETRIES]
  await runStep('reach the npm registry', 'npm', args, env, explainNetwork)
}
