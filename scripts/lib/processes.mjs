import { spawn } from 'node:child_process'

/**
 * Runs a program to its end with its output kept back.
 *
 * @param {string} command - Program.
 * @param {string[]} args - Its arguments, never seen by a shell.
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<string>} What it wrote to standard output.
 * @throws {Error} when its exit code is not 0; the message holds all of its output.
 */
export function runProgram(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let everything = ''
    child.stdout.on('data', (chunk) => {
      stdout += chunk
      everything += chunk
    })
    child.stderr.on('data', (chunk) => {
      everything += chunk
    })
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve(stdout)
      else reject(new Error(`${[command, ...args].join(' ')}\nexit code ${code}\n${everything}`))
    })
  })
}
