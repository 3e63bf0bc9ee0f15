/**
 * The tables of `verify`, for the terminal.
 *
 * @module
 */
import type { ConformanceCaseResult, StatisticalResult } from '@flashsampling/core'
import { totalsOf, type VerifyReport } from './report.ts'

const WORDS = { passed: 'pass', failed: 'FAIL', skipped: 'skip' } as const

/**
 * Renders a run: one table of conformance cases, one of p-values, then skips and failures with their reasons.
 *
 * @param report - The run.
 * @returns Text, with a newline at the end.
 */
export function renderVerifyReport(report: VerifyReport): string {
  const { passed, failed, skipped } = totalsOf(report)
  const sections = [
    conformanceTable(report),
    statisticsTable(report),
    noiseTable(report),
    notes('Skipped', skippedLines(report)),
    notes('Failed', failedLines(report)),
    `${passed} passed, ${failed} failed, ${skipped} skipped.\n`,
  ]
  return sections.filter((section) => section !== '').join('\n')
}

function conformanceTable(report: VerifyReport): string {
  const columns = report.backends.filter(({ conformance }) => conformance !== undefined)
  const names = columns[0]?.conformance?.cases.map((result) => result.name) ?? []
  if (names.length === 0) return ''
  const rows = names.map((name) => {
    const results = columns.map(({ conformance }) =>
      conformance?.cases.find((result) => result.name === name),
    )
    const worst = (pick: (result: ConformanceCaseResult) => number): number =>
      Math.max(0, ...results.map((result) => (result === undefined ? 0 : pick(result))))
    const wasRun = results.some((result) => result !== undefined && result.status !== 'skipped')
    return [
      name,
      ...results.map((result) => (result === undefined ? '-' : WORDS[result.status])),
      ...(wasRun
        ? [
            String(worst((result) => result.rowsChecked)),
            String(worst((result) => result.withinMargin)),
            formatSmall(worst((result) => result.maxMargin)),
            formatSmall(worst((result) => result.maxLogprobError)),
          ]
        : ['-', '-', '-', '-']),
    ]
  })
  return (
    'Conformance (largest figure of all backends: values compared; draws within the fp32 bound of a tie or boundary, ' +
    'not compared;\nlargest margin of one of those that differed; largest error of a log-probability)\n\n' +
    textTable(
      ['case', ...columns.map(({ name }) => name), 'compared', 'within', 'margin', 'logprob'],
      rows,
    )
  )
}

function statisticsTable(report: VerifyReport): string {
  const columns = report.backends.filter(({ statistics }) => statistics !== undefined)
  const tests = columns[0]?.statistics?.tests ?? []
  if (tests.length === 0) return ''
  const rows = tests.map(({ name, draws }) => [
    name,
    ...columns.map(({ statistics }) =>
      pValueCell(statistics?.tests.find((test) => test.name === name)),
    ),
    draws === 0 ? '-' : String(draws),
  ])
  return (
    'Statistics of draws: p-values, which must exceed 0.001\n\n' +
    textTable(['hypothesis', ...columns.map(({ name }) => name), 'draws'], rows)
  )
}

function noiseTable({ noise }: VerifyReport): string {
  if (noise.tests.length === 0) return ''
  return (
    'Statistics of the noise contract and of the grouped forms\n\n' +
    textTable(
      ['hypothesis', 'p-value', 'statistic', 'degrees', 'values'],
      noise.tests.map((test) => [
        test.name,
        pValueCell(test),
        test.statistic.toFixed(1),
        String(test.degreesOfFreedom),
        String(test.draws),
      ]),
    )
  )
}

function pValueCell(test: StatisticalResult | undefined): string {
  if (test === undefined) return '-'
  if (test.status === 'skipped') return 'skip'
  const pValue = Number.isNaN(test.pValue) ? 'error' : formatPValue(test.pValue)
  return test.status === 'failed' ? `FAIL ${pValue}` : pValue
}

function skippedLines(report: VerifyReport): string[] {
  const lines: string[] = []
  for (const { name, unavailable, conformance, statistics } of report.backends) {
    if (unavailable !== undefined) lines.push(`${name}: not available: ${unavailable}`)
    for (const result of [...(conformance?.cases ?? []), ...(statistics?.tests ?? [])]) {
      if (result.status === 'skipped') lines.push(`${name}: ${result.name}: ${result.reason}`)
    }
  }
  return lines
}

function failedLines(report: VerifyReport): string[] {
  const lines: string[] = []
  for (const { name, conformance, statistics } of report.backends) {
    for (const result of conformance?.cases ?? []) {
      if (result.status === 'failed') {
        lines.push(`${name}: ${result.name}\n    ${result.detail?.replaceAll('\n', '\n    ')}`)
      }
    }
    lines.push(...(statistics?.tests ?? []).flatMap((test) => failedTest(name, test)))
  }
  lines.push(...report.noise.tests.flatMap((test) => failedTest(report.noise.source, test)))
  return lines
}

function failedTest(name: string, test: StatisticalResult): string[] {
  if (test.status !== 'failed') return []
  const figures = `p = ${formatPValue(test.pValue)}, statistic ${test.statistic.toFixed(1)} with ${test.degreesOfFreedom} degrees of freedom`
  return [`${name}: ${test.name}\n    ${test.reason ?? figures}`]
}

function notes(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${title}\n\n${lines.map((line) => `  ${line}\n`).join('')}`
}

function formatPValue(pValue: number): string {
  return pValue >= 0.001 ? pValue.toFixed(3) : pValue.toExponential(1)
}

function formatSmall(value: number): string {
  return value === 0 ? '0' : value.toExponential(1)
}

/**
 * Renders a table with aligned columns: the first to the left, the others to the right.
 *
 * @param headings - Column headings.
 * @param rows - Cells, one list a row.
 * @returns Text, with a newline at the end.
 */
export function textTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return column === 0 ? cell.padEnd(width) : cell.padStart(width)
      })
      .join('  ')
      .trimEnd()
  const rule = widths.map((width) => '-'.repeat(width))
  return [headings, rule, ...rows].map((cells) => `${line(cells)}\n`).join('')
}
