import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { beforeEach, describe, expect, it } from 'vitest'
import type { ConformanceReport } from '../src/index.ts'

// The built package, as a page would load it: its files, no bundler.
const dist = fileURLToPath(new URL('../dist', import.meta.url))
const page = '<!doctype html><title>FlashSampling</title><link rel="icon" href="data:,">'

const candidates = [
  process.env.FLASHSAMPLING_CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
]
const executablePath = candidates.find((path) => path !== undefined && existsSync(path))

interface PageResult {
  isolated: boolean
  conformance: Record<string, ConformanceReport>
  tokens: Record<string, number[]>
}

/** Serves the page and the package on loopback, isolated or not, and runs the suite in the page. */
async function runInPage(isIsolated: boolean): Promise<PageResult> {
  const isolation: Record<string, string> = isIsolated
    ? {
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-embedder-policy': 'require-corp',
      }
    : {}
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url as string, 'http://127.0.0.1')
    const isScript = pathname.endsWith('.js')
    response.writeHead(200, {
      'content-type': isScript ? 'text/javascript' : 'text/html',
      ...isolation,
    })
    response.end(isScript ? readFileSync(join(dist, pathname)) : page)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const browser = await chromium.launch({
    executablePath: executablePath as string,
    // Its default of 30 s is a slow start on a busy machine; what takes this long hangs.
    timeout: 180_000,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
  })
  try {
    const tab = await browser.newPage()
    tab.setDefaultTimeout(180_000)
    await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    // Text, so that no helper of the test's compiler slips into the page.
    return (await tab.evaluate(`(async () => {
      const core = await import('/index.js')
      const conformance = {}
      const tokens = {}
      const setups = [{ kernels: 'typescript' }, { kernels: 'wasm', threads: 1 }]
      if (crossOriginIsolated) setups.push({ kernels: 'wasm', threads: 2 })
      const { lmHead, hiddenStates } = core.makeCase({ seed: 8n, vocabSize: 1009, hiddenSize: 64, batchSize: 5 })
      for (const setup of setups) {
        const name = JSON.stringify(setup)
        const backend = core.createCpuBackend(setup)
        conformance[name] = await core.runConformance(backend)
        const sampler = await core.createSampler({ lmHead, backend })
        const { tokenIds } = await sampler.sample({ hiddenStates, params: { seed: 9n, topP: 0.9 } })
        tokens[name] = [...tokenIds]
        await sampler.dispose()
      }
      return { isolated: crossOriginIsolated, conformance, tokens }
    })()`)) as PageResult
  } finally {
    await browser.close()
    server.close()
  }
}

describe('@flashsampling/core in Chromium', () => {
  beforeEach(({ skip }) => {
    const reason = 'no Chromium found; install it or set FLASHSAMPLING_CHROMIUM to its path'
    skip(executablePath === undefined, reason)
  })

  it.each([
    ['cross-origin isolated page, with worker threads', true, 3],
    ['plain page, on one thread', false, 2],
  ])('passes the conformance kit unchanged: %s', async (_name, isIsolated, numSetups) => {
    const { isolated, conformance, tokens } = await runInPage(isIsolated)
    expect(isolated).toBe(isIsolated)
    expect(Object.keys(conformance)).toHaveLength(numSetups)
    for (const [setup, report] of Object.entries(conformance)) {
      const failures = report.cases.filter((result) => result.status === 'failed')
      expect(failures, setup).toEqual([])
      expect(report.passed, setup).toBeGreaterThan(10)
    }
    const [first, ...others] = Object.values(tokens)
    for (const other of others) expect(other).toEqual(first)
  })
})
