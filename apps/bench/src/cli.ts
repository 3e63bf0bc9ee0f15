#!/usr/bin/env node
/**
 * Command line of FlashSampling. Every command lives in its own file under `commands/`.
 *
 * @module
 */
import { Command } from 'commander'
import { createDemoCommand } from './commands/demo.ts'
import { createPageCommand } from './commands/page.ts'
import { createReportCommand } from './commands/report.ts'
import { createRunCommand } from './commands/run.ts'
import { createVerifyCommand } from './commands/verify.ts'
import { createWebGpuCommand } from './commands/webgpu.ts'
import { exitWhenReaderCloses, runProgram } from './ui/run-program.ts'

const program = new Command('flashsampling-bench')
  .description('FlashSampling: demo, browser page, verify and benchmarks')
  .addCommand(createDemoCommand())
  .addCommand(createPageCommand())
  .addCommand(createVerifyCommand())
  .addCommand(createRunCommand())
  .addCommand(createWebGpuCommand())
  .addCommand(createReportCommand())

exitWhenReaderCloses()
process.exitCode = await runProgram(program, process.argv.slice(2))
