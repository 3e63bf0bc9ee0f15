/**
 * A directory that lives as long as the tests of a file.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

let nextNumber = 0

/** Creates a directory now and removes it after the file's tests. */
export function useTemporaryDirectory(): {
  path: string
  /** A path inside it, never given before. */
  file: (name: string) => string
  /** A subdirectory's path, never given before; it does not exist. */
  directory: () => string
} {
  const path = mkdtempSync(join(tmpdir(), 'flashsampling-test-'))
  afterAll(() => rmSync(path, { recursive: true, force: true }))
  return {
    path,
    file: (name) => join(path, `${nextNumber++}-${name}`),
    directory: () => join(path, String(nextNumber++)),
  }
}
