import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import { build } from 'tsup'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { NO_CHROMIUM, openBrowser, type SoftwareBrowser } from '../support/software-browser.ts'
import { CHROMIUM } from '../support/swiftshader.ts'
import type { Generated, GenerateOptions } from './page/generate.ts'
import type { Refusal } from './page/refusals.ts'

const packageFolder = fileURLToPath(new URL('../..', import.meta.url))
const outDir = join(packageFolder, 'build/onnx')
const runtimeFolder = dirname(createRequire(import.meta.url).resolve('onnxruntime-web/webgpu'))

/** Files of the runtime and of the program. */
function fileOf(path: string): string | null {
  const [, folder, name = ''] = path.split('/')
  if (folder === 'ort') return join(runtimeFolder, name)
  return folder === 'build' ? join(outDir, name) : null
}

let opened: SoftwareBrowser
let tab: Page

beforeAll(async () => {
  if (CHROMIUM === '') return
  await build({
    entry: { page: 'test/onnx/page/index.ts' },
    config: false,
    outDir,
    format: 'esm',
    target: 'es2022',
    platform: 'neutral',
    silent: true,
    splitting: false,
    noExternal: [/./],
    outExtension: () => ({ js: '.mjs' }),
    esbuildOptions(options) {
      options.absWorkingDir = packageFolder
      options.conditions = ['@flashsampling/source']
    },
  })
  opened = await openBrowser(fileOf)
  tab = await openTab()
}, 120_000)

/** A page with onnxruntime-web and the program, and nothing done yet. */
async function openTab(bundle = 'ort.webgpu.bundle.min.mjs'): Promise<Page> {
  const page = await opened.browser.newPage()
  await page.goto(opened.url)
  // Text, so that no helper of the test's compiler slips into the page.
  await page.evaluate(`(async () => {
    globalThis.ort = await import('/ort/${bundle}')
    ort.env.wasm.wasmPaths = '/ort/'
    ort.env.wasm.numThreads = 1
    ort.env.logLevel = 'error'
    globalThis.program = await import('/build/page.mjs')
    const adapter = await navigator.gpu.requestAdapter()
    globalThis.hasF16 = adapter.features.has('shader-f16')
  })()`)
  return page
}

afterAll(async () => {
  await opened?.close()
})

beforeEach(({ skip }) => {
  skip(CHROMIUM === '', NO_CHROMIUM)
})

function generate(options: GenerateOptions, page = tab): Promise<Generated> {
  return page.evaluate(`program.generate(ort, ${JSON.stringify(options)})`)
}

/** Rounding of two ways to sum 64 products, nats; a smaller lead of a token says nothing. */
const ROUNDING = 1e-4

/** Two sequences of unequal length; two of equal length; one. */
const window = {
  body: 'window',
  prompts: [
    [3, 1, 4],
    [15, 92, 65, 35, 89],
  ],
  numSteps: 6,
} as const
const cached = {
  body: 'cached',
  prompts: [
    [27, 18],
    [31, 41],
  ],
  numSteps: 8,
} as const
const single = { body: 'cached', prompts: [[161]], numSteps: 12 } as const

const CASES: [string, GenerateOptions][] = [
  ['whole sequences, f32 head', { ...window, head: 'f32', params: {} }],
  [
    'whole sequences, head tied to the embedding',
    { ...window, head: 'tied', params: { temperature: 0 } },
  ],
  [
    'whole sequences, MatMulNBits of 8 bits, filters and penalties',
    {
      ...window,
      head: 'nbits8',
      params: {
        ...{ temperature: 0.9, topK: 40, topP: 0.9, minP: 0.02, repetitionPenalty: 1.2 },
        ...{ presencePenalty: 0.1, frequencyPenalty: 0.2, logitBias: { 7: 1.5, 8: -2 } },
      },
    },
  ],
  [
    'keys and values kept, f16 weights',
    { ...cached, head: 'f16-cast', params: { temperature: 1.3 } },
  ],
  [
    'keys and values kept, MatMulNBits of 4 bits with zero points',
    { ...single, head: 'nbits4', params: { temperature: 0.8, topP: 0.95 } },
  ],
  [
    'logits that are half of the product',
    { ...window, head: 'f32', end: 'scaled', params: { temperature: 0.7 } },
  ],
  [
    'keys and values kept, MatMulNBits of 4 bits with zero points and a bias',
    { ...cached, head: 'nbits4', end: 'biased', params: {} },
  ],
]

describe('onnxruntime-web in Chromium on SwiftShader', () => {
  it.each(CASES)('generates the tokens of the oracle: %s', async (_, options) => {
    const { fused, onGpu, fromLogits, oracle, margin } = await generate(options)
    expect(oracle.flat()).toHaveLength(options.prompts.length * options.numSteps)
    expect(margin).toBeGreaterThan(ROUNDING)
    expect(fused).toEqual(oracle)
    expect(fromLogits).toEqual(oracle)
    if (options.body === 'cached') expect(onGpu).toEqual(oracle)
  })

  it('generates the tokens of the oracle: f16 hidden states and weights', async ({ skip }) => {
    const hasF16 = await tab.evaluate<boolean>(`hasF16`)
    skip(!hasF16, 'the device has no shader-f16, which onnxruntime-web needs for float16')
    const { fused, fromLogits, oracle } = await generate({ ...window, head: 'f16', params: {} })
    expect(fused).toEqual(oracle)
    expect(fromLogits).toEqual(oracle)
  })

  it('names what is wrong with a tensor, and goes on', async () => {
    const found = await tab.evaluate<Record<string, Refusal>>('program.refusals(ort)')
    const codes = Object.entries(found).map(([name, { code }]) => [name, code])
    expect(Object.fromEntries(codes)).toEqual({
      good: 'accepted',
      cpu: 'UNSUPPORTED_TENSOR',
      foreign: 'WEBGPU_ERROR',
      nan: 'INVALID_LOGITS',
      'nan, unread': 'RangeError',
      'two draws': 'RangeError',
      'too many params': 'RangeError',
      disposed: 'DISPOSED',
    })
    expect(found['nan, unread']!.message).toBe('token -1')
    const tokens = Object.values(found).map(({ tokenAfter }) => tokenAfter)
    expect(new Set(tokens).size).toBe(1)
  })

  it('draws on a device that the page made for the session', async () => {
    const own = await openTab()
    const result = await own.evaluate<{ drawn: number; highest: number }>(
      'program.drawOnOwnDevice(ort)',
    )
    expect(result.drawn).toBe(result.highest)
    expect(result.highest).toBeGreaterThan(0)
  })

  it('works with the older WebGPU backend of the runtime too', async () => {
    const older = await openTab('ort.bundle.min.mjs')
    const { fused, onGpu, fromLogits, oracle } = await generate(
      { ...single, head: 'nbits4', params: {} },
      older,
    )
    expect(fused).toEqual(oracle)
    expect(onGpu).toEqual(oracle)
    expect(fromLogits).toEqual(oracle)
  })
})
