/**
 * The lines that the project promises, computed from one run: passed, missed or not measured.
 *
 * @module
 */
import { SHAPES } from '../cases/shapes.ts'
import {
  achievedGBs,
  type BenchRecord,
  type BenchReport,
  type Cell,
  ceilingFor,
  findRecord,
} from './record.ts'

/** One promise, held against a run. */
export interface SummaryLine {
  /** What is compared, on what. */
  title: string
  /** What is promised, for example `>= 4x`. */
  target: string
  /** What was measured, in words; empty where nothing was. */
  measured: string
  /** Outcome. */
  status: 'pass' | 'miss' | 'not measured'
  /** Whether the project promises it; the others are shown for comparison. */
  isPromised: boolean
}

const SHAPE_NAMES = ['smollm2', 'qwen3']
const BATCH_SIZES = [1, 8]
const MIN_WASM_SPEEDUP = 4
const MIN_CEILING_SHARE = 0.8
const MAX_ALLOCATED_BYTES = 2 ** 20
/** The comparison is with the fastest way to sample in JavaScript. */
const ONNXRUNTIME_NAMES = [
  'onnxruntime-node',
  'onnxruntime-node-gumbel',
  'onnxruntime-node-softmax',
]

/**
 * Holds a run against what the project promises.
 *
 * @param report - The run.
 * @returns One line per promise and cell; lines of unmeasured cells are kept, so that nothing is passed over.
 */
export function summarizeReport(report: BenchReport): SummaryLine[] {
  const threadCounts = [...new Set(report.records.map(({ threads }) => threads))].sort(
    (a, b) => a - b,
  )
  const lines: SummaryLine[] = []
  for (const name of SHAPE_NAMES) {
    for (const batchSize of BATCH_SIZES) {
      lines.push(wasmLine(report, { ...cellOf(name, 'q8_0'), batchSize }))
    }
  }
  for (const name of SHAPE_NAMES) {
    for (const threads of threadCounts) {
      lines.push(ceilingLine(report, cellOf(name, 'f32'), threads, true))
    }
  }
  for (const dtype of ['f32', 'q8_0']) {
    for (const name of SHAPE_NAMES) {
      for (const batchSize of BATCH_SIZES) {
        for (const threads of threadCounts) {
          lines.push(engineLine(report, { ...cellOf(name, dtype), batchSize }, threads))
        }
      }
    }
  }
  for (const dtype of ['q8_0', 'f32']) {
    for (const threads of threadCounts) {
      lines.push(memoryLine(report, { ...cellOf('qwen3', dtype), batchSize: 8 }, threads))
    }
  }
  for (const name of SHAPE_NAMES) {
    for (const dtype of ['q8_0', 'bf16', 'f16']) {
      for (const threads of threadCounts) {
        lines.push(ceilingLine(report, cellOf(name, dtype), threads, false))
      }
    }
  }
  return lines.filter((line) => line.isPromised || line.status !== 'not measured')
}

function cellOf(name: string, dtype: string): Cell {
  return { case: name, dtype, batchSize: 1, variant: 'plain' }
}

function wasmLine(report: BenchReport, cell: Cell): SummaryLine {
  const typescript = findRecord(report, cell, 'flashsampling-typescript', 1)
  const wasm = findRecord(report, cell, 'flashsampling', 1)
  const ratio = typescript && wasm && typescript.medianUs / wasm.medianUs
  return {
    title: `WASM against plain TypeScript, ${describe(cell)}, 1 thread`,
    target: `>= ${MIN_WASM_SPEEDUP}x`,
    measured: ratio === undefined ? '' : `${ratio.toFixed(2)}x`,
    status: statusOf(ratio, (value) => value >= MIN_WASM_SPEEDUP),
    isPromised: true,
  }
}

function ceilingLine(
  report: BenchReport,
  cell: Cell,
  threads: number,
  isPromised: boolean,
): SummaryLine {
  const record = findRecord(report, cell, 'flashsampling', threads)
  const share = record && achievedGBs(record) / ceilingFor(report, record)
  return {
    title: `Share of the read ceiling, ${describe(cell)}, ${threadsText(threads)}`,
    target: `>= ${MIN_CEILING_SHARE * 100} %`,
    measured: record && share ? ceilingText(report, record, share) : '',
    status: statusOf(share, (value) => value >= MIN_CEILING_SHARE),
    isPromised,
  }
}

function ceilingText(report: BenchReport, record: BenchRecord, share: number): string {
  const achieved = achievedGBs(record).toFixed(1)
  const ceiling = ceilingFor(report, record).toFixed(1)
  return `${(share * 100).toFixed(0)} % (${achieved} of ${ceiling} GB/s)`
}

function engineLine(report: BenchReport, cell: Cell, threads: number): SummaryLine {
  const own = findRecord(report, cell, 'flashsampling', threads)
  const others = ONNXRUNTIME_NAMES.flatMap(
    (name) => findRecord(report, cell, name, threads) ?? [],
  ).sort((a, b) => a.medianUs - b.medianUs)
  const best = others[0]
  const ratio = own && best && best.medianUs / own.medianUs
  const what = cell.dtype === 'f32' ? 'MatMul' : 'MatMulNBits, 8-bit hidden states'
  return {
    title: `Against onnxruntime-node (${what}) + JavaScript sampling, ${describe(cell)}, ${threadsText(threads)}`,
    target: 'not slower',
    measured:
      own && best && ratio
        ? `${ratio.toFixed(2)}x as fast (${milliseconds(own)} against ${milliseconds(best)}, ${best.contender})`
        : '',
    status: statusOf(ratio, (value) => value >= 1),
    isPromised: cell.dtype === 'f32',
  }
}

function memoryLine(report: BenchReport, cell: Cell, threads: number): SummaryLine {
  const bytes = findRecord(report, cell, 'flashsampling', threads)?.allocatedBytes
  return {
    title: `Memory of a draw beside its inputs, ${describe(cell)}, ${threadsText(threads)}`,
    target: '< 1 MiB',
    measured: bytes === undefined ? '' : `${(bytes / 1024).toFixed(0)} KiB`,
    status: statusOf(bytes, (value) => value < MAX_ALLOCATED_BYTES),
    isPromised: true,
  }
}

function describe(cell: Cell): string {
  const title = SHAPES.find(({ name }) => name === cell.case)?.title ?? cell.case
  return `${title} ${cell.dtype} B=${cell.batchSize}`
}

function threadsText(threads: number): string {
  return threads === 1 ? '1 thread' : `${threads} threads`
}

function milliseconds(record: BenchRecord): string {
  return `${(record.medianUs / 1000).toFixed(2)} ms`
}

function statusOf(
  value: number | undefined,
  passes: (value: number) => boolean,
): SummaryLine['status'] {
  if (value === undefined) return 'not measured'
  return passes(value) ? 'pass' : 'miss'
}
