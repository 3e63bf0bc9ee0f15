/**
 * Runs a commander program: exit codes and messages in one place.
 *
 * | exit code | meaning |
 * |---|---|
 * | 0 | done |
 * | 1 | the command failed: wrong value, missing file, a difference found |
 * | 2 | the command line could not be understood |
 *
 * @module
 */
import { FlashSamplingError } from '@flashsampling/core'
import { type Command, CommanderError } from 'commander'
import { messageOf, UserError } from './user-error.ts'

/**
 * Parses the arguments, runs the command and reports errors: one message, a stack trace only with
 * `FLASHSAMPLING_DEBUG`.
 *
 * A command that fails without an error, such as a check that found a difference, sets `process.exitCode` itself.
 *
 * @param program - The program with its commands.
 * @param args - Arguments after the script's name.
 * @returns The exit code of the process.
 */
export async function runProgram(program: Command, args: readonly string[]): Promise<number> {
  for (const command of [program, ...program.commands]) {
    command.exitOverride()
    command.showHelpAfterError('(--help lists the commands and options)')
  }
  try {
    await program.parseAsync(args, { from: 'user' })
    return Number(process.exitCode ?? 0)
  } catch (error) {
    if (error instanceof CommanderError) return exitCodeOf(error)
    process.stderr.write(describeError(error))
    return error instanceof UserError ? error.exitCode : 1
  }
}

/**
 * Formats an error for the terminal.
 *
 * @param error - Anything that was thrown.
 * @param showStack - Whether to add the stack trace; by default when `FLASHSAMPLING_DEBUG` is set.
 * @returns Lines, with a newline at the end.
 */
export function describeError(
  error: unknown,
  showStack: boolean = Boolean(process.env.FLASHSAMPLING_DEBUG),
): string {
  const lines = [`error: ${messageOf(error)}`]
  if (showStack) lines.push(stackOf(error))
  else if (!isUsersToSolve(error)) {
    lines.push(
      'This is a defect of the command: run it again with FLASHSAMPLING_DEBUG=1 for the stack trace.',
    )
  }
  return `${lines.join('\n')}\n`
}

/** Argument errors of core are `TypeError` and `RangeError` with a message of this form. */
const ARGUMENT_MESSAGE = /^Cannot .+ as /

function isUsersToSolve(error: unknown): boolean {
  if (error instanceof UserError || FlashSamplingError.isInstance(error)) return true
  return (
    (error instanceof TypeError || error instanceof RangeError) &&
    ARGUMENT_MESSAGE.test(error.message)
  )
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return '(no stack trace)'
  const cause = error.cause === undefined ? '' : `\ncaused by: ${stackOf(error.cause)}`
  return `${error.stack ?? error.message}${cause}`
}

/** commander has printed its message by now; asking for help is no failure. */
function exitCodeOf(error: CommanderError): number {
  return error.code === 'commander.helpDisplayed' || error.code === 'commander.version' ? 0 : 2
}

/** Ends the process quietly when the reader of stdout goes away, as in `demo | head`; call it once. */
export function exitWhenReaderCloses(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
}
