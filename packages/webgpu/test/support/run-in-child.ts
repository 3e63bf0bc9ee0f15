/**
 * Runs suites in processes of their own: Dawn with SwiftShader may hang or crash, and takes only its process along.
 */
import { execFile, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { build } from 'tsup'
import type { SuiteOptions, SuiteResult } from '../device/suites.ts'
import { swiftShaderEnvironment } from './swiftshader.ts'

const packageFolder = fileURLToPath(new URL('../..', import.meta.url))

/** A process that has printed nothing for this long hangs, milliseconds. */
const SILENCE_MS = 180_000

let built: Promise<void> | undefined

/** Composes the shaders and bundles the programs of `test/device`, once. */
export function buildPrograms(): Promise<void> {
  built ??= composeShaders().then(() => build({ config: `${packageFolder}/tsup.device.config.ts` }))
  return built
}

async function composeShaders(): Promise<void> {
  await promisify(execFile)(process.execPath, [`${packageFolder}/scripts/build-shaders.mjs`])
}

/** What became of a suite. */
export interface ChildOutcome {
  results: SuiteResult[]
  /** Why the process ended before its time; empty where it did not. */
  failure: string
}

/**
 * Runs a suite in a process of its own.
 *
 * @param options - What to run.
 * @returns The results up to its end.
 */
export async function runInChild(options: SuiteOptions): Promise<ChildOutcome> {
  await buildPrograms()
  const program = fileURLToPath(new URL('../../build/device/run.mjs', import.meta.url))
  const child = spawn(process.execPath, [program, JSON.stringify(options)], {
    cwd: packageFolder,
    env: swiftShaderEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let hangs = false
  const kill = (): void => {
    hangs = true
    child.kill('SIGKILL')
  }
  let timer = setTimeout(kill, SILENCE_MS)
  const results: SuiteResult[] = []
  let isComplete = false
  let errors = ''
  child.stderr.on('data', (text) => {
    errors += text
  })
  for await (const line of createInterface({ input: child.stdout })) {
    clearTimeout(timer)
    timer = setTimeout(kill, SILENCE_MS)
    if (!line.startsWith('{')) continue
    if (line === '{}') isComplete = true
    else results.push(JSON.parse(line) as SuiteResult)
  }
  clearTimeout(timer)
  if (isComplete) return { results, failure: '' }
  const how = hangs ? `it printed nothing for ${SILENCE_MS / 1000} s` : 'it ended early'
  return { results, failure: `${how}: ${errors.trim().slice(-2000)}` }
}
