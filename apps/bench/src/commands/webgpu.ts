/**
 * `webgpu`: times the library on WebGPU against other ways to draw tokens there.
 *
 * @module
 */
import { Command, Option } from 'commander'
import { parseNumber } from '../ui/parse-option.ts'
import type { WebGpuFlags } from '../webgpu/run-webgpu.ts'

const HELP = `
Without a selection a GPU gets heads of V = 151,936, D = 4,096 (f16, 4 bits) and of SmolLM2 with 1, 8 and 64 rows, a
software adapter that of SmolLM2 with 1 and 8 rows. Lists are separated by commas.

Examples:
  flashsampling-bench webgpu
  flashsampling-bench webgpu --software --in chromium --out apps/bench/results
  flashsampling-bench webgpu --case smollm2 --dtype q8_0 --batch 1

Shapes: smollm2, qwen3, small
Storage formats: q8_0, f32, f16, nbits4
Contenders: flashsampling, flashsampling-logits, gpu-sort, onnxruntime-web, onnxruntime-web-softmax,
  onnxruntime-web-flashsampling, logits-product, read-ceiling

Environment:
  FLASHSAMPLING_CHROMIUM  the browser; its SwiftShader serves --software
  FLASHSAMPLING_DAWN      module that gives Node a WebGPU implementation (default: the npm package webgpu)`

/**
 * Makes the command.
 *
 * @returns The command, to be added to the program.
 */
export function createWebGpuCommand(): Command {
  return new Command('webgpu')
    .description('Times the library on WebGPU against other ways to draw tokens there')
    .addOption(
      new Option('--in <where>', 'where WebGPU comes from: Dawn in Node, or headless Chromium')
        .choices(['node', 'chromium'])
        .default('node'),
    )
    .option('--software', "use Chromium's SwiftShader rather than a GPU")
    .option('--case <names>', 'shapes to time')
    .option('--dtype <names>', 'storage formats of the head')
    .option('--batch <sizes>', 'batch sizes, 1 to 64')
    .option('--contenders <names>', 'who is timed')
    .option('--min-time <ms>', 'time to spend on the samples of a head and batch size', parseNumber)
    .option('--quick', 'few samples: for a look, not for publishing')
    .option('--out <folder>', 'write the JSON file into <folder>/<adapter>/')
    .option('--commit <hash>', 'the commit, where there is no repository')
    .addOption(new Option('--format <kind>', 'what to print').choices(['md', 'json']).default('md'))
    .addHelpText('after', HELP)
    .action(async (flags: WebGpuFlags) => {
      const { runWebGpuBenchmark } = await import('../webgpu/run-webgpu.ts')
      await runWebGpuBenchmark(flags)
    })
}
