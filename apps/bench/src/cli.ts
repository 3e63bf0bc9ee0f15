#!/usr/bin/env node
/**
 * Command line of FlashSampling. Every command lives in its own file under `commands/`.
 *
 * @module
 */
import { Command } from 'commander'

const program = new Command('flashsampling-bench')
program.description('FlashSampling: demo, verify and benchmarks')

await program.parseAsync()
