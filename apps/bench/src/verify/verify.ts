/**
 * The work behind the command `verify`: checks values, runs, prints and writes.
 *
 * @module
 */
import { writeFile } from 'node:fs/promises'
import type { ProgressStream } from '../ui/progress.ts'
import { messageOf, UserError } from '../ui/user-error.ts'
import { openBackends, type VerifiedBackend } from './backends.ts'
import { renderVerifyReport } from './render.ts'
import { totalsOf } from './report.ts'
import { runVerify } from './run-verify.ts'

/** Draws of each test in a full run and in a quick one. */
export const DRAWS = { full: 2 ** 20, quick: 2 ** 16 } as const

/** Options of the command line, as commander gives them. */
export interface VerifyFlags {
  quick?: true
  draws?: number
  only?: string
  json?: string
}

/** Where {@link verify} looks and writes. */
export interface VerifySurroundings {
  /** What to check. @defaultValue every backend of this machine */
  backends?: readonly VerifiedBackend[] | undefined
  /** Where tables are written. @defaultValue process.stdout */
  output?: { write(text: string): unknown } | undefined
  /** Where progress is drawn. @defaultValue process.stderr */
  progress?: ProgressStream | undefined
}

/**
 * Checks backends and prints what was found.
 *
 * @param flags - Options of the command line.
 * @param surroundings - Backends and streams.
 * @returns Whether nothing failed.
 * @throws {UserError} when an option is out of range, the file cannot be written, or there is nothing to check.
 */
export async function verify(
  flags: VerifyFlags,
  surroundings: VerifySurroundings = {},
): Promise<boolean> {
  const quick = flags.quick === true
  const draws = flags.draws ?? (quick ? DRAWS.quick : DRAWS.full)
  if (!Number.isSafeInteger(draws) || draws < 1024) {
    throw new UserError(
      `Cannot verify as "--draws" must be a whole number >= 1024: current value is ${draws}`,
    )
  }
  // A file that cannot be written is found out before the minutes of work, not after.
  if (flags.json !== undefined) await writeReport(flags.json, '')
  const report = await runVerify({
    backends: surroundings.backends ?? openBackends(),
    quick,
    draws,
    filter: flags.only ?? '',
    stream: surroundings.progress,
  })
  if (flags.json !== undefined)
    await writeReport(flags.json, `${JSON.stringify(report, null, 2)}\n`)
  const output = surroundings.output ?? process.stdout
  output.write(renderVerifyReport(report))
  const { passed, failed } = totalsOf(report)
  if (passed + failed === 0) {
    throw new UserError(
      flags.only === undefined
        ? 'Cannot verify as no backend is available: see the reasons above'
        : `Cannot verify as no check that applies has ${JSON.stringify(flags.only)} in its name: ` +
            'choose another text for --only',
    )
  }
  return failed === 0
}

async function writeReport(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text)
  } catch (cause) {
    throw new UserError(`Cannot write the report to ${file}: ${messageOf(cause)}`, { cause })
  }
}
