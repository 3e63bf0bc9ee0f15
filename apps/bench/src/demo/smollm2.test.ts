import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { cacheDirectoryPath } from './cache-directory.ts'
import { SMOLLM2 } from './model-package.ts'
import { type DemoOptions, runDemo } from './run-demo.ts'

const path = join(cacheDirectoryPath(), SMOLLM2.model.fileName)
const reason = existsSync(path) ? '' : ` (skipped: ${path} is not there, "npm run demo" fetches it)`

describe.skipIf(reason !== '')(`SmolLM2-135M-Instruct${reason}`, () => {
  async function run(options: Partial<DemoOptions>): Promise<string> {
    let out = ''
    const agrees = await runDemo(
      {
        prompts: ['What is the capital of France?'],
        raw: false,
        model: path,
        seed: 1n,
        maxTokens: 16,
        params: { temperature: 0 },
        kernels: 'auto',
        verifyOracle: true,
        ...options,
      },
      {
        out: (text) => {
          out += text
        },
        log: () => {},
      },
    )
    expect(agrees).toBe(true)
    return out
  }

  it('knows the capital of France, as the oracle does', async () => {
    const out = await run({})
    expect(out).toMatch(/^The capital of France is Paris\./)
    expect(out).toMatch(/oracle: \d+ tokens checked, 0 differences/)
  })

  it('draws the same text with plain TypeScript kernels', async () => {
    const options = {
      maxTokens: 8,
      params: { temperature: 0.9, topP: 0.95 },
      raw: true,
      prompts: ['Once upon a time'],
    }
    expect(await run({ ...options, kernels: 'typescript' })).toBe(await run(options))
  })
})
