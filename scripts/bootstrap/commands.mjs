import { repositoryRoot } from '../lib/workspace.mjs'
import { installDependencies } from './install.mjs'
import { findPnpm } from './pnpm.mjs'
import { closingLine, readTestResults, removeTestResults } from './results.mjs'
import { runInherited, runStep, StepFailedError } from './steps.mjs'

/** @type {Record<string, (args: string[]) => Promise<number>>} */
const commands = {
  ...{ demo, page, bench, test, setup, rehearse, turbo },
  'bench:webgpu': benchWebGpu,
}

/**
 * Runs one command and turns its outcome into an exit code.
 *
 * @param {string[]} argv - Command, then its arguments.
 * @returns {Promise<number>} Exit code.
 */
export async function main([name = '', ...args]) {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) {
    console.error(
      `Cannot run "${name}" as the command must be one of ${Object.keys(commands).join(', ')}`,
    )
    return 1
  }
  try {
    return await command(args)
  } catch (error) {
    if (!(error instanceof StepFailedError)) throw error
    console.error(error.message)
    return error.exitCode
  }
}

/**
 * Installs, builds and runs the demo with the given arguments.
 *
 * @param {string[]} args - Options of the demo.
 */
async function demo(args) {
  return runCommandLine('demo', args)
}

/**
 * Installs, builds and serves the browser page.
 *
 * @param {string[]} args - Options of the page's server.
 */
async function page(args) {
  return runCommandLine('page', args)
}

/**
 * Installs, builds and runs the benchmark with the given arguments.
 *
 * @param {string[]} args - Options of the benchmark.
 */
async function bench(args) {
  return runCommandLine('run', args)
}

/**
 * Installs, builds and runs the benchmark on WebGPU with the given arguments.
 *
 * @param {string[]} args - Options of the benchmark.
 */
async function benchWebGpu(args) {
  return runCommandLine('webgpu', args)
}

/**
 * Installs, builds, checks and tests everything; ends with the count of tests.
 *
 * @param {string[]} args - Handed to vitest, for example `-t ties`; the checks are then left out.
 */
async function test(args) {
  const env = await prepare()
  await buildAll(env)
  const failed = args.length > 0 ? [] : await runChecks(env)
  return runTests(args, env, failed)
}

/** Installs and builds everything, then prints the environment. */
async function setup() {
  const env = await prepare()
  await buildAll(env)
  return runInherited(process.execPath, ['scripts/report-env.mjs'], env)
}

/**
 * Publishes every package to a registry on the loopback interface and uses it from empty projects.
 *
 * @param {string[]} args - Options of the rehearsal.
 */
async function rehearse(args) {
  const env = await prepare()
  await buildAll(env)
  return runInherited(process.execPath, ['scripts/release-rehearse.mjs', ...args], env)
}

/**
 * Runs turbo tasks with their output visible.
 *
 * @param {string[]} args - Tasks and options of turbo.
 */
async function turbo(args) {
  const env = await prepare()
  return runInherited('pnpm', ['exec', 'turbo', 'run', ...args], env)
}

/**
 * Installs, builds and runs one command of `flashsampling-bench`.
 *
 * @param {string} name - The command.
 * @param {string[]} args - Its options.
 */
async function runCommandLine(name, args) {
  const env = await prepare()
  await runTurbo('build', ['build', '--filter=flashsampling-bench...'], env)
  return runInherited(process.execPath, ['apps/bench/dist/cli.js', name, ...args], env)
}

/** @returns {Promise<NodeJS.ProcessEnv>} Environment with pnpm on its PATH and all dependencies installed. */
async function prepare() {
  const env = { ...process.env, PATH: await findPnpm(), TURBO_TELEMETRY_DISABLED: '1' }
  await installDependencies(env)
  return env
}

/**
 * Builds every package; native code is left out where no compiler can be had, and its tests then say so.
 *
 * @param {NodeJS.ProcessEnv} env
 */
async function buildAll(env) {
  await runTurbo('build', ['build'], env)
  await runTurbo('native build', ['build:native'], env)
}

/**
 * Runs turbo tasks; turbo itself needs pnpm on the PATH.
 *
 * @param {string} label
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 */
async function runTurbo(label, args, env) {
  await runStep(label, 'pnpm', ['exec', 'turbo', 'run', ...args, '--output-logs=errors-only'], env)
}

/**
 * Runs every check that is no test; a failure does not keep the rest from running.
 *
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<string[]>} What failed.
 */
async function runChecks(env) {
  /** @type {string[]} */
  const failed = []
  for (const script of ['types', 'lint', 'check', 'knip', 'docs:check', 'check:packages']) {
    try {
      await runStep(script, 'pnpm', ['run', script], env)
    } catch (error) {
      if (!(error instanceof StepFailedError)) throw error
      console.error(error.message)
      failed.push(script)
    }
  }
  return failed
}

/**
 * Runs the tests of every package, output visible, and prints the closing line.
 *
 * @param {string[]} args - Handed to vitest.
 * @param {NodeJS.ProcessEnv} env
 * @param {string[]} failedChecks - Checks that failed before.
 */
async function runTests(args, env, failedChecks) {
  removeTestResults(repositoryRoot)
  const forwarded = args.length > 0 ? ['--', ...args] : []
  const turboArgs = ['test', '--log-prefix=none', '--concurrency=1', '--continue', ...forwarded]
  const code = await runInherited('pnpm', ['exec', 'turbo', 'run', ...turboArgs], env)
  const results = readTestResults(repositoryRoot)
  const problems = [
    ...failedChecks.map((check) => `${check}: failed, see above`),
    ...results.problems,
  ]
  for (const problem of problems) console.error(problem)
  console.log(`\n${closingLine(results)}`)
  return code !== 0 ? code : problems.length > 0 ? 1 : 0
}
