import { truncate, writeFile } from 'node:fs/promises'
import axe from 'axe-core'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { runDemo } from '../src/demo/run-demo.ts'
import { type PageServer, startPageServer } from '../src/server/page-server.ts'
import { chromiumPath, launchChromium, NO_CHROMIUM } from './chromium.ts'
import { endlessModel, NO_SMOLLM2, PageDriver, pageDirectory, SMOLLM2_PATH } from './page-driver.ts'
import { useTemporaryDirectory } from './temporary-directory.ts'
import { type TinyTensor, tinyModel } from './tiny-model.ts'

const temporary = useTemporaryDirectory()
let browser: Browser
let server: PageServer
let tinyPath: string

/** Text of the command line for the same model, prompt, seed and parameters. */
async function textOfDemo(model: string, prompt: string, maxTokens: number): Promise<string> {
  let out = ''
  await runDemo(
    {
      prompts: [prompt],
      raw: false,
      model,
      seed: 7n,
      maxTokens,
      params: { temperature: 0.8, topK: 50, topP: 0.9, minP: 0.02 },
      kernels: 'auto',
      verifyOracle: false,
    },
    {
      out: (text) => {
        out += text
      },
      log: () => {},
    },
  )
  return out.replace(/\n$/, '')
}

/** The form that {@link textOfDemo} corresponds to. */
const formOf = (prompt: string, maxTokens: number): Record<string, string> => ({
  prompt,
  seed: '7',
  'max-tokens': String(maxTokens),
  temperature: '0.8',
  'top-k': '50',
  'top-p': '0.9',
  'min-p': '0.02',
})

/** Generates, checks text, table and plot, and verifies; the page must say the same as the command line. */
async function clickThrough(url: string, model: string, maxTokens: number): Promise<PageDriver> {
  const page = await PageDriver.open(browser, url)
  const prompt = 'What is the capital of France?'
  await page.loadServed()
  await page.fill(formOf(prompt, maxTokens))
  expect(await page.generate()).toBe('')
  expect(await page.textOf('#text')).toBe(await textOfDemo(model, prompt, maxTokens))
  const rows = await page.rows()
  expect(rows.length).toBeGreaterThan(1)
  expect(rows.length).toBeLessThanOrEqual(maxTokens)
  for (const [step, , probability, body, head, total] of rows) {
    expect(Number.parseFloat(probability as string)).toBeLessThanOrEqual(100)
    expect(Number(head)).toBeGreaterThan(0)
    // Each figure is rounded to a hundredth.
    expect(Number(total)).toBeGreaterThanOrEqual(Number(body) + Number(head) - 0.011)
    if (step !== '0') expect(Number(body)).toBeGreaterThan(0)
  }
  // The plot is drawn with the next frame.
  await page.tab.waitForFunction(
    `document.querySelector('#plot-caption').textContent.startsWith('${rows.length} steps')`,
  )
  const bars = await page.bars()
  expect(bars).toHaveLength(3 * rows.length)
  expect(bars.filter((height) => height > 0).length).toBeGreaterThanOrEqual(rows.length)

  expect(await page.verify()).toMatch(
    new RegExp(`^${rows.length} tokens checked, 0 differences, \\d+ within the margin of \\d`),
  )
  expect((await page.rows()).every((cells) => /^(same|within margin)$/.test(cells[7] ?? ''))).toBe(
    true,
  )
  expect(page.defects).toEqual([])
  return page
}

