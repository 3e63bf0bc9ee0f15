/**
 * Runs jobs through Dawn in processes of their own: a driver that crashes or hangs takes only its head along.
 *
 * @module
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { UserError } from '../ui/user-error.ts'
import type { HeadJob, Message } from './messages.ts'
import { swiftShaderVariables } from './software-adapter.ts'

/** First argument of the program that runs a job; `null` as the job only describes the adapter. */
export const JOB_ARGUMENT = '--webgpu-job'

/** A process that says nothing for this long hangs, milliseconds; software compiles shaders for a minute. */
const SILENCE_MS = { hardware: 120_000, software: 300_000 }

/** Where jobs run. */
export interface JobHost {
  /**
   * Runs a job.
   *
   * @param job - A head, or `null` to learn about the adapter alone.
   * @param onMessage - Takes what is found.
   * @throws Error when the program ends before the job does.
   */
  run(job: HeadJob | null, onMessage: (message: Message) => void): Promise<void>
  /** Ends what was started. */
  close(): Promise<void>
}

/** How a host is made. */
export interface HostOptions {
  /** Whether to use SwiftShader rather than the system's driver. */
  isSoftware: boolean
  /** File that runs the jobs. @defaultValue the built one beside this file */
  program?: string | undefined
}

/**
 * Finds a file that the build makes.
 *
 * @param name - Its name.
 * @returns Its path.
 * @throws {UserError} when it is not built.
 */
export function builtFile(name: string): string {
  const file = fileURLToPath(new URL(`./${name}`, import.meta.url))
  if (existsSync(file)) return file
  throw new UserError('Cannot find the built benchmark: run "npm run build" in the repository')
}

/**
 * Makes the host.
 *
 * @param options - Which driver, and what runs the jobs.
 * @returns The host.
 */
export function createNodeHost({
  isSoftware,
  program = builtFile('webgpu-bench.mjs'),
}: HostOptions): JobHost {
  const env = { ...process.env, ...(isSoftware ? swiftShaderVariables() : {}) }
  const silenceMs = SILENCE_MS[isSoftware ? 'software' : 'hardware']
  return {
    run: (job, onMessage) => runChild({ program, env, silenceMs, job, onMessage }),
    close: () => Promise.resolve(),
  }
}

interface ChildOptions {
  program: string
  env: NodeJS.ProcessEnv
  silenceMs: number
  job: HeadJob | null
  onMessage(message: Message): void
}

async function runChild(options: ChildOptions): Promise<void> {
  const { program, env, silenceMs, job, onMessage } = options
  const child = spawn(process.execPath, [program, JOB_ARGUMENT, JSON.stringify(job)], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let isDone = false
  let hangs = false
  const kill = (): void => {
    hangs = true
    child.kill('SIGKILL')
  }
  let timer = setTimeout(kill, silenceMs)
  let errors = ''
  child.stderr.on('data', (text) => {
    errors += text
  })
  const exit = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message))
    child.on('close', (code, signal) => resolve(`exit code ${code ?? signal}`))
  })
  for await (const line of createInterface({ input: child.stdout })) {
    clearTimeout(timer)
    timer = setTimeout(kill, silenceMs)
    if (!line.startsWith('{')) continue
    const message = JSON.parse(line) as Message
    if (message.kind === 'done') isDone = true
    else onMessage(message)
  }
  clearTimeout(timer)
  const how = await exit
  if (isDone) return
  const what = hangs ? `said nothing for ${silenceMs / 1000} s` : `ended early (${how})`
  throw new Error(`the process ${what}${errors === '' ? '' : `: ${errors.trim().slice(-2000)}`}`)
}
