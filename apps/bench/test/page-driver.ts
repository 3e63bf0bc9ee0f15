/**
 * What tests do with the browser page, in the words of a user.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { expect } from 'vitest'
import { cacheDirectoryPath } from '../src/demo/cache-directory.ts'
import { SMOLLM2 } from '../src/demo/model-package.ts'
import { tinyModel } from './tiny-model.ts'

/** The built page, as the command serves it. */
export const pageDirectory: string = fileURLToPath(new URL('../dist/page', import.meta.url))

const cachedModel = join(cacheDirectoryPath(), SMOLLM2.model.fileName)

/** SmolLM2 in the cache, or `null`. */
export const SMOLLM2_PATH: string | null = existsSync(cachedModel) ? cachedModel : null

/** Why tests with SmolLM2 are skipped. */
export const NO_SMOLLM2: string = `${cachedModel} is not there, "npm run demo" fetches it`

/** A tiny model that never ends a text, so that there is something to stop. */
export function endlessModel(): Uint8Array {
  return tinyModel({
    metadata: {
      'llama.context_length': 20_000,
      'tokenizer.ggml.eos_token_id': null,
      'tokenizer.ggml.token_type': null,
    },
  })
}

/** Limit for one piece of work of the page, which takes seconds at most: what takes longer hangs. Milliseconds. */
const WORK_MS = 200_000

/** A page that is open in a browser. */
export class PageDriver {
  readonly tab: Page
  /** What the page's code threw and nobody caught. */
  readonly defects: string[] = []

  private constructor(tab: Page) {
    this.tab = tab
    tab.on('pageerror', (error) => this.defects.push(String(error)))
    tab.setDefaultTimeout(WORK_MS)
  }

  /** Opens the page and waits until it knows what the browser offers. */
  static async open(
    browser: Browser,
    url: string,
    viewport: { width: number; height: number } = { width: 1280, height: 900 },
  ): Promise<PageDriver> {
    const driver = new PageDriver(await browser.newPage({ viewport }))
    await driver.tab.goto(url)
    await driver.tab.waitForFunction(
      `!document.querySelector('#environment').textContent.includes('Looking')`,
    )
    return driver
  }

  /** Text of an element. */
  async textOf(selector: string): Promise<string> {
    return (await this.tab.textContent(selector)) ?? ''
  }

  /** The message that is shown, empty where there is none. */
  async error(): Promise<string> {
    return (await this.tab.isVisible('#error')) ? this.textOf('#error-text') : ''
  }

  /** Waits until nothing runs any more; returns the message that is shown. */
  async settle(): Promise<string> {
    // The file input is enabled exactly while nothing runs.
    await this.tab.waitForFunction(`!document.querySelector('#file').disabled`)
    return this.error()
  }

  /** Loads the model that the server offers. */
  async loadServed(): Promise<void> {
    await this.tab.click('#load-served')
    expect(await this.settle()).toBe('')
    expect(await this.textOf('#status')).toContain('is loaded')
  }

  /** Picks a file; returns the message that is shown. */
  async pick(name: string, bytes: Uint8Array): Promise<string> {
    const buffer = Buffer.from(bytes)
    await this.tab.setInputFiles('#file', { name, mimeType: 'application/octet-stream', buffer })
    return this.settle()
  }

  /** Fills fields of the form, by id. */
  async fill(values: Record<string, string>): Promise<void> {
    for (const [id, value] of Object.entries(values)) await this.tab.fill(`#${id}`, value)
  }

  /** Generates text; returns the message that is shown. */
  async generate(): Promise<string> {
    await this.tab.click('#generate')
    return this.settle()
  }

  /** Verifies the draws; returns what the page says about them. */
  async verify(): Promise<string> {
    await this.tab.click('#verify')
    expect(await this.settle()).toBe('')
    return this.textOf('#verdict')
  }

  /** Cells of the table of steps, row by row. */
  rows(): Promise<string[][]> {
    return this.tab.$$eval('#table tbody tr', (rows) =>
      rows.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent ?? '')),
    )
  }

  /** Heights of the plot's bars, pixels, part by part of each step. */
  bars(): Promise<number[]> {
    return this.tab.$$eval('#plot svg rect', (bars) =>
      bars.map((bar) => Number(bar.getAttribute('height'))),
    )
  }

  /** Id of the element that has the focus. */
  focused(): Promise<string> {
    return this.tab.evaluate('document.activeElement?.id ?? ""')
  }

  async close(): Promise<void> {
    await this.tab.close()
  }
}
