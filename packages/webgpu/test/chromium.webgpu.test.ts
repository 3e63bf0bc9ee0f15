import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { beforeEach, describe, expect, it } from 'vitest'
import { CHECKS, type SuiteOptions, type SuiteResult } from './device/suites.ts'
import { buildPrograms } from './support/run-in-child.ts'
import { CHROMIUM } from './support/swiftshader.ts'

const bundle = fileURLToPath(new URL('../build/device/suites.mjs', import.meta.url))
const page = '<!doctype html><title>FlashSampling</title><link rel="icon" href="data:,">'
const SOFTWARE_GPU = [
  ...['--no-sandbox', '--no-first-run', '--disable-background-networking'],
  ...['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'],
]

/** Runs suites in a page of a new browser. */
async function runInPage(all: readonly SuiteOptions[]): Promise<SuiteResult[]> {
  await buildPrograms()
  const server = createServer((request, response) => {
    const isBundle = request.url === '/suites.mjs'
    response.writeHead(200, { 'content-type': isBundle ? 'text/javascript' : 'text/html' })
    response.end(isBundle ? readFileSync(bundle) : page)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: SOFTWARE_GPU })
  try {
    const tab = await browser.newPage()
    await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    // Text, so that no helper of the test's compiler slips into the page.
    return (await tab.evaluate(`(async () => {
      const { runSuite } = await import('/suites.mjs')
      const results = []
      for (const options of ${JSON.stringify(all)}) {
        await runSuite(options, (result) => results.push(result))
      }
      return results
    })()`)) as SuiteResult[]
  } finally {
    await browser.close()
    server.close()
  }
}

describe('in Chromium on SwiftShader', () => {
  beforeEach(({ skip }) => {
    skip(CHROMIUM === '', 'no Chromium found; install it or set FLASHSAMPLING_CHROMIUM to its path')
  })

  it('passes the conformance kit and the checks', { timeout: 600_000 }, async () => {
    // Twenty thousand draws take long in a page and show nothing that Node does not.
    const results = await runInPage([
      { suite: 'conformance', quick: true },
      {
        suite: 'checks',
        skip: CHECKS.flatMap(({ name }) => (name.startsWith('cpu:') ? [name] : [])),
      },
    ])
    expect(results.filter(({ status }) => status === 'failed')).toEqual([])
    expect(results.filter(({ status }) => status === 'passed').length).toBeGreaterThan(60)
  })
})
