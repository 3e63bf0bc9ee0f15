/**
 * `report`: renders a JSON file of `run` again.
 *
 * @module
 */
import { Command } from 'commander'

/**
 * Makes the command.
 *
 * @returns The command, to be added to the program.
 */
export function createReportCommand(): Command {
  return new Command('report')
    .description('Renders a JSON file written by "run" as tables, or as an HTML report')
    .argument('<json>', 'the file')
    .option('--out <file>', 'write a self-contained HTML report instead of printing tables')
    .action(async (file: string, flags: { out?: string }) => {
      const { renderReportFile } = await import('../harness/render-report.ts')
      await renderReportFile(file, flags.out)
    })
}
