/** Pages of headless Chromium with WebGPU on SwiftShader. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Browser, chromium } from 'playwright-core'
import { CHROMIUM } from './swiftshader.ts'

/** Why tests that need the browser are skipped. */
export const NO_CHROMIUM = 'no Chromium found; install it or set FLASHSAMPLING_CHROMIUM to its path'

const PAGE = '<!doctype html><title>FlashSampling</title><link rel="icon" href="data:,">'
const SOFTWARE_GPU = [
  ...['--no-sandbox', '--no-first-run', '--disable-background-networking'],
  ...['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'],
]
const TYPES: Record<string, string> = {
  js: 'text/javascript',
  mjs: 'text/javascript',
  wasm: 'application/wasm',
}

/** A browser and the server of its pages. */
export interface SoftwareBrowser {
  browser: Browser
  /** Address of an empty page beside the files. */
  url: string
  /** Ends both. */
  close(): Promise<void>
}

/**
 * Starts a browser and, on loopback, a server of files.
 *
 * @param fileOf - Path of the file for the path of a request; `null` for the empty page.
 * @returns Both, owned by the caller.
 */
export async function openBrowser(
  fileOf: (request: string) => string | null,
): Promise<SoftwareBrowser> {
  const server = createServer((request, response) => {
    const file = fileOf(request.url ?? '/')
    const type = TYPES[file?.split('.').at(-1) ?? ''] ?? 'text/html'
    response.writeHead(200, { 'content-type': type })
    response.end(file === null ? PAGE : readFileSync(file))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: SOFTWARE_GPU })
  return {
    browser,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: async () => {
      await browser.close()
      server.close()
    },
  }
}
