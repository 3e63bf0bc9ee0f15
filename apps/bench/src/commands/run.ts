/**
 * `run`: times the library against other ways to draw tokens.
 *
 * @module
 */
import { Command, Option } from 'commander'
import { SHAPES } from '../cases/shapes.ts'
import type { RunFlags } from '../harness/run-flags.ts'
import { parseNumber } from '../ui/parse-option.ts'

const HELP = `
Without a selection the full plan runs: every line that the project promises, time against batch size and against
vocabulary size, other storage formats, filters. It takes about a quarter of an hour; --quick takes about a minute.
Lists are separated by commas. The machine should do nothing else meanwhile.

Examples:
  flashsampling-bench run --install-contenders --out apps/bench/results --report report.html
  flashsampling-bench run --quick
  flashsampling-bench run --case qwen3 --dtype q8_0 --batch 1,8,64 --threads 2

Shapes: ${SHAPES.map(({ name }) => name).join(', ')}
Storage formats: q8_0, f32, bf16, f16
Variants: plain, topk-topp, masked, logprobs
Contenders: flashsampling, flashsampling-typescript, flashsampling-two-step, onnxruntime-node,
  onnxruntime-node-gumbel, onnxruntime-node-softmax, onnxruntime-node-matmul`

/**
 * Makes the command.
 *
 * @returns The command, to be added to the program.
 */
export function createRunCommand(): Command {
  return new Command('run')
    .description('Times the library against other ways to draw tokens')
    .option('--case <names>', 'shapes to time')
    .option('--batch <sizes>', 'batch sizes, 1 to 256')
    .option('--dtype <names>', 'storage formats of the head')
    .option('--variant <names>', 'what is asked of a draw')
    .option('--threads <counts>', 'numbers of threads (default: 1 and the number of processors)')
    .option('--contenders <names>', 'who is timed')
    .option('--min-time <ms>', 'time to spend on the samples of each contender', parseNumber)
    .option('--quick', 'few samples, small plan: for a look, not for publishing')
    .option('--out <folder>', 'write the JSON file into <folder>/<device>/')
    .addOption(new Option('--format <kind>', 'what to print').choices(['md', 'json']).default('md'))
    .option('--report <file>', 'write a self-contained HTML report')
    .option('--install-contenders', 'install onnxruntime-node first (about 300 MB on disk)')
    .option('--check', 'exit code 1 when a promised line is missed or not measured')
    .addHelpText('after', HELP)
    .action(async (flags: RunFlags) => {
      const { runBenchmark } = await import('../harness/run-benchmark.ts')
      const passed = await runBenchmark(flags)
      if (!passed) process.exitCode = 1
    })
}
