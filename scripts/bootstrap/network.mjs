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
