import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { useTemporaryDirectory } from '../../test/temporary-directory.ts'
import { tinyModel } from '../../test/tiny-model.ts'
import { runProgram } from '../ui/run-program.ts'
import { createDemoCommand } from './demo.ts'

const temporary = useTemporaryDirectory()
let stdout = ''
let stderr = ''

beforeEach(() => {
  stdout = ''
  stderr = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += text
    return true
  })
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    stderr += text
    return true
  })
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
})

/** Runs the command line as the executable does; returns its exit code. */
async function demo(...args: string[]): Promise<number> {
  const program = new Command('flashsampling-bench').addCommand(createDemoCommand())
  const exitCode = await runProgram(program, ['demo', ...args])
  process.exitCode = undefined
  return exitCode
}

async function tinyFile(bytes: Uint8Array = tinyModel()): Promise<string> {
  const path = temporary.file('tiny.gguf')
  await writeFile(path, bytes)
  return path
}

describe('demo', () => {
  it('writes text to stdout and everything else to stderr, exit code 0', async () => {
    const model = await tinyFile()
    const options = ['--model', model, '--prompt', 'hi', '-n', '12', '--temperature', '0.5']
    expect(await demo(...options)).toBe(0)
    const text = stdout
    expect(text).not.toBe('')
    expect(text).not.toMatch(/tokens\/s/)
    expect(stderr).toMatch(/tokens\/s[\s\S]*logits never written/)
    stdout = ''
    expect(await demo(...options, '--verify-oracle')).toBe(0)
    expect(stdout.startsWith(text)).toBe(true)
    expect(stdout).toMatch(/oracle: \d+ tokens checked, 0 differences/)
  })

  it('serves several prompts in one batch', async () => {
    expect(await demo('-m', await tinyFile(), '-p', 'a', '-p', 'b', '-n', '3', '-s', '0x10')).toBe(
      0,
    )
    expect(stdout).toMatch(/^--- 0, seed 16: a\n[\s\S]*\n--- 1, seed 17: b\n/)
  })

  const usageErrors: [string, string[], RegExp][] = [
    [
      'an unknown option',
      ['--temprature', '1'],
      /unknown option '--temprature'\n\(Did you mean --temperature\?\)/,
    ],
    [
      'a number that is none',
      ['--top-k', 'many'],
      /argument 'many' is invalid\. It must be a number/,
    ],
    [
      'a seed that is no whole number',
      ['--seed', '1.5'],
      /'1\.5' is invalid\. It must be a whole number/,
    ],
    ['an unknown choice', ['--kernels', 'gpu'], /Allowed choices are auto, wasm, typescript/],
    ['a stray argument', ['hello'], /too many arguments/],
  ]
  for (const [what, args, message] of usageErrors) {
    it(`explains ${what}, exit code 2`, async () => {
      expect(await demo(...args)).toBe(2)
      expect(stderr).toMatch(message)
      expect(stderr).toMatch(/--help lists/)
      expect(stdout).toBe('')
    })
  }

  it('explains values out of range and unusable models in one line, exit code 1', async () => {
    const truncated = await tinyFile(tinyModel().subarray(0, 20_000))
    const cases: [string[], RegExp][] = [
      [['--temperature', '-1'], /^error: .*"temperature" must be >= 0: current value is -1\n$/],
      [['--max-tokens', '0'], /^error: .*"maxTokens" must be a whole number >= 1.*\n$/],
      [['--seed', '-1'], /^error: .*"seed" must be from 0 to 2\^64 - 1.*\n$/],
      [['--model', '/no/such.gguf'], /^error: .*there is no such file: check the path\n$/],
      [['--model', truncated], /^error: .*is truncated .*fetch the file again\n$/],
    ]
    for (const [args, message] of cases) {
      stderr = ''
      expect(await demo(...args)).toBe(1)
      expect(stderr).toMatch(message)
    }
  })

  it('explains a missing Python, exit code 1', async () => {
    vi.stubEnv('PATH', temporary.directory())
    vi.stubEnv('FLASHSAMPLING_CACHE_DIR', temporary.directory())
    expect(await demo()).toBe(1)
    expect(stderr).toMatch(/^error: .*Python was not found.*install Python 3 with pip/)
  })

  it('shows stack traces only with FLASHSAMPLING_DEBUG', async () => {
    const missing = join(temporary.path, 'missing.gguf')
    await demo('--model', missing)
    expect(stderr).not.toMatch(/^\s+at /m)
    vi.stubEnv('FLASHSAMPLING_DEBUG', '1')
    await demo('--model', missing)
    expect(stderr).toMatch(/^\s+at /m)
    expect(stderr).toMatch(/caused by: Error: ENOENT/)
  })

  it('prints help with exit code 0', async () => {
    expect(await demo('--help')).toBe(0)
    expect(stdout).toMatch(/--verify-oracle/)
    expect(stdout).toMatch(/FLASHSAMPLING_CACHE_DIR/)
  })
})
