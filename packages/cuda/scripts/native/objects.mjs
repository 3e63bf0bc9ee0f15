/**
 * Runs compilations, several at a time, and leaves out those whose inputs have not changed. An input is known by its
 * content, so that a checkout, a copy or a touched file costs nothing.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path'

/**
 * One file to make.
 *
 * @typedef {object} Task
 * @property {string} output - Relative to the package.
 * @property {string} command - Compiler or linker.
 * @property {string[]} args - Without `output` and without the flags that write dependences.
 * @property {string} identity - Version of the command and of what it brings along.
 * @property {string[]} inputs - Files that are known beforehand, relative to the package.
 * @property {string} [dependenceFlag] - Writes a list of the headers read; followed by `-MF` and a file.
 */

/**
 * @typedef {object} Outcome
 * @property {Task} task
 * @property {string} output - What the command printed, now or when it last ran.
 * @property {boolean} ran
 * @property {number} seconds
 */

/** A compiler or linker failed; the message holds what it printed. */
export class CommandFailedError extends Error {}

/**
 * Makes files that do not depend on each other.
 *
 * @param {string} root - Folder of the package; commands run there.
 * @param {string} records - Folder for what is remembered about each file, relative to the package.
 * @param {Task[]} tasks
 * @param {number} jobs - Commands at a time.
 * @param {(outcome: Outcome) => void} report - Told of each finished task.
 * @returns {Promise<Outcome[]>} In the order of the tasks.
 * @throws {CommandFailedError} when a command fails; those under way are waited for.
 */
export async function makeAll(root, records, tasks, jobs, report) {
  /** @type {Outcome[]} */
  const outcomes = []
  /** @type {unknown[]} */
  const failures = []
  let next = 0
  const worker = async () => {
    while (next < tasks.length && failures.length === 0) {
      const index = next++
      const task = /** @type {Task} */ (tasks[index])
      try {
        const outcome = await make(root, records, task)
        outcomes[index] = outcome
        report(outcome)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(jobs, tasks.length) }, worker))
  if (failures.length > 0) throw failures[0]
  return outcomes
}

/**
 * @param {string} root
 * @param {string} records
 * @param {Task} task
 * @returns {Promise<Outcome>}
 */
async function make(root, records, task) {
  const recordFile = join(root, records, `${task.output.replaceAll('/', '--')}.json`)
  const known = readRecord(recordFile)
  if (known !== undefined && existsSync(join(root, task.output))) {
    if (known.key === keyOf(root, task, known.files)) {
      return { task, output: known.output, ran: false, seconds: 0 }
    }
  }
  rmSync(recordFile, { force: true })
  mkdirSync(dirname(recordFile), { recursive: true })
  mkdirSync(join(root, dirname(task.output)), { recursive: true })

  const started = performance.now()
  const dependences = `${recordFile}.d`
  const listing = task.dependenceFlag === undefined ? [] : [task.dependenceFlag, '-MF', dependences]
  const output = await runCommand(task.command, [...task.args, ...listing, '-o', task.output], root)
  const files = [
    ...task.inputs,
    ...(task.dependenceFlag === undefined ? [] : readDependences(root, dependences)),
  ]
  const unique = [...new Set(files)].sort()
  const record = { key: keyOf(root, task, unique), files: unique, output }
  writeFileSync(recordFile, JSON.stringify(record))
  return { task, output, ran: true, seconds: (performance.now() - started) / 1000 }
}

/**
 * @param {string} command
 * @param {string[]} args
 * @param {string} cwd
 * @returns {Promise<string>} What it printed.
 */
function runCommand(command, args, cwd) {
  return new Promise((resolvePromise, reject) => {
    execFile(command, args, { cwd, maxBuffer: 2 ** 28 }, (error, stdout, stderr) => {
      const output = `${stdout}${stderr}`
      if (error === null) resolvePromise(output)
      else {
        const status =
          error.code === 'ENOENT' ? 'was not found' : `ended with ${error.code ?? error.signal}`
        const line = [basename(command), ...args].join(' ')
        reject(new CommandFailedError(`${output.trimEnd()}\n${line}\n${command} ${status}`))
      }
    })
  })
}

/** @param {string} file */
function readRecord(file) {
  try {
    /** @type {{ key: string, files: string[], output: string }} */
    const record = JSON.parse(readFileSync(file, 'utf8'))
    return record
  } catch {
    return undefined
  }
}

/**
 * @param {string} root
 * @param {Task} task
 * @param {string[]} files
 * @returns {string} Digest of the command and the content of all files.
 */
function keyOf(root, task, files) {
  const hash = createHash('sha256')
  hash.update(JSON.stringify([basename(task.command), task.identity, task.args, task.output]))
  for (const file of files) {
    const path = resolve(root, file)
    hash.update(`\n${file}\n`).update(existsSync(path) ? readFileSync(path) : 'missing')
  }
  return hash.digest('hex')
}

/**
 * Headers of the package; those of the toolkit and the system are known by the task's identity.
 *
 * @param {string} root
 * @param {string} file - A list in the syntax of make.
 */
function readDependences(root, file) {
  const text = readFileSync(file, 'utf8').replaceAll('\\\n', ' ')
  return text
    .slice(text.indexOf(': ') + 1)
    .split(/\s+/)
    .filter(Boolean)
    .map((name) => relative(root, resolve(root, name)))
    .filter(
      (name) => !name.startsWith('..') && !isAbsolute(name) && !name.startsWith('node_modules'),
    )
}
