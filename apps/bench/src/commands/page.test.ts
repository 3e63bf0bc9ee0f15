import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { useTemporaryDirectory } from '../../test/temporary-directory.ts'
import { tinyModel } from '../../test/tiny-model.ts'

// The built command line, as users start it.
const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))
const temporary = useTemporaryDirectory()

/** Starts the command; `output` grows while it runs. */
function start(...args: string[]): { child: ChildProcess; output: () => string } {
  const child = spawn(process.execPath, [cli, 'page', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8')
    stream?.on('data', (text: string) => {
      output += text
    })
  }
  return { child, output: () => output }
}

/** Runs the command to its end. */
async function run(...args: string[]): Promise<{ exitCode: number; output: string }> {
  const { child, output } = start(...args)
  const [exitCode] = (await once(child, 'close')) as [number]
  return { exitCode, output: output() }
}

describe('page', () => {
  it('serves the built page and the model until Ctrl-C, exit code 0', async () => {
    const model = temporary.file('tiny.gguf')
    await writeFile(model, tinyModel())
    const { child, output } = start('--port', '0', '--model', model)
    const closed = once(child, 'close')
    await expect
      // A second where nothing else runs; what takes this long hangs.
      .poll(output, { timeout: 200_000 })
      .toMatch(/^The page is at http:\/\/127\.0\.0\.1:\d+\/ /)
    const url = /http:\S+/.exec(output())?.[0] as string
    expect(await (await fetch(url)).text()).toContain('FlashSampling in the browser')
    expect(await (await fetch(new URL('model.json', url))).json()).toEqual({
      name: model.split('/').at(-1),
      byteLength: tinyModel().byteLength,
    })
    child.kill('SIGINT')
    expect(await closed).toEqual([0, null])
  })

  it.each([
    ['a port that is none', ['--port', '99999'], 1, /"port" must be .* 99999/],
    ['a model that is not there', ['--model', '/nowhere.gguf'], 1, /no such file/],
    ['an unknown option', ['--prot', '1'], 2, /unknown option '--prot'/],
  ] as const)('refuses %s', async (_, args, exitCode, message) => {
    const result = await run('--no-model', ...args)
    expect(result.output).toMatch(message)
    expect(result.exitCode).toBe(exitCode)
  })
})
