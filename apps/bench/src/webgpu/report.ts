/**
 * The file of a WebGPU run, and its tables.
 *
 * @module
 */
import type { BenchReport } from '../harness/record.ts'
import type { AdapterFacts, WebGpuReadRate, WebGpuRecord } from './messages.ts'

/** One WebGPU run. */
export interface WebGpuReport extends Omit<BenchReport, 'records' | 'readRates'> {
  backend: 'webgpu'
  /** Where WebGPU came from: Dawn in Node, or a browser. */
  host: 'node' | 'chromium'
  adapter: AdapterFacts
  /** Model of the processor. */
  processor: string
  readRates: WebGpuReadRate[]
  /** What could not be timed, and why. */
  leftOut: Record<string, string>
  records: WebGpuRecord[]
}

/**
 * Renders a run.
 *
 * @param report - The run.
 * @returns Markdown.
 */
export function webGpuReportToMarkdown(report: WebGpuReport): string {
  const versions = Object.entries(report.versions).map(([name, version]) => `${name} ${version}`)
  const parts = [
    `${report.device} (${report.driver}), ${versions.join(', ')}, commit ${report.commit}` +
      `${report.quick ? ', quick: too few samples to publish' : ''}\n`,
  ]
  const cells = new Map<string, WebGpuRecord[]>()
  for (const record of report.records) {
    const key = `${record.case} ${record.dtype}, ${record.batchSize} rows`
    cells.set(key, [...(cells.get(key) ?? []), record])
  }
  for (const [title, records] of cells) parts.push(`### ${title}\n\n${renderCell(records)}`)
  const missing = Object.entries(report.leftOut)
  if (missing.length > 0) {
    parts.push(missing.map(([what, reason]) => `- left out: ${what}: ${reason}\n`).join(''))
  }
  return parts.join('\n')
}

function renderCell(records: readonly WebGpuRecord[]): string {
  const own = records.find(({ contender }) => contender === 'flashsampling')
  const read = records.find(({ op }) => op === 'read')
  const ms = (us: number): string => (us / 1000).toFixed(us < 100_000 ? 3 : 1)
  const rows = records.map((record) => [
    record.contender,
    ms(record.medianUs),
    ms(record.p10Us),
    ms(record.p90Us),
    record.gpuMedianUs === undefined ? '–' : ms(record.gpuMedianUs),
    read === undefined ? '–' : ((timeOf(read) / timeOf(record)) * 100).toFixed(0),
    own === undefined ? '–' : (record.medianUs / own.medianUs).toFixed(2),
    String(record.readbackBytes),
    String(record.dispatches),
  ])
  const headings = [
    ...['contender', 'median ms', 'p10', 'p90', 'GPU ms', '% of ceiling', '× flashsampling'],
    ...['bytes read back', 'dispatches'],
  ]
  const line = (texts: readonly string[]): string => `| ${texts.join(' | ')} |\n`
  return `${line(headings)}|---|${headings
    .slice(1)
    .map(() => '---:|')
    .join('')}\n${rows.map(line).join('')}`
}

/** Time that a rate is taken from: that of the GPU where it is known. */
function timeOf({ gpuMedianUs, medianUs }: WebGpuRecord): number {
  return gpuMedianUs ?? medianUs
}
