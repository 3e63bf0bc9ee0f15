import { writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { useTemporaryDirectory } from '../../test/temporary-directory.ts'
import { type TinyOptions, tinyModel } from '../../test/tiny-model.ts'
import { type DemoOptions, runDemo } from './run-demo.ts'

const temporary = useTemporaryDirectory()

async function modelFile(options: TinyOptions = {}): Promise<string> {
  const path = temporary.file('tiny.gguf')
  await writeFile(path, tinyModel(options))
  return path
}

async function run(
  model: string,
  options: Partial<DemoOptions> = {},
): Promise<{ out: string; log: string; agrees: boolean }> {
  const output = { out: '', log: '' }
  const agrees = await runDemo(
    {
      prompts: ['hello world'],
      raw: false,
      model,
      seed: 7n,
      maxTokens: 24,
      params: { temperature: 0.5 },
      kernels: 'auto',
      verifyOracle: false,
      ...options,
    },
    {
      out: (text) => {
        output.out += text
      },
      log: (line) => {
        output.log += `${line}\n`
      },
    },
  )
  return { ...output, agrees }
}

/** Texts of a batch without their headings. */
const textsOf = (out: string): string[] => out.split(/^--- .*\n/m).slice(1)

describe('runDemo()', () => {
  it('writes the same text for the same seed and another for another', async () => {
    const model = await modelFile()
    const { out } = await run(model)
    expect(out.length).toBeGreaterThan(5)
    expect((await run(model)).out).toBe(out)
    expect((await run(model, { seed: 8n })).out).not.toBe(out)
  })

  it('writes the same text with every kernel and number of threads', async () => {
    const model = await modelFile()
    const { out } = await run(model, { kernels: 'typescript' })
    expect((await run(model, { kernels: 'wasm', threads: 1 })).out).toBe(out)
    expect((await run(model, { kernels: 'wasm', threads: 2 })).out).toBe(out)
  })

  it('gives each prompt of a batch the text that it has alone under seed + row', async () => {
    const model = await modelFile()
    const prompts = ['hello', 'hello', 'another, longer prompt', 'x']
    const batch = await run(model, {
      prompts,
      params: { temperature: 0.8, repetitionPenalty: 1.3 },
    })
    expect(batch.out).toMatch(/^--- 0, seed 7: hello\n/)
    const texts = textsOf(batch.out)
    expect(new Set(texts).size).toBe(prompts.length)
    for (const [row, prompt] of prompts.entries()) {
      const alone = await run(model, {
        prompts: [prompt],
        seed: 7n + BigInt(row),
        params: { temperature: 0.8, repetitionPenalty: 1.3 },
      })
      expect(alone.out).toBe(texts[row])
    }
  })

  it('wraps the row seeds at 2^64', async () => {
    const model = await modelFile()
    const batch = await run(model, { prompts: ['a', 'a'], seed: 2n ** 64n - 1n })
    expect(textsOf(batch.out)[1]).toBe((await run(model, { prompts: ['a'], seed: 0n })).out)
  })

  const checked: [string, TinyOptions, DemoOptions['params']][] = [
    ['the plain distribution', {}, {}],
    ['greedy choice', {}, { temperature: 0 }],
    ['a head of its own in f16', { headDtype: 'f16', ownHead: true }, { temperature: 0.9 }],
    ['a q4_1 head', { headDtype: 'q4_1' }, { temperature: 0.9 }],
    ['every filter', {}, { temperature: 1.2, topK: 40, topP: 0.9, minP: 0.01 }],
    [
      'every penalty',
      {},
      { repetitionPenalty: 1.2, presencePenalty: 0.3, frequencyPenalty: -0.1, topP: 0.8 },
    ],
  ]
  for (const [what, modelOptions, params] of checked) {
    it(`agrees with the float64 oracle on ${what}`, async () => {
      const { out, agrees } = await run(await modelFile(modelOptions), {
        params,
        prompts: ['hello', 'what'],
        maxTokens: 40,
        verifyOracle: true,
      })
      expect(agrees).toBe(true)
      expect(out).toMatch(
        /\noracle: \d+ tokens checked, 0 differences beyond the stated margin of \S+ nats/,
      )
    })
  }

  it('reports what the draws did not write', async () => {
    const { log } = await run(await modelFile(), {
      prompts: ['a', 'b', 'c'],
      maxTokens: 4,
      params: { temperature: 0.5 },
    })
    const draws = Number(/^text: (\d+) tokens in/m.exec(log)?.[1])
    expect(draws).toBeGreaterThan(0)
    expect(log).toContain(`(265 tokens x 4 bytes x ${draws} draws)`)
    expect(log).toMatch(/tokens\/s/)
    expect(log).toMatch(/head and draw \d+\.\d % .* body \d+\.\d %/)
  })

  it('continues plain text with raw, and lists log-probabilities when asked', async () => {
    const model = await modelFile()
    const raw = await run(model, { raw: true })
    expect(raw.out).not.toBe((await run(model)).out)
    const { out } = await run(model, { maxTokens: 3, params: { temperature: 0.5, logprobs: 2 } })
    const lines = out.slice(out.indexOf('row step token logprob')).trimEnd().split('\n').slice(1)
    expect(lines.length).toBeGreaterThanOrEqual(1)
    for (const line of lines) expect(line).toMatch(/^0 \d ".*" -\d+\.\d{3}; ".*" -\d\S*, ".*" -\d/)
  })

  it('refuses wrong values before it opens the model', async () => {
    const refusals: [Partial<DemoOptions>, RegExp][] = [
      [{ params: { temperature: -1 } }, /"temperature" must be >= 0: current value is -1/],
      [{ params: { topP: 1.5 } }, /"topP" must be from 0 to 1/],
      [{ seed: -1n }, /"seed" must be from 0 to 2\^64 - 1/],
      [{ maxTokens: 0 }, /"maxTokens" must be a whole number >= 1/],
      [{ threads: 0 }, /"threads" must be a whole number from 1/],
    ]
    for (const [options, message] of refusals) {
      await expect(run('/no/such/model.gguf', options)).rejects.toThrow(message)
    }
  })

  it('refuses prompts that are empty or exceed the context', async () => {
    const model = await modelFile()
    await expect(run(model, { raw: true, prompts: [''] })).rejects.toThrow(/"prompt" is empty/)
    await expect(run(model, { maxTokens: 250 })).rejects.toThrow(
      /exceed the 256 tokens.*lower "maxTokens"/,
    )
  })
})
