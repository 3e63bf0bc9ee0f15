/**
 * Charts of a run, as inline SVG: time against batch size, time against vocabulary size, rate against the ceiling.
 *
 * @module
 */
import * as Plot from '@observablehq/plot'
import { parseHTML } from 'linkedom'
import { achievedGBs, type BenchRecord, type BenchReport, ceilingFor } from '../record.ts'

/** A chart with its texts. */
export interface Chart {
  /** What is drawn. */
  title: string
  /** How to read it, and what was held fixed. */
  caption: string
  /** SVG element as text. */
  svg: string
  /** Contenders drawn as lines. */
  series: readonly string[]
}

/** Contenders that are drawn as lines, with the CSS colour of each: colours follow the contender everywhere. */
export const SERIES: ReadonlyMap<string, string> = new Map([
  ['flashsampling', 'var(--series-own)'],
  ['flashsampling-two-step', 'var(--series-two-step)'],
  ['onnxruntime-node', 'var(--series-engine)'],
  ['flashsampling-typescript', 'var(--series-typescript)'],
])

const WIDTH = 440
const HEIGHT = 320
const LAYOUT = { width: WIDTH, height: HEIGHT, marginLeft: 52, marginRight: 12, marginBottom: 40 }

/**
 * Draws time against batch size, one chart per shape, storage format and number of threads.
 *
 * @param report - The run.
 * @returns Charts with at least three batch sizes.
 */
export function batchCharts(report: BenchReport): Chart[] {
  const charts: Chart[] = []
  for (const records of groupBy(drawable(report), chartKey).values()) {
    const [first] = records
    const batchSizes = distinct(records.map(({ batchSize }) => batchSize))
    if (first === undefined || batchSizes.length < 3) continue
    const points = pointsOf(records, ({ batchSize }) => batchSize)
    charts.push({
      title: `${first.case} ${first.dtype}, ${threadsText(first.threads)}`,
      caption: `Median time of a draw against batch size; V = ${thousands(first.vocabSize)}, D = ${thousands(first.hiddenSize)}. Both axes are logarithmic.`,
      series: seriesOf(points),
      svg: lineChart(
        points,
        floorPoints(report, records, ({ batchSize }) => batchSize),
        {
          x: { type: 'log', base: 2, label: 'batch size →', ticks: batchSizes, tickFormat: String },
          y: { type: 'log', label: '↑ ms', tickFormat: compact },
        },
      ),
    })
  }
  return charts
}

/**
 * Draws time against vocabulary size at one row, one chart per storage format and number of threads.
 *
 * @param report - The run.
 * @returns Charts with at least three vocabulary sizes of the same width.
 */
export function vocabularyCharts(report: BenchReport): Chart[] {
  const charts: Chart[] = []
  const singleRows = drawable(report).filter(({ batchSize }) => batchSize === 1)
  const groups = groupBy(singleRows, (r) => `${r.dtype} ${r.threads} ${r.hiddenSize}`)
  for (const records of groups.values()) {
    const [first] = records
    const sizes = distinct(records.map(({ vocabSize }) => vocabSize))
    if (first === undefined || sizes.length < 3) continue
    const points = pointsOf(records, ({ vocabSize }) => vocabSize)
    charts.push({
      title: `${first.dtype}, D = ${thousands(first.hiddenSize)}, ${threadsText(first.threads)}`,
      caption: 'Median time of a draw of one row against vocabulary size. Both axes start at zero.',
      series: seriesOf(points),
      svg: lineChart(
        points,
        floorPoints(report, records, ({ vocabSize }) => vocabSize),
        {
          x: {
            label: 'vocabulary size →',
            domain: [0, Math.max(...sizes)],
            ticks: 4,
            tickFormat: (value: number) => (value === 0 ? '0' : `${Math.round(value / 1000)}k`),
          },
          y: { label: '↑ ms', zero: true, ticks: 6 },
        },
      ),
    })
  }
  return charts
}

/**
 * Draws how much of the read ceiling the fused draw of one row reaches, one bar per shape, format and thread count.
 *
 * @param report - The run.
 * @returns The chart, or none where nothing fits.
 */
