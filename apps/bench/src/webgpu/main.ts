/**
 * The WebGPU benchmark as one file: the command, and the program that it starts for each head.
 *
 * Runs with a bare Node where nothing is installed, given a WebGPU implementation by `FLASHSAMPLING_DAWN`.
 *
 * @module
 */
import { Command } from 'commander'
import { createWebGpuCommand } from '../commands/webgpu.ts'
import { exitWhenReaderCloses, runProgram } from '../ui/run-program.ts'
import { messageOf } from '../ui/user-error.ts'
import type { HeadJob } from './messages.ts'
import { JOB_ARGUMENT } from './node-host.ts'
import { runNodeJob } from './node-program.ts'

const [, , first, job = 'null'] = process.argv
if (first === JOB_ARGUMENT) {
  await runNodeJob(JSON.parse(job) as HeadJob | null).catch((error: unknown) => {
    console.error(messageOf(error))
    process.exit(1)
  })
} else {
  const program = new Command('webgpu-bench').addCommand(createWebGpuCommand(), { isDefault: true })
  exitWhenReaderCloses()
  process.exitCode = await runProgram(program, process.argv.slice(2))
}
