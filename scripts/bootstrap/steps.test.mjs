import { describe, expect, test } from 'vitest'
import { explainNetwork } from './network.mjs'
import { runInherited, runStep, StepFailedError } from './steps.mjs'

const node = process.execPath

describe('runStep()', () => {
  test('returns standard output and hands arguments over as they are', async () => {
    const args = ['-p', 'process.argv.slice(1).join("|")', '$HOME "quoted"', "it's; `x` *"]
    expect(await runStep('list', node, args, process.env)).toBe('$HOME "quoted"|it\'s; `x` *\n')
  })

  test('rejects with the exit code, all output and the remedy', async () => {
    const script = 'console.log("to stdout"); console.error("to stderr"); process.exit(3)'
    const failure = runStep('fail', node, ['-e', script], process.env, () => 'the remedy')
    const error = await failure.catch((e) => e)
    expect(error).toBeInstanceOf(StepFailedError)
    expect(error.exitCode).toBe(3)
    for (const part of ['to stdout', 'to stderr', 'exit code 3', 'the remedy']) {
      expect(error.message).toContain(part)
    }
  })

  test('rejects when the program does not exist', async () => {
    const failure = runStep('start', 'flashsampling-no-such-program', [], process.env)
    await expect(failure).rejects.toThrow('Cannot start "flashsampling-no-such-program"')
  })
})

describe('runInherited()', () => {
  test('returns the exit code, and 128 + n where signal n ended the program', async () => {
    expect(await runInherited(node, ['-e', 'process.exit(7)'], process.env)).toBe(7)
    const kill = 'process.kill(process.pid, "SIGTERM"); setTimeout(() => {}, 5000)'
    expect(await runInherited(node, ['-e', kill], process.env)).toBe(143)
  })
})

describe('explainNetwork()', () => {
  test.each([
    'npm error code ENOTFOUND',
    'npm error network request to a registry failed, reason: connect ECONNREFUSED 127.0.0.1:9',
    'getaddrinfo EAI_AGAIN registry',
    'Error: ERR_PNPM_META_FETCH_FAIL',
  ])('recognises: %s', (output) => {
    expect(explainNetwork(output)).toContain('the npm registry must be reachable')
  })

  test('leaves other failures alone', () => {
    expect(explainNetwork('ERR_PNPM_OUTDATED_LOCKFILE')).toBeUndefined()
  })
})
