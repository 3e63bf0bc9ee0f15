import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * Runs a check when its module is the program's entry, and does nothing when a test imports it.
 *
 * @param {string} moduleUrl - `import.meta.url` of the check.
 * @param {string} name - What is checked, for the report.
 * @param {() => string[] | Promise<string[]>} check - Returns one line per violation.
 */
export function runCheck(moduleUrl, name, check) {
  if (process.argv[1] === undefined) return
  if (realpathSync(process.argv[1]) !== fileURLToPath(moduleUrl)) return
  // The check's module is evaluated to its end first, so that its constants exist.
  queueMicrotask(async () => {
    const problems = await check()
    for (const problem of problems) console.error(problem)
    if (problems.length > 0) process.exitCode = 1
    console.log(
      `${name}: ${problems.length === 0 ? 'no violations' : `${problems.length} violations`}`,
    )
  })
}
