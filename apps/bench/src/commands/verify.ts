/**
 * `verify`: checks every backend of this machine against the contract.
 *
 * @module
 */
import { Command } from 'commander'
import { parseNumber } from '../ui/parse-option.ts'
import type { VerifyFlags } from '../verify/verify.ts'

const HELP = `
Checks the conformance kit (equality with a float64 oracle, invariance, ties, errors, life cycle) and the statistics
(frequencies, rare tokens, independence) on every backend that runs here. The exit code is 1 when anything fails.
A full run takes a few minutes, --quick about half a minute.

Examples:
  flashsampling-bench verify
  flashsampling-bench verify --quick --json verify.json
  flashsampling-bench verify --only ties`

/**
 * Makes the command.
 *
 * @returns The command, to be added to the program.
 */
export function createVerifyCommand(): Command {
  return new Command('verify')
    .description('Checks every backend: conformance kit and statistics, with margins and p-values')
    .option('--quick', 'shorter cases, 2^16 draws a test instead of 2^20')
    .option('--draws <number>', 'draws of each test, at least 1024', parseNumber)
    .option('--only <text>', 'check only what has this text in its name')
    .option('--json <file>', 'write everything that was found to a file')
    .addHelpText('after', HELP)
    .action(async (flags: VerifyFlags) => {
      const { verify } = await import('../verify/verify.ts')
      if (!(await verify(flags))) process.exitCode = 1
    })
}
