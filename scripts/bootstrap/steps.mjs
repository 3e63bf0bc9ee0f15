import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { repositoryRoot } from '../lib/workspace.mjs'

/** A step of a command failed; the message is complete and is printed as it is. */
export class StepFailedError extends Error {
  /**
   * @param {string} message - What failed and what to do.
   * @param {number} exitCode - Exit code of the failed program.
   */
  constructor(message, exitCode = 1) {
    super(message)
    this.name = 'StepFailedError'
    this.exitCode = exitCode === 0 ? 1 : exitCode
  }
}

/**
 * Runs a program with its output kept back, behind one line of progress.
 *
 * @param {string} label - What the step does, shown to the user.
 * @param {string} command - Program.
 * @param {string[]} args - Its arguments, never seen by a shell.
 * @param {NodeJS.ProcessEnv} env - Its environment.
 * @param {(output: string) => string | undefined} [explain] - Turns the output of a failure into a remedy.
 * @returns {Promise<string>} What the program wrote to standard output.
 * @throws {StepFailedError} when the program fails; the message holds all of its output.
 */
export async function runStep(label, command, args, env, explain = () => undefined) {
  const line = startLine(label)
  /** @type {Buffer[]} */
  const stdout = []
  /** @type {Buffer[]} */
  const everything = []
  const child = spawn(command, args, {
    cwd: repositoryRoot,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stdout.on('data', (chunk) => {
    stdout.push(chunk)
    everything.push(chunk)
  })
  child.stderr.on('data', (chunk) => everything.push(chunk))
  const code = await exitCodeOf(child, command)
  line.end(code === 0)
  if (code === 0) return Buffer.concat(stdout).toString()
  const output = Buffer.concat(everything).toString().trimEnd()
  const remedy = explain(output)
  throw new StepFailedError(
    `${output}\n\nThe step "${label}" failed with exit code ${code}: ${[command, ...args].join(' ')}${
      remedy === undefined ? '' : `\n${remedy}`
    }`,
    code,
  )
}

/**
 * Runs a program on this process's own terminal.
 *
 * @param {string} command - Program.
 * @param {string[]} args - Its arguments, never seen by a shell.
 * @param {NodeJS.ProcessEnv} env - Its environment.
 * @returns {Promise<number>} Its exit code; 128 + n where signal n ended it.
 */
export async function runInherited(command, args, env) {
  const child = spawn(command, args, { cwd: repositoryRoot, env, stdio: 'inherit' })
  // The terminal sends Ctrl-C to both processes: the child decides how to end, its exit code is passed on.
  const keepRunning = () => undefined
  const forward = () => void child.kill('SIGTERM')
  process.on('SIGINT', keepRunning)
  process.on('SIGTERM', forward)
  try {
    return await exitCodeOf(child, command)
  } finally {
    process.off('SIGINT', keepRunning)
    process.off('SIGTERM', forward)
  }
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @param {string} command
 * @returns {Promise<number>}
 */
function exitCodeOf(child, command) {
  return new Promise((resolve, reject) => {
    child.on('error', (cause) =>
      reject(new StepFailedError(`Cannot start "${command}": ${cause.message}`)),
    )
    child.on('close', (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    )
  })
}

/**
 * Prints a step's state: rewritten in place on a terminal, one line at the end elsewhere.
 *
 * @param {string} label
 */
function startLine(label) {
  const started = performance.now()
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`
  const live = process.stderr.isTTY
  const show = () => process.stderr.write(`\r\u001B[2K… ${label} (${seconds()})`)
  const timer = live ? setInterval(show, 200) : undefined
  if (live) show()
  return {
    /** @param {boolean} succeeded */
    end(succeeded) {
      clearInterval(timer)
      const mark = succeeded ? '✓' : '✗'
      process.stderr.write(`${live ? '\r\u001B[2K' : ''}${mark} ${label} (${seconds()})\n`)
    },
  }
}