export function ceilingChart(report: BenchReport): Chart[] {
  const records = drawable(report).filter(
    ({ contender, batchSize, case: name }) =>
      contender === 'flashsampling' && batchSize === 1 && !name.startsWith('vocab-'),
  )
  if (records.length === 0) return []
  const bars = records.map((record) => ({
    label: `${record.case} ${record.dtype}, ${threadsText(record.threads)}`,
    rate: achievedGBs(record),
    ceiling: ceilingFor(report, record),
  }))
  const svg = toSvg({
    ...LAYOUT,
    height: 60 + bars.length * 26,
    marginLeft: 152,
    marginRight: 46,
    x: { label: 'GB/s →', zero: true, ticks: 6, grid: true },
    y: { label: null, domain: bars.map(({ label }) => label) },
    marks: [
      Plot.barX(bars, {
        x: 'rate',
        y: 'label',
        fill: 'var(--series-own)',
        insetTop: 3,
        insetBottom: 3,
        rx2: 3,
      }),
      Plot.tickX(bars, { x: 'ceiling', y: 'label', stroke: 'currentColor', strokeWidth: 2 }),
      Plot.text(bars, {
        x: (bar: (typeof bars)[number]) => Math.max(bar.rate, bar.ceiling),
        y: 'label',
        text: (bar: (typeof bars)[number]) => `${((bar.rate / bar.ceiling) * 100).toFixed(0)} %`,
        textAnchor: 'start',
        dx: 7,
        fill: 'currentColor',
      }),
    ],
  })
  return [
    {
      title: 'Rate at which the head is read, one row',
      caption:
        'Bars: bytes of the head by the median time. Marks: the fastest plain read of the same process with as many threads, timed in the same rounds.',
      svg,
      series: [],
    },
  ]
}

interface Point {
  x: number
  ms: number
  low: number
  high: number
  contender: string
}

function lineChart(
  points: readonly Point[],
  floor: readonly { x: number; ms: number }[],
  axes: { x: object; y: object },
): string {
  const names = [...SERIES.keys()]
  // Drawn later means on top: the library's own line comes last.
  const ordered = [...points].sort(
    (a, b) => names.indexOf(b.contender) - names.indexOf(a.contender) || a.x - b.x,
  )
  const present = [...SERIES].filter(([name]) =>
    ordered.some(({ contender }) => contender === name),
  )
  return toSvg({
    ...LAYOUT,
    x: { grid: true, ...axes.x },
    y: { grid: true, insetBottom: 'zero' in axes.y ? 0 : 10, ...axes.y },
    color: { domain: present.map(([name]) => name), range: present.map(([, color]) => color) },
    marks: [
      Plot.line(floor, {
        x: 'x',
        y: 'ms',
        stroke: 'currentColor',
        strokeDasharray: '5 4',
        strokeWidth: 1.5,
      }),
      Plot.ruleX(ordered, {
        x: 'x',
        y1: 'low',
        y2: 'high',
        stroke: 'contender',
        strokeOpacity: 0.5,
      }),
      Plot.line(ordered, { x: 'x', y: 'ms', stroke: 'contender', strokeWidth: 2 }),
      Plot.dot(ordered, { x: 'x', y: 'ms', fill: 'contender', r: 3.5, title: pointTitle }),
    ],
  })
}

function pointsOf(records: readonly BenchRecord[], xOf: (record: BenchRecord) => number): Point[] {
  return records.map((record) => ({
    x: xOf(record),
    ms: record.medianUs / 1000,
    low: record.p10Us / 1000,
    high: record.p90Us / 1000,
    contender: record.contender,
  }))
}

function seriesOf(points: readonly Point[]): string[] {
  return [...SERIES.keys()].filter((name) => points.some(({ contender }) => contender === name))
}

function pointTitle({ contender, x, ms, low, high }: Point): string {
  return `${contender}, ${thousands(x)}: ${ms.toFixed(2)} ms (p10 ${low.toFixed(2)}, p90 ${high.toFixed(2)})`
}

/** Time that reading the bytes takes at the ceiling: no draw that reads its head from memory can be faster. */
function floorPoints(
  report: BenchReport,
  records: readonly BenchRecord[],
  xOf: (record: BenchRecord) => number,
): { x: number; ms: number }[] {
  const byX = new Map(records.map((record) => [xOf(record), record]))
  return [...byX]
    .map(([x, record]) => ({ x, ms: record.bytes / ceilingFor(report, record) / 1e6 }))
    .sort((a, b) => a.x - b.x)
}

function drawable(report: BenchReport): BenchRecord[] {
  return report.records.filter(
    ({ op, variant, contender }) => op === 'sample' && variant === 'plain' && SERIES.has(contender),
  )
}

function chartKey({ case: name, dtype, threads }: BenchRecord): string {
  return `${name} ${dtype} ${threads}`
}

function toSvg(options: Plot.PlotOptions): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>')
  const figure = Plot.plot({ ...options, document: document as unknown as Document })
  return figure.outerHTML
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item])
  return groups
}

function distinct(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b)
}

function threadsText(threads: number): string {
  return threads === 1 ? '1 thread' : `${threads} threads`
}

function thousands(value: number): string {
  return value.toLocaleString('en')
}

function compact(value: number): string {
  return String(Number(value.toPrecision(3)))
}
