import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'

/**
 * Writes files into a new temporary folder, which is removed when the running test ends.
 *
 * @param {Record<string, string | object>} files - Content by relative path; objects are written as JSON.
 * @returns {string} Absolute path of the folder.
 */
export function makeTemporaryTree(files) {
  const root = mkdtempSync(join(tmpdir(), 'flashsampling-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  for (const [name, content] of Object.entries(files)) {
    const file = join(root, name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  }
  return root
}
