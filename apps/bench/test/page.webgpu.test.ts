import { writeFile } from 'node:fs/promises'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type PageServer, startPageServer } from '../src/server/page-server.ts'
import { chromiumPath, launchChromium, NO_CHROMIUM } from './chromium.ts'
import { endlessModel, NO_SMOLLM2, PageDriver, pageDirectory, SMOLLM2_PATH } from './page-driver.ts'
import { useTemporaryDirectory } from './temporary-directory.ts'

const temporary = useTemporaryDirectory()

describe('the browser page on WebGPU', () => {
  let browser: Browser
  let server: PageServer
  /** Why the browser has no WebGPU; empty where it has. */
  let missing = ''

  beforeAll(async () => {
    if (chromiumPath === undefined) return
    const modelPath = temporary.file('endless.gguf')
    await writeFile(modelPath, endlessModel())
    server = await startPageServer({ pageDirectory, modelPath, port: 0 })
    browser = await launchChromium('webgpu')
    const page = await PageDriver.open(browser, server.url)
    const environment = await page.textOf('#environment')
    if (!environment.startsWith('WebGPU: ')) missing = environment
    await page.close()
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })
  beforeEach(({ skip }) => {
    skip(chromiumPath === undefined, NO_CHROMIUM)
    skip(missing !== '', `${chromiumPath} has no WebGPU on a software adapter: ${missing}`)
  })

  /** Opens the page with the model loaded and WebGPU chosen. */
  async function open(values: Record<string, string>): Promise<PageDriver> {
    const page = await PageDriver.open(browser, server.url)
    await page.loadServed()
    await page.tab.check('#backend-webgpu')
    await page.fill({ prompt: 'hello world', 'top-p': '1', 'top-k': '0', 'min-p': '0', ...values })
    return page
  }

  it('draws what the CPU draws, as the oracle agrees, and reads back a few bytes a token', async () => {
    const page = await open({ 'max-tokens': '16', temperature: '0.9' })
    expect(await page.generate()).toBe('')
    expect(await page.textOf('#status')).toContain('LM head on WebGPU')
    expect(await page.textOf('#notice')).toBe('')
    const rows = await page.rows()
    expect(rows).toHaveLength(16)
    // Token and log-probability; the 265 logits would be 1060 bytes.
    expect(rows.map((cells) => cells[6])).toEqual(rows.map(() => '8'))
    expect(await page.verify()).toMatch(/^16 tokens checked, 0 differences/)
    await page.tab.check('#backend-cpu')
    expect(await page.generate()).toBe('')
    expect((await page.rows()).map((cells) => cells[1])).toEqual(rows.map((cells) => cells[1]))
    expect(page.defects).toEqual([])
    await page.close()
  })

  it('draws from SmolLM2-135M-Instruct what the CPU draws', async ({ skip }) => {
    if (SMOLLM2_PATH === null) return skip(NO_SMOLLM2)
    const real = await startPageServer({ pageDirectory, modelPath: SMOLLM2_PATH, port: 0 })
    try {
      const page = await PageDriver.open(browser, real.url)
      await page.loadServed()
      await page.tab.check('#backend-webgpu')
      await page.fill({
        prompt: 'What is the capital of France?',
        'max-tokens': '6',
        'top-p': '1',
        temperature: '0.8',
      })
      expect(await page.generate()).toBe('')
      expect(await page.textOf('#status')).toContain('LM head on WebGPU')
      const text = await page.textOf('#text')
      expect(await page.verify()).toMatch(/^6 tokens checked, 0 differences/)
      await page.tab.check('#backend-cpu')
      expect(await page.generate()).toBe('')
      expect(await page.textOf('#status')).toContain('LM head on CPU')
      expect(await page.textOf('#text')).toBe(text)
      await page.close()
    } finally {
      await real.close()
    }
  })

  it('goes on with the CPU where the backend cannot be had, and tells why', async () => {
    const page = await open({ 'max-tokens': '4' })
    await page.tab.route('**/webgpu-backend-*.js', (route) => route.abort())
    expect(await page.generate()).toBe('')
    expect(await page.textOf('#notice')).toMatch(/^Going on with the CPU\. .*webgpu-backend/)
    expect(await page.textOf('#status')).toContain('LM head on CPU')
    expect(await page.verify()).toMatch(/^4 tokens checked, 0 differences/)
    await page.close()
  })

  it('says that the device is lost, keeps the text, and draws again', async () => {
    const page = await open({ 'max-tokens': '15000' })
    await page.tab.click('#generate')
    await page.tab.waitForFunction(`document.querySelectorAll('#table tbody tr').length > 2`)
    const session = await browser.newBrowserCDPSession()
    await session.send('Browser.crashGpuProcess')
    expect(await page.settle()).toMatch(/the GPU device as it is lost.*Generate again/)
    expect(await page.textOf('#text')).not.toBe('')
    await page.fill({ 'max-tokens': '4' })
    expect(await page.generate()).toBe('')
    expect(await page.rows()).toHaveLength(4)
    expect(await page.verify()).toMatch(/^4 tokens checked, 0 differences/)
    expect(page.defects).toEqual([])
    await page.close()
  })
})
