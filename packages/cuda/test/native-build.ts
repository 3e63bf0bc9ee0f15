/** What `npm run build:native` left behind. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, it } from 'vitest'

const folder = new URL('../', import.meta.url)

/** What the build wrote: it may have been left out for a reason, which skips tests, or have failed. */
interface BuildStatus {
  built: boolean
  reason?: string
  failure?: string
}

const status = readStatus()

/**
 * A suite that needs the native binaries: where they could not be built, one test that says why it is skipped.
 *
 * @param title - Of the suite.
 * @param body - Its tests.
 */
export function describeNative(title: string, body: () => void): void {
  describe(title, () => {
    if (status.built) body()
    else {
      it('needs the native build', ({ skip }) => {
        if (status.failure !== undefined) throw new Error(status.failure)
        skip(status.reason?.split('\n')[0])
      })
    }
  })
}

/**
 * Path of a program of `test/abi`, compiled with the library.
 *
 * @param name - Without extension.
 */
export function testProgram(name: string): string {
  return fileURLToPath(new URL(`build/native/test/${name}`, folder))
}

function readStatus(): BuildStatus {
  const file = new URL('build/native/status.json', folder)
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'))
  return { built: false, reason: 'the native code was not compiled, run npm run build:native' }
}
