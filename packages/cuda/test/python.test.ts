/** The Python sides of the package on a machine without a GPU: the ctypes binding, the oracle of the device checks. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const FOLDERS = ['python/flashsampling_cuda', 'python/tests', 'test/device']

/** Parses every file of the folders that it is given, also those that need PyTorch or a GPU to run. */
const PARSE = `
import ast, pathlib, sys
files = [file for folder in sys.argv[1:] for file in pathlib.Path(folder).glob("*.py")]
for file in files:
    ast.parse(file.read_text(), str(file))
print(len(files))
`

function python(...args: string[]): { error?: Error; status: number | null; output: string } {
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1' }
  const result = spawnSync('python3', args, { cwd: root, encoding: 'utf8', env })
  const { error, status, stdout, stderr } = result
  return { ...(error && { error }), status, output: `${stdout}${stderr}` }
}

/** Why nothing can run here. */
const obstacle = ((): string | undefined => {
  const { error, status } = python('-c', 'import sys; sys.exit(sys.version_info < (3, 10))')
  if (error !== undefined) return 'python3 is not installed'
  return status === 0 ? undefined : 'python3 is older than 3.10'
})()

describe('the Python sources', () => {
  it('have the structs and enums of flashsampling.h', ({ skip }) => {
    skip(obstacle !== undefined, obstacle)
    expectTests('python/tests', 9)
  })

  it('hold the oracle of the device checks against the fixtures', ({ skip }) => {
    skip(obstacle !== undefined, obstacle)
    expectTests('test/device', 10)
  })

  it('parse, also those that need a GPU', ({ skip }) => {
    skip(obstacle !== undefined, obstacle)
    const { status, output } = python('-c', PARSE, ...FOLDERS)
    expect(output).toMatch(/^\d+\n$/)
    expect(status).toBe(0)
    expect(Number(output)).toBeGreaterThan(15)
  })
})

function expectTests(folder: string, least: number): void {
  const { status, output } = python('-m', 'unittest', 'discover', '-s', folder)
  expect(status, output).toBe(0)
  const [, run = '0'] = /^Ran (\d+) tests/m.exec(output) ?? []
  const [, skipped = '0'] = /skipped=(\d+)/.exec(output) ?? []
  expect(Number(run) - Number(skipped), output).toBeGreaterThanOrEqual(least)
}
