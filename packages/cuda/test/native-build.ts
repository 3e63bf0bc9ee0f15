/** What `npm run build:native` left behind. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, it } from 'vitest'

const folder = new URL('../', import.meta.url)

/** Why there are no native binaries to test; undefined where there are. */
const missingBuild: string | undefined = readReason()

/**
 * A suite that needs the native binaries: without them, one test that says why it is skipped.
 *
 * @param title - Of the suite.
 * @param body - Its tests.
 */
export function describeNative(title: string, body: () => void): void {
  describe(title, () => {
    if (missingBuild === undefined) body()
    else it('needs the native build', ({ skip }) => skip(missingBuild?.split('\n')[0]))
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

function readReason(): string | undefined {
  const file = new URL('build/native/status.json', folder)
  if (!existsSync(file)) return 'the native code was not compiled, run npm run build:native'
  const status: { built: boolean; reason?: string } = JSON.parse(readFileSync(file, 'utf8'))
  return status.built ? undefined : (status.reason ?? 'the native code could not be compiled')
}
