/** Packs every published package as a release would and checks the result. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkTarball } from './lib/packed-package.mjs'
import { runProgram } from './lib/processes.mjs'
import { runCheck } from './lib/run-check.mjs'
import { listPublishedPackages } from './lib/workspace.mjs'

runCheck(import.meta.url, 'packed packages', checkPackages)

/** @returns {Promise<string[]>} One line per violation. */
async function checkPackages() {
  const folder = mkdtempSync(join(tmpdir(), 'flashsampling-pack-'))
  try {
    /** @type {string[]} */
    const problems = []
    for (const { path, folder: name } of listPublishedPackages()) {
      const target = join(folder, name)
      await runProgram('pnpm', ['pack', '--pack-destination', target], { cwd: path })
      for (const tarball of readdirSync(target)) {
        problems.push(...(await checkTarball(join(target, tarball), join(target, 'unpacked'))))
      }
    }
    return problems
  } finally {
    rmSync(folder, { recursive: true })
  }
}
