/**
 * Turns a stored run into tables or an HTML report.
 *
 * @module
 */
import { readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeFolder } from '../ui/make-folder.ts'
import { messageOf, systemCodeOf, UserError } from '../ui/user-error.ts'
import { reportToMarkdown, summaryToMarkdown } from './markdown.ts'
import { type BenchReport, parseReport } from './record.ts'
import { reportToHtml } from './report/html.ts'
import { summarizeReport } from './summary.ts'

/**
 * Renders a file that `run` wrote.
 *
 * @param file - Path of the JSON file.
 * @param htmlFile - Where to write the HTML report; tables are printed when absent.
 * @throws {UserError} when the file cannot be read or is no report.
 */
export async function renderReportFile(file: string, htmlFile: string | undefined): Promise<void> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const reason = systemCodeOf(cause) === 'ENOENT' ? 'it does not exist' : messageOf(cause)
    throw new UserError(`Cannot read ${file} as ${reason}: give a file that "run" has written`, {
      cause,
    })
  })
  const report = parseReport(text, file)
  if (htmlFile === undefined) {
    process.stdout.write(
      `${reportToMarkdown(report)}\n${summaryToMarkdown(summarizeReport(report))}`,
    )
  } else {
    await writeHtmlReport(report, htmlFile)
  }
}

/**
 * Writes the HTML report.
 *
 * @param report - The run.
 * @param file - Path of the file; folders are made.
 */
export async function writeHtmlReport(report: BenchReport, file: string): Promise<void> {
  await makeFolder(dirname(file))
  await writeFile(file, reportToHtml(report))
  process.stderr.write(`wrote ${file}\n`)
}
