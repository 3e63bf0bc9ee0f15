import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Backend, createCpuBackend } from '@flashsampling/core'
import { afterAll, describe, expect, it } from 'vitest'
import { openBackends } from './backends.ts'
import { textTable } from './render.ts'
import type { VerifyReport } from './report.ts'
import { type VerifyFlags, type VerifySurroundings, verify } from './verify.ts'

const folder = await mkdtemp(join(tmpdir(), 'verify-'))
afterAll(() => rm(folder, { recursive: true }))

const quiet = { write: () => true }

async function run(
  flags: VerifyFlags,
  surroundings: VerifySurroundings = {},
): Promise<{ passed: boolean; text: string }> {
  let text = ''
  const output = { write: (part: string) => (text += part) }
  const passed = await verify(flags, { output, progress: quiet, ...surroundings })
  return { passed, text }
}

/** The CPU backend with every token moved to its neighbour. */
function brokenBackend(): Backend {
  const backend = createCpuBackend({ threads: 1 })
  return {
    name: 'broken',
    capabilities: backend.capabilities,
    async createSession(options) {
      const session = await backend.createSession(options)
      return {
        async sample(batch) {
          const result = await session.sample(batch)
          return { ...result, tokenIds: result.tokenIds.map((tokenId) => tokenId ^ 1) }
        },
        dispose: () => session.dispose(),
      }
    },
  }
}

describe('verify()', () => {
  it('checks every backend and prints one row a case and test', async () => {
    const { passed, text } = await run({ quick: true, draws: 4096, only: 'flat' })
    expect(passed).toBe(true)
    expect(text).toMatch(/^case +cpu wasm x1 +cpu wasm x\d+ +cpu typescript +compared +within /m)
    expect(text).toMatch(/^edges: filters nearly flat rows exactly +pass +pass +pass +85 +\d+ +0 /m)
    expect(text).toMatch(
      /^frequencies: follow the softmax of nearly flat logits( +0\.\d{3}){3} +4096$/m,
    )
    expect(text).toMatch(/^6 passed, 0 failed, 0 skipped\.$/m)
  })

  it('fails when a backend draws wrong tokens, and says which case and why', async () => {
    const backends = [
      { name: 'good', backend: createCpuBackend({ threads: 1 }) },
      { name: 'bad', backend: brokenBackend() },
    ]
    const { passed, text } = await run({ quick: true, draws: 4096, only: 'steep' }, { backends })
    expect(passed).toBe(false)
    expect(text).toMatch(
      /^frequencies: follow the softmax of steep logits +0\.\d{3} +FAIL \S+ +4096$/m,
    )
    expect(text).toMatch(/bad: frequencies: follow the softmax of steep logits\n {4}p = /)

    const ties = await run({ quick: true, draws: 4096, only: 'ties' }, { backends })
    expect(ties.passed).toBe(false)
    expect(ties.text).toMatch(/^ties: gives the lowest token id .* pass +FAIL /m)
    expect(ties.text).toMatch(
      /bad: ties: gives the lowest token id .*\n {4}tokens of 1 shards: expected \[/,
    )
  })

  it('says why a backend is not available, and that none is', async () => {
    const missing = { name: 'gpu', backend: null, reason: 'no driver' }
    const good = { name: 'good', backend: createCpuBackend({ threads: 1 }) }
    const { passed, text } = await run(
      { quick: true, draws: 4096, only: 'golden' },
      { backends: [missing, good] },
    )
    expect(passed).toBe(true)
    expect(text).toContain('gpu: not available: no driver')
    expect(text).toMatch(/^2 passed, 0 failed, 1 skipped\.$/m)
  })

  it('writes everything that it found as JSON', async () => {
    const json = join(folder, 'report.json')
    const backends = [{ name: 'good', backend: createCpuBackend({ threads: 1 }) }]
    await run({ quick: true, draws: 4096, only: 'minP', json }, { backends })
    const report = JSON.parse(await readFile(json, 'utf8')) as VerifyReport
    expect(report).toMatchObject({ schema: 1, quick: true, draws: 4096 })
    expect(report.backends[0]?.conformance?.cases.map((result) => result.status)).toEqual([
      'passed',
      'passed',
      'passed',
    ])
    expect(report.backends[0]?.statistics?.tests[0]?.pValue).toBeGreaterThan(0.001)
  })

  it('rejects numbers of draws, files and filters that cannot work', async () => {
    await expect(run({ draws: 5 })).rejects.toThrow(
      'Cannot verify as "--draws" must be a whole number >= 1024: current value is 5',
    )
    await expect(run({ json: join(folder, 'missing', 'report.json') })).rejects.toThrow(
      /^Cannot write the report to .*missing.*ENOENT/,
    )
    await expect(run({ only: 'no such check' })).rejects.toThrow(
      'Cannot verify as no check that applies has "no such check" in its name: choose another text for --only',
    )
  })
})

describe('openBackends()', () => {
  it('opens both kernels and at least two thread counts', () => {
    const backends = openBackends()
    expect(backends.map(({ name }) => name)).toEqual([
      'cpu wasm x1',
      expect.stringMatching(/^cpu wasm x[2-8]$/),
      'cpu typescript',
    ])
    for (const { backend } of backends) expect(backend?.name).toBe('cpu')
  })
})

describe('textTable()', () => {
  it('aligns the first column to the left and the others to the right', () => {
    expect(
      textTable(
        ['case', 'n'],
        [
          ['a', '1'],
          ['long name', '22'],
        ],
      ),
    ).toBe('case        n\n---------  --\na           1\nlong name  22\n')
  })
})
