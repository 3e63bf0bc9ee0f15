/**
 * The self-contained HTML report of a run: summary, charts and every number, with no reference to anything outside.
 *
 * @module
 */
import { describeRun, RECORD_HEADINGS, recordCells, tableTitle } from '../markdown.ts'
import type { BenchRecord, BenchReport } from '../record.ts'
import { type SummaryLine, summarizeReport } from '../summary.ts'
import { batchCharts, type Chart, ceilingChart, SERIES, vocabularyCharts } from './charts.ts'
import { REPORT_STYLE } from './style.ts'

/**
 * Renders a run.
 *
 * @param report - The run.
 * @returns One HTML document.
 */
export function reportToHtml(report: BenchReport): string {
  const lines = summarizeReport(report)
  const title = `FlashSampling benchmark: ${report.device}`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<style>${REPORT_STYLE}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
<p class="run">${escapeHtml(describeRun(report))}</p>
<h2>Promised lines</h2>
${summaryTable(lines.filter(({ isPromised }) => isPromised))}
<details><summary>For comparison, not promised</summary>
${summaryTable(lines.filter(({ isPromised }) => !isPromised))}
</details>
${section('Time against batch size', batchCharts(report))}
${section('Time against vocabulary size', vocabularyCharts(report))}
${section('Share of the read ceiling', ceilingChart(report))}
<h2>All measurements</h2>
${readTable(report)}
${recordTables(report)}
<h2>Method</h2>
${METHOD}
</main>
</body>
</html>
`
}

const METHOD = `<ul>
<li>All contenders of a cell run in one process and take turns, one sample each a round, in rotating order.</li>
<li>Before every sample four times the last-level cache is read, so that the head comes from memory.</li>
<li>Every call has other hidden states and other noise than the one before.</li>
<li>Warm-up goes by time. Lines and tables show the median; vertical strokes reach from the 10th to the 90th percentile.</li>
<li>The read ceiling is the fastest of several plain reads, of as many bytes with as many threads, timed in the same rounds.</li>
<li>GB/s counts the bytes of the head once and the hidden states; larger batches are bound by arithmetic.</li>
<li><i>Allocated</i> counts what a draw allocates and the workspace that stays, beside weights and inputs.</li>
</ul>`

function section(title: string, charts: readonly Chart[]): string {
  if (charts.length === 0) return ''
  const figures = charts.map(
    (chart) =>
      `<figure><h3>${escapeHtml(chart.title)}</h3>${chart.svg}<figcaption>${escapeHtml(chart.caption)}</figcaption></figure>`,
  )
  return `<h2>${escapeHtml(title)}</h2>\n${legendOf(charts)}\n<div class="charts">\n${figures.join('\n')}\n</div>`
}

/** Names the lines of the charts; charts without lines need no legend. */
function legendOf(charts: readonly Chart[]): string {
  const present = [...SERIES].filter(([name]) => charts.some(({ series }) => series.includes(name)))
  if (present.length === 0) return ''
  const items = present.map(
    ([name, color]) => `<span><i style="background:${color}"></i>${escapeHtml(name)}</span>`,
  )
  const floor = '<span><i class="floor"></i>memory floor: bytes to read by the read ceiling</span>'
  return `<p class="legend">${items.join('')}${floor}</p>`
}

function summaryTable(lines: readonly SummaryLine[]): string {
  const rows = lines.map(({ title, target, measured, status }) => {
    return `<tr class="${status.replace(' ', '-')}"><td>${status}</td><td>${escapeHtml(title)}</td><td>${escapeHtml(target)}</td><td>${escapeHtml(measured)}</td></tr>`
  })
  return tableOf(['result', 'what', 'target', 'measured'], rows.join('\n'), 'summary')
}

function readTable(report: BenchReport): string {
  const rows = report.readRates.map(
    ({ method, threads, gigabytesPerSecond, samples }) =>
      `<tr><td>${escapeHtml(method)}</td><td>${threads}</td><td>${gigabytesPerSecond.toFixed(1)}</td><td>${samples}</td></tr>`,
  )
  const table = tableOf(['plain read', 'threads', 'GB/s', 'samples'], rows.join('\n'), '')
  return `<details><summary>Plain reads of memory</summary>${table}</details>`
}

function recordTables(report: BenchReport): string {
  const tables = new Map<string, BenchRecord[]>()
  for (const record of report.records) {
    if (record.op !== 'sample') continue
    const title = tableTitle(record)
    tables.set(title, [...(tables.get(title) ?? []), record])
  }
  return [...tables]
    .map(([title, records]) => {
      const rows = records.map((record) => {
        const cells = recordCells(report, record).map((cell) => `<td>${escapeHtml(cell)}</td>`)
        return `<tr>${cells.join('')}</tr>`
      })
      const table = tableOf(RECORD_HEADINGS, rows.join('\n'), 'records')
      return `<details><summary>${escapeHtml(title)}</summary>${table}</details>`
    })
    .join('\n')
}

function tableOf(headings: readonly string[], rows: string, className: string): string {
  const head = headings.map((heading) => `<th>${escapeHtml(heading)}</th>`).join('')
  return `<div class="scroll"><table class="${className}"><thead><tr>${head}</tr></thead><tbody>\n${rows}\n</tbody></table></div>`
}

function escapeHtml(text: string): string {
  return text.replace(
    /[&<>"']/g,
    (character) =>
      ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[character] ?? '',
  )
}
