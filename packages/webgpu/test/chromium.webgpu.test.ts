import { fileURLToPath } from 'node:url'
import { beforeEach, describe, expect, it } from 'vitest'
import { CHECKS, type SuiteOptions, type SuiteResult } from './device/suites.ts'
import { buildPrograms } from './support/run-in-child.ts'
import { NO_CHROMIUM, openBrowser } from './support/software-browser.ts'
import { CHROMIUM } from './support/swiftshader.ts'

const bundle = fileURLToPath(new URL('../build/device/suites.mjs', import.meta.url))

/** Runs suites in a page of a new browser. */
async function runInPage(all: readonly SuiteOptions[]): Promise<SuiteResult[]> {
  await buildPrograms()
  const { browser, url, close } = await openBrowser((path) =>
    path === '/suites.mjs' ? bundle : null,
  )
  try {
    const tab = await browser.newPage()
    await tab.goto(url)
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
    await close()
  }
}

describe('in Chromium on SwiftShader', () => {
  beforeEach(({ skip }) => {
    skip(CHROMIUM === '', NO_CHROMIUM)
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
