/**
 * Serves the browser page and a model on the loopback interface.
 *
 * @module
 */
import { createReadStream, existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sirv from 'sirv'
import { messageOf, systemCodeOf, UserError } from '../ui/user-error.ts'
import { ISOLATION_HEADERS, MODEL_INFO_PATH, MODEL_PATH, type ServedModel } from './page-routes.ts'

/** Options of {@link startPageServer}. */
export interface PageServerOptions {
  /** Folder of the built page. @defaultValue `dist/page` of this package */
  pageDirectory?: string | undefined
  /** GGUF file to offer to the page; `null` offers none. */
  modelPath: string | null
  /** Port on 127.0.0.1; 0 takes any that is free. */
  port: number
}

/** A running server. */
export interface PageServer {
  /** Address of the page, for example `http://127.0.0.1:4180/`. */
  url: string
  /** Ends the server and its connections. */
  close(): Promise<void>
}

/**
 * Serves the page, cross-origin isolated so that the CPU backend can use threads.
 *
 * @param options - Page, model and port.
 * @returns The server, listening.
 * @throws {UserError} when the page is not built, the model is not there, or the port cannot be had.
 */
export async function startPageServer(options: PageServerOptions): Promise<PageServer> {
  const { modelPath, port } = options
  const model = modelPath === null ? null : { path: modelPath, ...(await describeModel(modelPath)) }
  const setHeaders = (response: ServerResponse): void => {
    for (const [name, value] of Object.entries(ISOLATION_HEADERS)) response.setHeader(name, value)
  }
  const servePage = sirv(options.pageDirectory ?? findPageDirectory(), { etag: true, setHeaders })
  const server = createServer((request, response) => {
    // Requests come from anywhere: an address that is none must not end the server.
    const pathname = (request.url ?? '/').split('?')[0]
    if (pathname === MODEL_INFO_PATH) {
      const info =
        model && ({ name: model.name, byteLength: model.byteLength } satisfies ServedModel)
      response.writeHead(200, { ...ISOLATION_HEADERS, 'content-type': 'application/json' })
      response.end(JSON.stringify(info))
    } else if (pathname === MODEL_PATH && model !== null) {
      sendModel(response, model, request.method === 'HEAD')
    } else {
      servePage(request, response)
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  }).catch((error: unknown) => {
    const isTaken = systemCodeOf(error) === 'EADDRINUSE'
    throw new UserError(
      `Cannot serve the page on port ${port} as ${isTaken ? 'it is in use' : messageOf(error)}: pass another --port, or 0 for any`,
      { cause: error },
    )
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function describeModel(path: string): Promise<ServedModel> {
  const info = await stat(path).catch((error: unknown) => {
    const reason = systemCodeOf(error) === 'ENOENT' ? 'there is no such file' : messageOf(error)
    throw new UserError(`Cannot serve the model ${path} as ${reason}: check the path`, {
      cause: error,
    })
  })
  if (!info.isFile()) {
    throw new UserError(`Cannot serve the model ${path} as it is no file: name a .gguf file`)
  }
  return { name: basename(path), byteLength: info.size }
}

function sendModel(
  response: ServerResponse,
  model: ServedModel & { path: string },
  headersOnly: boolean,
): void {
  response.writeHead(200, {
    ...ISOLATION_HEADERS,
    'content-type': 'application/octet-stream',
    'content-length': model.byteLength,
  })
  if (headersOnly) {
    response.end()
    return
  }
  const stream = createReadStream(model.path, { highWaterMark: 1 << 20 })
  // The page sees a download that ends early, and says so.
  stream.on('error', () => response.destroy())
  response.on('close', () => stream.destroy())
  stream.pipe(response)
}

/** Finds the built page, from the sources as well as from the built command line. */
function findPageDirectory(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    const candidate = join(folder, 'dist', 'page')
    if (existsSync(join(candidate, 'index.html'))) return candidate
    if (dirname(folder) === folder) {
      throw new UserError('Cannot find the built page: run "npm run page" in the repository')
    }
    folder = dirname(folder)
  }
}
