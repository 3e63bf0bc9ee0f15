/**
 * Headless Chromium for tests of the page.
 */
import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

const candidates = [
  process.env.FLASHSAMPLING_CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
]

/** Path of the browser, or `undefined` where there is none. */
export const chromiumPath = candidates.find((path) => path !== undefined && existsSync(path))

/** Why tests that need the browser are skipped. */
export const NO_CHROMIUM = 'no Chromium found; install it or set FLASHSAMPLING_CHROMIUM to its path'

/** Arguments that give the browser WebGPU on a software adapter. */
const SOFTWARE_WEBGPU = [
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
]

/**
 * Starts the browser.
 *
 * @param gpu - `webgpu`: with WebGPU on a software adapter; `none`: without any GPU.
 * @returns The browser, owned by the caller.
 */
export function launchChromium(gpu: 'webgpu' | 'none'): Promise<Browser> {
  return chromium.launch({
    executablePath: chromiumPath as string,
    // Its default of 30 s is a slow start on a busy machine; what takes this long hangs.
    timeout: 180_000,
    args: [
      '--no-sandbox',
      '--disable-background-networking',
      '--no-first-run',
      ...(gpu === 'webgpu' ? SOFTWARE_WEBGPU : ['--disable-gpu']),
    ],
  })
}
