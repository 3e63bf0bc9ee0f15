import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { NO_CHROMIUM, openBrowser, type SoftwareBrowser } from './support/software-browser.ts'
import { CHROMIUM } from './support/swiftshader.ts'

// The built packages, as a page loads them without a bundler.
const packages = fileURLToPath(new URL('../..', import.meta.url))
const IMPORTS = {
  '@flashsampling/core': '/core/dist/index.js',
  '@flashsampling/webgpu': '/webgpu/dist/index.js',
}

/** Programs of pages, as text, so that no helper of the test's compiler slips into them. */
const RANKED_PROGRAM = `(async () => {
  const { FlashSamplingError, sampleFromLogits } = await import('@flashsampling/core')
  const { createLmHeadSampler } = await import('@flashsampling/webgpu')
  const adapter = await navigator.gpu.requestAdapter()
  const device = await adapter.requestDevice()
  const lmHead = { dtype: 'f32', vocabSize: 5, hiddenSize: 2, data: Float32Array.of(1, 0, 0, 1, 1, 1, 2, -1, -1, 2) }
  const sampler = await createLmHeadSampler({ device, lmHead })
  const draw = async (params) => {
    const { tokenIds } = await sampler.sample({ hiddenStates: Float32Array.of(1, 2), params })
    return tokenIds[0]
  }
  const drawOrFail = (params) => draw(params).catch((error) => {
    if (!FlashSamplingError.isInstance(error)) throw error
    return error.code
  })
  const plain = { seed: 3n, temperature: 0.5, logitBias: { 2: -4 } }
  const ranked = { seed: 4n, temperature: 2, topK: 2 }
  const expected = [plain, ranked].map((params) => sampleFromLogits([1, 2, 3, 0, 3], params).tokenId)
  const before = await draw(plain)
  await report('before the first draw by rank')
  const failed = await drawOrFail(ranked)
  const between = await draw(plain)
  await report('after a failure')
  // Two calls that need the part, and one behind them that does not.
  const together = await Promise.all([drawOrFail(ranked), drawOrFail({ ...ranked }), draw(plain)])
  await report('after draws by rank')
  const again = await drawOrFail({ ...ranked, topK: 0, minP: 0.01 })
  await sampler.dispose()
  device.destroy()
  return { expected, before, failed, between, together, again: typeof again }
})()`

const QUANTISED_PROGRAM = `(async () => {
  const { FlashSamplingError, sampleFromLogits } = await import('@flashsampling/core')
  const { createLmHeadSampler } = await import('@flashsampling/webgpu')
  const adapter = await navigator.gpu.requestAdapter()
  const device = await adapter.requestDevice()
  const hiddenStates = new Float32Array(32).fill(1, 0, 1)
  const params = { seed: 5n }
  const logits = [1, 2, 3, 2, 1]
  // Rows whose first element is the logit: of f32, and of q8_0, whose blocks begin with a scale of 1 in fp16.
  const dense = new Float32Array(5 * 32)
  const blocks = new Uint8Array(5 * 34)
  logits.forEach((logit, row) => {
    dense[row * 32] = logit
    blocks.set([0, 0x3c, logit], row * 34)
  })
  const draw = async (dtype, data) => {
    const lmHead = { dtype, vocabSize: 5, hiddenSize: 32, data }
    const sampler = await createLmHeadSampler({ device, lmHead })
    const { tokenIds } = await sampler.sample({ hiddenStates, params })
    await sampler.dispose()
    return tokenIds[0]
  }
  const drawOrFail = (dtype, data) => draw(dtype, data).catch((error) => {
    if (!FlashSamplingError.isInstance(error)) throw error
    return error.code
  })
  const expected = sampleFromLogits(logits, params).tokenId
  const before = await draw('f32', dense)
  await report('before the first quantised head')
  const failed = await drawOrFail('q8_0', blocks)
  await report('after a failure')
  const between = await draw('f32', dense)
  const after = [await drawOrFail('q8_0', blocks), await drawOrFail('q8_0', blocks)]
  await report('after quantised heads')
  device.destroy()
  return { expected, before, failed, between, after }
})()`

describe('parts that are loaded where they are wanted', () => {
  let opened: SoftwareBrowser | undefined

  beforeAll(async () => {
    if (CHROMIUM === '') return
    opened = await openBrowser((path) =>
      /^\/(core|webgpu)\/dist\//.test(path) ? `${packages}${path}` : null,
    )
  })

  afterAll(() => opened?.close())

  beforeEach(({ skip }) => {
    skip(CHROMIUM === '', NO_CHROMIUM)
  })

  /**
   * Runs a program in a page of its own, where the first request for a part fails.
   *
   * @param program - Text of an expression; it may `await report(when)`.
   * @param part - Matches the paths of the part.
   * @returns The program's value, requests that failed, and how often the part had been loaded at each report.
   */
  async function runInPage(program: string, part: RegExp) {
    const { browser, url } = opened as SoftwareBrowser
    const tab: Page = await browser.newPage()
    const loaded: string[] = []
    tab.on('response', (response) => {
      const path = new URL(response.url()).pathname
      if (response.ok() && part.test(path)) loaded.push(path)
    })
    let numFailed = 0
    await tab.route(
      ({ pathname }) => part.test(pathname),
      async (route) => {
        if (numFailed > 0) return route.fallback()
        numFailed++
        return route.abort('connectionfailed')
      },
    )
    const seen: Record<string, number> = {}
    await tab.exposeFunction('report', (when: string) => {
      seen[when] = loaded.length
    })
    await tab.goto(url)
    await tab.addScriptTag({ type: 'importmap', content: JSON.stringify({ imports: IMPORTS }) })
    const result: unknown = await tab.evaluate(program)
    return { result, numFailed, seen, numLoaded: loaded.length }
  }

  it('draws by rank load once; a failure is an error with a code, and the sampler goes on', async () => {
    const part = /^\/webgpu\/dist\/ranking-\w+\.js$/
    const { result, numFailed, seen, numLoaded } = await runInPage(RANKED_PROGRAM, part)
    const { expected } = result as { expected: [number, number] }
    const [plain, ranked] = expected
    expect(result).toEqual({
      ...{ expected, before: plain, failed: 'MODULE_LOAD', between: plain },
      ...{ together: [ranked, ranked, plain], again: 'number' },
    })
    expect(numFailed).toBe(1)
    expect(seen).toEqual({
      'before the first draw by rank': 0,
      'after a failure': 0,
      'after draws by rank': 1,
    })
    expect(numLoaded).toBe(1)
  })

  it('quantised heads load once; a failure is an error with a code, and dense heads go on', async () => {
    const part = /^\/webgpu\/dist\/quantised-\w+\.js$/
    const { result, numFailed, seen } = await runInPage(QUANTISED_PROGRAM, part)
    const { expected } = result as { expected: number }
    expect(result).toEqual({
      ...{ expected, before: expected, failed: 'MODULE_LOAD', between: expected },
      after: [expected, expected],
    })
    expect(numFailed).toBe(1)
    expect(seen).toEqual({
      'before the first quantised head': 0,
      'after a failure': 0,
      'after quantised heads': 1,
    })
  })
})
