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

/** What a page saw, as text, so that no helper of the test's compiler slips into it. */
const PROGRAM = `(async () => {
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

interface PageResult {
  expected: number[]
  before: number
  failed: number | string
  between: number
  together: (number | string)[]
  again: string
}

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

  it('load once; a failure is an error with a code, and the sampler goes on', async () => {
    const { browser, url } = opened as SoftwareBrowser
    const tab: Page = await browser.newPage()
    const loaded: string[] = []
    tab.on('response', (response) => {
      if (response.ok()) loaded.push(new URL(response.url()).pathname)
    })
    const isPart = (path: string): boolean => /^\/webgpu\/dist\/ranking-\w+\.js$/.test(path)
    let numFailed = 0
    await tab.route(
      ({ pathname }) => isPart(pathname),
      async (route) => {
        if (numFailed > 0) return route.fallback()
        numFailed++
        return route.abort('connectionfailed')
      },
    )
    const seen: Record<string, number> = {}
    await tab.exposeFunction('report', (when: string) => {
      seen[when] = loaded.filter(isPart).length
    })
    await tab.goto(url)
    await tab.addScriptTag({ type: 'importmap', content: JSON.stringify({ imports: IMPORTS }) })
    const result = (await tab.evaluate(PROGRAM)) as PageResult
    const [plain, ranked] = result.expected
    expect(result).toEqual({
      expected: result.expected,
      ...{ before: plain, failed: 'MODULE_LOAD', between: plain },
      ...{ together: [ranked, ranked, plain], again: 'number' },
    })
    expect(numFailed).toBe(1)
    expect(seen).toEqual({
      'before the first draw by rank': 0,
      'after a failure': 0,
      'after draws by rank': 1,
    })
    expect(loaded.filter(isPart)).toHaveLength(1)
  })
})
