/**
 * Runs jobs in pages of headless Chromium.
 *
 * @module
 */
import { createReadStream, existsSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { basename, dirname, join } from 'node:path'
import type { Browser } from 'playwright-core'
import { ISOLATION_HEADERS } from '../server/page-routes.ts'
import type { HeadJob, Message } from './messages.ts'
import { builtFile, type HostOptions, type JobHost } from './node-host.ts'
import { findChromium } from './software-adapter.ts'

const ARGUMENTS = [
  ...['--no-first-run', '--disable-background-networking', '--enable-unsafe-webgpu'],
  // Timestamps as they are, and the adapter's name.
  '--enable-webgpu-developer-features',
  '--enable-features=Vulkan',
]
const SOFTWARE_ARGUMENTS = ['--use-webgpu-adapter=swiftshader']
const HARDWARE_ARGUMENTS = ['--ignore-gpu-blocklist', '--use-angle=vulkan']

/** A page that says nothing for this long hangs, milliseconds. */
const SILENCE_MS = 300_000

const PAGE = '<!doctype html><title>FlashSampling</title><link rel="icon" href="data:,">'
const TYPES: Record<string, string> = { mjs: 'text/javascript', wasm: 'application/wasm' }

/**
 * Makes the host.
 *
 * @param options - Which driver, and what runs the jobs.
 * @returns The host.
 * @throws {UserError} when there is no browser, or nothing is built.
 */
export function createChromiumHost({
  isSoftware,
  program = builtFile('webgpu-page.mjs'),
}: HostOptions): JobHost {
  const executablePath = findChromium()
  let server: Promise<Server> | undefined
  const launch = async (): Promise<Browser> => {
    const { chromium } = await import('playwright-core')
    const args = [...ARGUMENTS, ...(isSoftware ? SOFTWARE_ARGUMENTS : HARDWARE_ARGUMENTS)]
    // The browser refuses its sandbox to the superuser.
    if (process.getuid?.() === 0) args.push('--no-sandbox')
    return chromium.launch({ executablePath, args })
  }
  return {
    run: async (job, onMessage) => {
      server ??= serve(program)
      const { port } = (await server).address() as AddressInfo
      // A browser of its own: a driver that crashes takes only its head along.
      const browser = await launch()
      try {
        await runInPage(browser, `http://127.0.0.1:${port}/`, job, (message) => {
          const { versions } = message.kind === 'adapter' ? message : { versions: {} }
          onMessage(
            message.kind === 'adapter'
              ? { ...message, versions: { chromium: browser.version(), ...versions } }
              : message,
          )
        })
      } finally {
        await browser.close()
      }
    },
    close: async () => {
      const running = await server
      running?.close()
      running?.closeAllConnections()
    },
  }
}

async function runInPage(
  browser: Browser,
  url: string,
  job: HeadJob | null,
  onMessage: (message: Message) => void,
): Promise<void> {
  const page = await browser.newPage()
  const errors: string[] = []
  page.on('console', (line) => {
    if (line.type() === 'error') errors.push(line.text())
  })
  let timer: NodeJS.Timeout | undefined
  const silence = new Promise<never>((_, reject) => {
    const fail = (): void => reject(new Error(`the page said nothing for ${SILENCE_MS / 1000} s`))
    timer = setTimeout(fail, SILENCE_MS)
    void page.exposeFunction('flashsamplingEmit', (message: Message) => {
      timer?.refresh()
      onMessage(message)
    })
  })
  const crash = new Promise<never>((_, reject) => {
    page.on('crash', () => reject(new Error('the page crashed')))
    browser.on('disconnected', () => reject(new Error('the browser ended')))
  })
  // A browser that is closed at the end is no failure.
  crash.catch(() => undefined)
  await page.goto(url)
  // Text, so that no helper of a compiler slips into the page.
  const work = page.evaluate(`(async () => {
    const { runPageJob } = await import('/build/webgpu-page.mjs')
    await runPageJob(${JSON.stringify({ job, ortFolder: '/ort/' })}, (message) => flashsamplingEmit(message))
  })()`)
  work.catch(() => undefined)
  try {
    await Promise.race([work, silence, crash])
  } catch (error) {
    throw errors.length === 0
      ? error
      : new Error(`${error instanceof Error ? error.message : error}: ${errors.join('; ')}`)
  } finally {
    clearTimeout(timer)
  }
}

/** Serves the page, its program and the engine, isolated so that its clock is fine. */
function serve(program: string): Promise<Server> {
  const engine = dirname(createRequire(import.meta.url).resolve('onnxruntime-web/webgpu'))
  const server = createServer((request, response) => {
    const [, folder, name = ''] = (request.url ?? '/').split('?')[0]?.split('/') ?? []
    const file = folder === 'ort' ? join(engine, basename(name)) : program
    if (folder !== 'ort' && folder !== 'build') {
      response.writeHead(200, { ...ISOLATION_HEADERS, 'content-type': 'text/html' })
      response.end(PAGE)
      return
    }
    if (!existsSync(file)) {
      response.writeHead(404, ISOLATION_HEADERS).end()
      return
    }
    const type = TYPES[name.split('.').at(-1) ?? ''] ?? 'application/octet-stream'
    response.writeHead(200, { ...ISOLATION_HEADERS, 'content-type': type })
    createReadStream(file).pipe(response)
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}
