/**
 * The `page` command: model, server, and waiting for Ctrl-C.
 *
 * @module
 */
import { fetchModel } from '../demo/fetch-model.ts'
import { SMOLLM2 } from '../demo/model-package.ts'
import { UserError } from '../ui/user-error.ts'
import { startPageServer } from './page-server.ts'

/** Options of {@link runPage}. */
export interface RunPageOptions {
  /** A GGUF file; `false` offers none, anything else offers SmolLM2. */
  model: string | boolean
  /** Port on 127.0.0.1; 0 takes any that is free. */
  port: number
}

/**
 * Serves the page until the process is told to end.
 *
 * @param options - Model and port.
 * @param log - Receives one line per event worth telling; the address of the page is one of them.
 * @throws {UserError} when an option is wrong or the page cannot be served.
 */
export async function runPage(options: RunPageOptions, log: (line: string) => void): Promise<void> {
  const { model, port } = options
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new UserError(
      `Cannot serve the page as "port" must be a whole number from 0 to 65535: current value is ${port}`,
    )
  }
  const modelPath =
    model === false ? null : typeof model === 'string' ? model : await fetchOrGoWithout(log)
  const server = await startPageServer({ modelPath, port })
  log(`The page is at ${server.url} (Ctrl-C ends it)`)
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve)
    process.once('SIGTERM', resolve)
  })
  await server.close()
}

/** The page is of use without the model, so a failed download is told and nothing more. */
async function fetchOrGoWithout(log: (line: string) => void): Promise<string | null> {
  try {
    return await fetchModel(SMOLLM2, log)
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    log(`${error.message}\nGoing on without a model: choose a GGUF file in the page.`)
    return null
  }
}
