/**
 * `page`: serves the browser page on the loopback interface.
 *
 * @module
 */
import { Command } from 'commander'
import { parseNumber } from '../ui/parse-option.ts'

interface PageFlags {
  model: string | boolean
  port: number
}

/**
 * Makes the command.
 *
 * @returns The command, to be added to the program.
 */
export function createPageCommand(): Command {
  return new Command('page')
    .description(
      'Serves the browser page: text from a model, drawn in the browser, on WebGPU where there is one',
    )
    .option('--port <number>', 'port on 127.0.0.1; 0 takes any that is free', parseNumber, 4180)
    .option(
      '-m, --model <file>',
      'a GGUF file of a Llama model to offer to the page (default: SmolLM2-135M-Instruct, fetched once, 93 MB)',
    )
    .option('--no-model', 'offer no model; the page still takes a file of the user')
    .addHelpText('after', HELP)
    .action(async ({ model, port }: PageFlags) => {
      const { runPage } = await import('../server/run-page.ts')
      await runPage({ model, port }, (line) => process.stderr.write(`${line}\n`))
    })
}

const HELP = `
The page is served cross-origin isolated, so that the CPU backend can use threads. Ctrl-C ends the server.

Environment:
  FLASHSAMPLING_CACHE_DIR  where the model is kept (default: flashsampling in the user's cache directory)
`
