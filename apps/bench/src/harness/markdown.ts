/**
 * A report as Markdown tables for the terminal and for issues.
 *
 * @module
 */
import { achievedGBs, type BenchRecord, type BenchReport, ceilingFor } from './record.ts'
import type { SummaryLine } from './summary.ts'

/**
 * Renders every record, one table per shape, storage format and variant.
 *
 * @param report - The run.
 * @returns Markdown, with a newline at the end.
 */
export function reportToMarkdown(report: BenchReport): string {
  const tables = new Map<string, BenchRecord[]>()
  for (const record of report.records) {
    if (record.op !== 'sample') continue
    const key = tableTitle(record)
    tables.set(key, [...(tables.get(key) ?? []), record])
  }
  const parts = [`${describeRun(report)}\n`]
  for (const [title, records] of tables) {
    const rows = records.map((record) => recordCells(report, record))
    parts.push(`### ${title}\n\n${markdownTable(RECORD_HEADINGS, rows)}`)
  }
  return parts.join('\n')
}

/**
 * Renders the promised lines.
 *
 * @param lines - From `summarizeReport()`.
 * @returns Markdown table, with a newline at the end.
 */
export function summaryToMarkdown(lines: readonly SummaryLine[]): string {
  const rows = lines.map(({ title, target, measured, status, isPromised }) => [
    status === 'not measured' ? 'not measured' : isPromised ? status : `(${status})`,
    title,
    target,
    measured,
  ])
  return markdownTable(['result', 'what', 'target', 'measured'], rows)
}

/**
 * Says on what and when a run was taken.
 *
 * @param report - The run.
 * @returns One line of text.
 */
export function describeRun(report: BenchReport): string {
  const versions = Object.entries(report.versions).map(([name, version]) => `${name} ${version}`)
  const { before, after } = report.loadAverage
  return (
    `${report.device}, ${report.processors} processors, ${report.driver}, ${versions.join(', ')}, ` +
    `commit ${report.commit}, ${report.takenAt.slice(0, 16).replace('T', ' ')} UTC, ` +
    `load average ${before} before and ${after} after` +
    `${report.quick ? ', quick: too few samples to publish' : ''}`
  )
}

/** Headings of {@link recordCells}. */
export const RECORD_HEADINGS: readonly string[] = [
  'B',
  'contender',
  'threads',
  'median ms',
  'p10',
  'p90',
  'GB/s',
  '% of ceiling',
  'allocated KiB',
]

/**
 * Gives the cells of a record's row in a table.
 *
 * @param report - The run.
 * @param record - One of its records.
 * @returns One text per heading of {@link RECORD_HEADINGS}.
 */
export function recordCells(report: BenchReport, record: BenchRecord): string[] {
  const rate = achievedGBs(record)
  const ms = (us: number): string => (us / 1000).toFixed(us < 10_000 ? 3 : 2)
  return [
    String(record.batchSize),
    record.contender,
    String(record.threads),
    ms(record.medianUs),
    ms(record.p10Us),
    ms(record.p90Us),
    rate.toFixed(1),
    ((rate / ceilingFor(report, record)) * 100).toFixed(0),
    record.allocatedBytes === undefined ? '' : (record.allocatedBytes / 1024).toFixed(0),
  ]
}

/**
 * Names the table that a record belongs to.
 *
 * @param record - The record.
 * @returns For example `qwen3 q8_0 plain (V = 151,936, D = 1,024)`.
 */
export function tableTitle(record: BenchRecord): string {
  const { case: name, dtype, variant, vocabSize, hiddenSize } = record
  const size = `V = ${vocabSize.toLocaleString('en')}, D = ${hiddenSize.toLocaleString('en')}`
  return `${name} ${dtype} ${variant} (${size})`
}

function markdownTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, i) =>
    Math.max(heading.length, ...rows.map((row) => (row[i] ?? '').length)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |\n`
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|\n`
  return line(headings) + rule + rows.map(line).join('')
}