describe('the browser page', () => {
  beforeAll(async () => {
    if (chromiumPath === undefined) return
    tinyPath = temporary.file('tiny.gguf')
    await writeFile(tinyPath, tinyModel())
    server = await startPageServer({ pageDirectory, modelPath: tinyPath, port: 0 })
    browser = await launchChromium('none')
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })
  beforeEach(({ skip }) => skip(chromiumPath === undefined, NO_CHROMIUM))

  it('writes what the command line writes, plots every step, and agrees with the oracle', async () => {
    const page = await clickThrough(server.url, tinyPath, 24)
    expect(await page.textOf('#model-info')).toContain('vocabulary of 265 tokens, LM head in q8_0')
    await page.close()
  })

  it('does so with SmolLM2-135M-Instruct', async ({ skip }) => {
    if (SMOLLM2_PATH === null) return skip(NO_SMOLLM2)
    const real = await startPageServer({ pageDirectory, modelPath: SMOLLM2_PATH, port: 0 })
    try {
      const page = await clickThrough(real.url, SMOLLM2_PATH, 12)
      expect(await page.textOf('#text')).toContain('France')
      await page.close()
    } finally {
      await real.close()
    }
  })

  it('says that WebGPU is missing and goes on with the CPU, on threads', async () => {
    const page = await PageDriver.open(browser, server.url)
    expect(await page.textOf('#environment')).toMatch(
      /^WebGPU is missing \(.+\): the page goes on with the CPU\.$/,
    )
    expect(await page.tab.isDisabled('#backend-webgpu')).toBe(true)
    expect(await page.tab.isChecked('#backend-cpu')).toBe(true)
    expect(await page.tab.evaluate('crossOriginIsolated')).toBe(true)
    await page.loadServed()
    expect(await page.generate()).toBe('')
    expect(await page.textOf('#status')).toContain('LM head on CPU, WebAssembly SIMD')
    expect(await page.textOf('#figures')).toContain('nothing: no GPU in use')
    await page.close()
  })

  it('names what is wrong with a file, and takes the next one', async () => {
    const page = await PageDriver.open(browser, server.url)
    const whole = tinyModel()
    const broken: [string, Uint8Array, RegExp][] = [
      ['notes.txt', Buffer.from('shopping list'), /notes\.txt as it is not a GGUF file/],
      ['empty.gguf', new Uint8Array(0), /empty\.gguf as it is not a GGUF file/],
      ['cut.gguf', whole.subarray(0, 20_000), /cut\.gguf as it is truncated/],
      [
        'other.gguf',
        tinyModel({ metadata: { 'general.architecture': 'qwen2' } }),
        /other\.gguf .* llama architecture.*"qwen2"/,
      ],
    ]
    for (const [name, bytes, message] of broken) {
      expect(await page.pick(name, bytes)).toMatch(message)
      expect(await page.tab.isDisabled('#generate')).toBe(true)
    }
    expect(await page.pick('whole.gguf', whole)).toBe('')
    expect(await page.textOf('#model-info')).toContain('whole.gguf')
    expect(await page.generate()).toBe('')
    const text = await page.textOf('#text')

    // A file that fails later takes nothing away.
    expect(await page.pick('cut.gguf', whole.subarray(0, 20_000))).toMatch(/truncated/)
    expect(await page.textOf('#model-info')).toContain('whole.gguf')
    expect(await page.textOf('#text')).toBe(text)
    expect(await page.generate()).toBe('')
    expect(await page.textOf('#text')).toBe(text)
    expect(page.defects).toEqual([])
    await page.close()
  })

  it('says that a model is too large for the memory, and takes the next one', async () => {
    // A sparse file of 25.6 GB: whole by its header, far above what a browser can hold in one piece.
    const rows = 200_000_000
    const bytes = tinyModel({
      headDtype: 'f32',
      editTensors: ([embedding, ...others]) => [
        ...others,
        { ...(embedding as TinyTensor), shape: [32, rows] },
      ],
    })
    const path = temporary.file('huge.gguf')
    await writeFile(path, bytes)
    await truncate(path, bytes.byteLength + rows * 32 * 4)
    const page = await PageDriver.open(browser, server.url)
    await page.tab.setInputFiles('#file', path)
    expect(await page.settle()).toMatch(
      /Cannot load .*huge\.gguf as the browser has too little memory/,
    )
    expect(await page.pick('tiny.gguf', tinyModel())).toBe('')
    expect(await page.generate()).toBe('')
    await page.close()
  })

  it('takes a file that is dropped on it', async () => {
    const page = await PageDriver.open(browser, server.url)
    const address = new URL('model.gguf', server.url).href
    await page.tab.evaluate(`(async () => {
      const bytes = await (await fetch(${JSON.stringify(address)})).blob()
      const dataTransfer = new DataTransfer()
      dataTransfer.items.add(new File([bytes], 'dropped.gguf'))
      const options = { dataTransfer, bubbles: true, cancelable: true }
      document.querySelector('#drop').dispatchEvent(new DragEvent('dragover', options))
      document.querySelector('#drop').dispatchEvent(new DragEvent('drop', options))
    })()`)
    await page.tab.waitForFunction(
      `document.querySelector('#status').textContent.includes('loaded')`,
    )
    expect(await page.textOf('#model-info')).toContain('dropped.gguf')
    await page.close()
  })

  it('marks the field that a message is about and puts the focus there', async () => {
    const page = await PageDriver.open(browser, server.url)
    await page.loadServed()
    const wrong: [string, string, RegExp][] = [
      ['temperature', '-1', /"temperature" must be .* -1$/],
      ['top-k', '2.5', /"topK" must be .* 2\.5$/],
      ['top-p', '1.5', /"topP" must be .* 1\.5$/],
      ['min-p', '', /"minP" must be .* NaN$/],
      ['seed', 'abc', /"seed" must be a whole number.* "abc"$/],
      ['max-tokens', '0', /"maxTokens" must be a whole number >= 1: current value is 0$/],
      ['max-tokens', '4000', /exceed the 256 tokens of .*tiny\.gguf/],
    ]
    for (const [id, value, message] of wrong) {
      const before = await page.tab.inputValue(`#${id}`)
      await page.fill({ [id]: value })
      expect(await page.generate()).toMatch(message)
      if (value !== '4000') {
        expect(await page.focused()).toBe(id)
        expect(await page.tab.getAttribute(`#${id}`, 'aria-invalid')).toBe('true')
      }
      await page.fill({ [id]: before })
    }
    expect(await page.generate()).toBe('')
    expect(await page.tab.locator('[aria-invalid]').count()).toBe(0)
    await page.close()
  })

  it('works by keyboard alone', async () => {
    const path = temporary.file('endless.gguf')
    await writeFile(path, endlessModel())
    const endless = await startPageServer({ pageDirectory, modelPath: path, port: 0 })
    const page = await PageDriver.open(browser, endless.url)
    const { keyboard } = page.tab
    const tabTo = async (id: string): Promise<void> => {
      for (let presses = 0; presses < 40; presses++) {
        if ((await page.focused()) === id) return
        await keyboard.press('Tab')
      }
      throw new Error(`Tab does not lead to #${id}`)
    }
    await tabTo('load-served')
    await keyboard.press('Enter')
    expect(await page.settle()).toBe('')
    await tabTo('prompt')
    await keyboard.press('Control+A')
    await keyboard.type('hello world')
    await tabTo('max-tokens')
    await keyboard.press('Control+A')
    await keyboard.type('19000')
    await keyboard.press('Control+Enter')
    await page.tab.waitForFunction(`document.querySelectorAll('#table tbody tr').length > 2`)
    await keyboard.press('Escape')
    expect(await page.settle()).toBe('')
    expect(await page.textOf('#status')).toMatch(/^Stopped: \d+ tokens/)
    const { length } = await page.rows()
    expect(length).toBeLessThan(19_000)
    // The focus does not fall off a button that can no longer be pressed.
    await tabTo('generate')
    await page.tab.evaluate(
      `document.querySelectorAll('#table tbody tr').forEach((row) => row.classList.add('old'))`,
    )
    await keyboard.press('Enter')
    await page.tab.waitForFunction(`!document.querySelector('#stop').disabled`)
    expect(await page.focused()).toBe('stop')
    // Without a token there is nothing to verify.
    await page.tab.waitForFunction(`document.querySelector('#table tbody tr:not(.old)') !== null`)
    await keyboard.press('Enter')
    expect(await page.settle()).toBe('')
    expect(await page.focused()).toBe('generate')
    await tabTo('verify')
    await keyboard.press('Enter')
    expect(await page.settle()).toBe('')
    expect(await page.textOf('#verdict')).toMatch(/^\d+ tokens checked, 0 differences/)
    await page.close()
    await endless.close()
  })

  it('says that the server is gone, and takes a file instead', async () => {
    const passing = await startPageServer({ pageDirectory, modelPath: tinyPath, port: 0 })
    const page = await PageDriver.open(browser, passing.url)
    await passing.close()
    await page.tab.click('#load-served')
    expect(await page.settle()).toMatch(/Cannot download .* the server gives no answer/)
    expect(await page.pick('tiny.gguf', tinyModel())).toBe('')
    await page.close()
  })

  it('says that its worker has died, and starts another', async () => {
    const page = await PageDriver.open(browser, server.url)
    await page.loadServed()
    await page.fill({ 'max-tokens': '8' })
    await page.generate()
    // A worker that cannot be loaded dies at once.
    await page.tab.route('**/engine.worker*', (route) => route.abort())
    await page.tab.reload()
    await page.tab.waitForSelector('#error:not([hidden])')
    expect(await page.error()).toMatch(/The worker that runs the model has ended/)
    await page.tab.unroute('**/engine.worker*')
    await page.loadServed()
    expect(await page.generate()).toBe('')
    expect(await page.textOf('#text')).not.toBe('')
    await page.close()
  })

  it.each([
    ['1280 px, light', 1280, 'light'],
    ['360 px, light', 360, 'light'],
    ['360 px, dark', 360, 'dark'],
  ] as const)(
    'has labels, contrast and no sideways scrolling: %s',
    async (_, width, colorScheme) => {
      const page = await PageDriver.open(browser, server.url, { width, height: 780 })
      await page.tab.emulateMedia({ colorScheme })
      await page.loadServed()
      await page.generate()
      await page.verify()
      await page.tab.click('summary')
      expect(await page.tab.evaluate('document.documentElement.scrollWidth')).toBe(width)
      await page.tab.evaluate(axe.source)
      const problems = await page.tab.evaluate(`axe.run().then(({ violations }) =>
      violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' ')))`)
      expect(problems).toEqual([])
      await page.close()
    },
  )
})
