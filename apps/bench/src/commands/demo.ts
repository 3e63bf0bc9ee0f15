/**
 * `demo`: writes text with a real model.
 *
 * @module
 */
import { Command, Option } from 'commander'
import { collect, parseBigInt, parseNumber } from '../ui/parse-option.ts'

const DEFAULT_PROMPT =
  'Write a short story about a lighthouse keeper who finds a message in a bottle.'

interface DemoFlags {
  prompt?: string[]
  raw?: true
  model?: string
  seed: bigint
  maxTokens: number
  temperature: number
  topK: number
  topP: number
  minP: number
  repetitionPenalty: number
  presencePenalty: number
  frequencyPenalty: number
  logprobs: number
  threads?: number
  kernels: 'auto' | 'wasm' | 'typescript'
  verifyOracle?: true
}

/**
 * Makes the command.
 *
 * @returns The command, to be added to the program.
 */
export function createDemoCommand(): Command {
  return new Command('demo')
    .description(
      'Generates text with SmolLM2-135M-Instruct (fetched once, 93 MB) or another Llama-family GGUF model',
    )
    .option(
      '-p, --prompt <text>',
      'what to ask; repeat it for several prompts in one batch',
      collect,
    )
    .option('--raw', 'continue the prompt as plain text, without the chat template')
    .option(
      '-m, --model <file>',
      'a GGUF file of a Llama model in F32, F16, BF16, Q8_0, Q4_0, Q4_1 or Q6_K',
    )
    .addOption(
      new Option(
        '-s, --seed <number>',
        'seed of the draws; prompt number r of a batch uses seed + r',
      )
        .argParser(parseBigInt)
        .default(42n, '42'),
    )
    .option('-n, --max-tokens <number>', 'most tokens to write for a prompt', parseNumber, 128)
    .option(
      '-t, --temperature <number>',
      'divides the logits; 0 takes the most likely token',
      parseNumber,
      0.7,
    )
    .option('--top-k <number>', 'draw from the k most likely tokens; 0 is off', parseNumber, 0)
    .option(
      '--top-p <number>',
      'draw from the most likely tokens that hold this probability; 1 is off',
      parseNumber,
      0.95,
    )
    .option(
      '--min-p <number>',
      'drop tokens less likely than this share of the best; 0 is off',
      parseNumber,
      0,
    )
    .option(
      '--repetition-penalty <number>',
      'weakens tokens of prompt and text; 1 is off',
      parseNumber,
      1,
    )
    .option(
      '--presence-penalty <number>',
      'weakens tokens that occur in the text; 0 is off',
      parseNumber,
      0,
    )
    .option(
      '--frequency-penalty <number>',
      'weakens tokens by how often they occur; 0 is off',
      parseNumber,
      0,
    )
    .option(
      '--logprobs <number>',
      'list every token with so many of the most likely ones',
      parseNumber,
      0,
    )
    .option(
      '--threads <number>',
      'threads of the head (default: chosen by the backend)',
      parseNumber,
    )
    .addOption(
      new Option('--kernels <kind>', 'kernels of the head')
        .choices(['auto', 'wasm', 'typescript'])
        .default('auto'),
    )
    .option(
      '--verify-oracle',
      'recompute every token from full float64 logits; exit code 1 on a difference',
    )
    .addHelpText('after', HELP)
    .action(async (flags: DemoFlags) => {
      const { runDemo } = await import('../demo/run-demo.ts')
      const agrees = await runDemo(
        {
          prompts: flags.prompt ?? [DEFAULT_PROMPT],
          raw: flags.raw ?? false,
          model: flags.model,
          seed: flags.seed,
          maxTokens: flags.maxTokens,
          params: {
            temperature: flags.temperature,
            topK: flags.topK,
            topP: flags.topP,
            minP: flags.minP,
            repetitionPenalty: flags.repetitionPenalty,
            presencePenalty: flags.presencePenalty,
            frequencyPenalty: flags.frequencyPenalty,
            logprobs: flags.logprobs,
          },
          threads: flags.threads,
          kernels: flags.kernels,
          verifyOracle: flags.verifyOracle ?? false,
        },
        {
          out: (text) => process.stdout.write(text),
          log: (line) => process.stderr.write(`${line}\n`),
        },
      )
      if (!agrees) process.exitCode = 1
    })
}

const HELP = `
The text goes to stdout, times and notices to stderr. The same options give the same text.

Examples:
  demo --prompt "Why is the sky blue?" --seed 7
  demo --prompt "Name a fruit." --prompt "Name a city." --max-tokens 20
  demo --raw --prompt "Once upon a time" --temperature 0.9 --min-p 0.05 --verify-oracle

Environment:
  FLASHSAMPLING_CACHE_DIR  where the model is kept (default: flashsampling in the user's cache directory)
  FLASHSAMPLING_DEBUG      set it to see stack traces
`
