import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { runServer } from 'verdaccio'

/**
 * Starts an npm registry on the loopback interface that everyone may publish to and that knows nothing else.
 *
 * @param {string} folder - New folder for its storage.
 * @returns {Promise<{ url: string, close: () => Promise<void> }>} Its address, ending in a slash.
 */
export async function startRegistry(folder) {
  mkdirSync(folder, { recursive: true })
  const everyone = { access: '$all', publish: '$all', unpublish: '$all' }
  const app = await runServer(
    /** @type {any} */ ({
      self_path: join(folder, 'config.yaml'),
      storage: join(folder, 'storage'),
      auth: { htpasswd: { file: join(folder, 'htpasswd') } },
      uplinks: {},
      packages: { '@*/*': everyone, '**': everyone },
      log: { type: 'file', path: join(folder, 'registry.log'), level: 'warn', format: 'json' },
    }),
  )
  const server = await new Promise((resolve, reject) => {
    const listening = app.listen(0, '127.0.0.1', () => resolve(listening))
    listening.on('error', reject)
  })
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
