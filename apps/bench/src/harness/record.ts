/**
 * The file that a benchmark run writes, and the check that reads it back.
 *
 * @see design contract, "Errors, variables, records"
 * @module
 */
import { UserError } from '../ui/user-error.ts'
import type { ReadRate } from './read-ceiling.ts'

/** One contender on one shape, dtype, batch size and variant. */
export interface BenchRecord {
  /** `sample`: tokens are drawn; `read`: memory is read and nothing else is done. */
  op: 'sample' | 'read'
  /** Name of the shape. */
  case: string
  /** Tokens. */
  vocabSize: number
  /** Width of a hidden state, elements. */
  hiddenSize: number
  /** Rows. */
  batchSize: number
  /** Devices that share the head. */
  worldSize: number
  /** Storage format of the head. */
  dtype: string
  /** What is asked of the draw. */
  variant: string
  /** Who was timed. */
  contender: string
  /** Threads it used. */
  threads: number
  /** Median time of a call, microseconds. */
  medianUs: number
  /** 10th percentile, microseconds. */
  p10Us: number
  /** 90th percentile, microseconds. */
  p90Us: number
  /** Calls that were timed. */
  samples: number
  /** Bytes that a call has to read: the head once, and the hidden states. */
  bytes: number
  /** Memory that a draw takes beside its inputs: what it allocates and the workspace it keeps, bytes. */
  allocatedBytes?: number | undefined
}

/** Where and when a run took place, and of what; every file of results begins with it. */
export interface RunHead {
  /** Version of this form. */
  schema: 1
  /** Model of the processor or accelerator. */
  device: string
  /** Operating system, or version of the accelerator's driver. */
  driver: string
  /** Versions of what took part. */
  versions: Record<string, string>
  /** Commit of the repository, with `-dirty` where the tree differed from it. */
  commit: string
  /** ISO 8601, UTC. */
  takenAt: string
}

/** One run of the benchmark. */
export interface BenchReport extends RunHead {
  /** Highest rate at which this process could read memory, over all thread counts, 1e9 bytes per second. */
  readCeilingGBs: number
  /** Every measured way to read memory. */
  readRates: ReadRate[]
  /** Processors that the process may use. */
  processors: number
  /** One-minute load average before and after the run. */
  loadAverage: { before: number; after: number }
  /** Whether the short form was asked for: too few samples for figures that are published. */
  quick: boolean
  /** One entry per contender and cell. */
  records: BenchRecord[]
}

const RECORD_NUMBERS = [
  'vocabSize',
  'hiddenSize',
  'batchSize',
  'worldSize',
  'threads',
  'medianUs',
  'p10Us',
  'p90Us',
  'samples',
  'bytes',
] as const
const RECORD_TEXTS = ['op', 'case', 'dtype', 'variant', 'contender'] as const

/**
 * Reads a report back.
 *
 * @param text - JSON.
 * @param name - Name of the file, for the message.
 * @returns The report.
 * @throws {UserError} when the text is not JSON, has another schema, or lacks a field.
 */
export function parseReport(text: string, name: string): BenchReport {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new UserError(
      `Cannot read ${name} as it is not JSON: give a file that "run" has written`,
      {
        cause,
      },
    )
  }
  const report = (typeof value === 'object' && value !== null ? value : {}) as Partial<BenchReport>
  const fail = (field: string, rule: string, found: unknown): never => {
    throw new UserError(
      `Cannot read ${name} as "${field}" must be ${rule}: current value is ${JSON.stringify(found)}`,
    )
  }
  if (report.schema !== 1) fail('schema', '1', report.schema)
  for (const field of ['device', 'driver', 'commit', 'takenAt'] as const) {
    if (typeof report[field] !== 'string') fail(field, 'a string', report[field])
  }
  if (!isPositive(report.readCeilingGBs))
    fail('readCeilingGBs', 'a number > 0', report.readCeilingGBs)
  if (!Array.isArray(report.records)) fail('records', 'a list', report.records)
  report.records?.forEach((record, i) => {
    for (const field of RECORD_TEXTS) {
      if (typeof record[field] !== 'string')
        fail(`records[${i}].${field}`, 'a string', record[field])
    }
    for (const field of RECORD_NUMBERS) {
      if (!isPositive(record[field])) fail(`records[${i}].${field}`, 'a number > 0', record[field])
    }
  })
  return report as BenchReport
}

/**
 * Writes a report as text, one record a line, so that two runs can be compared with a line diff.
 *
 * @param report - The report.
 * @returns JSON with a newline at the end.
 */
export function formatReport(report: { records: object[]; readRates: object[] }): string {
  const { records, readRates, ...head } = report
  const lines = (items: readonly object[]): string =>
    items.map((item) => `\n    ${JSON.stringify(item)}`).join(',')
  const start = JSON.stringify(head, null, 2).replace(/\n}$/, '')
  return `${start},\n  "readRates": [${lines(readRates)}\n  ],\n  "records": [${lines(records)}\n  ]\n}\n`
}

/** Identifies the cell of a record: everything but the contender and its threads. */
export type Cell = Pick<BenchRecord, 'case' | 'dtype' | 'batchSize' | 'variant'>

/**
 * Finds one record.
 *
 * @param report - The report.
 * @param cell - Shape, dtype, batch size and variant.
 * @param contender - Who.
 * @param threads - Threads it used.
 * @returns The record, or `undefined` where it was not measured.
 */
export function findRecord(
  report: BenchReport,
  cell: Cell,
  contender: string,
  threads: number,
): BenchRecord | undefined {
  return report.records.find(
    (record) =>
      record.contender === contender &&
      record.threads === threads &&
      record.case === cell.case &&
      record.dtype === cell.dtype &&
      record.batchSize === cell.batchSize &&
      record.variant === cell.variant,
  )
}

/**
 * Rate at which a record's bytes went by.
 *
 * @param record - The record.
 * @returns 1e9 bytes per second.
 */
export function achievedGBs(record: BenchRecord): number {
  return record.bytes / record.medianUs / 1e3
}

/** Name under which plain reads are timed beside the contenders. */
export const READ_CONTENDER = 'read-ceiling'

/**
 * Read ceiling for a record: taken in the same rounds as the record itself, or else at the run's start and end.
 *
 * @param report - The report.
 * @param record - One of its records.
 * @returns 1e9 bytes per second.
 */
export function ceilingFor(report: BenchReport, record: BenchRecord): number {
  const read = findRecord(report, record, READ_CONTENDER, record.threads)
  if (read !== undefined) return achievedGBs(read)
  const rates = report.readRates.filter((rate) => rate.threads === record.threads)
  return rates.length === 0
    ? report.readCeilingGBs
    : Math.max(...rates.map((rate) => rate.gigabytesPerSecond))
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0
}
