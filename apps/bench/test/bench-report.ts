/**
 * A small run with made-up, round figures for tests of what is computed from runs.
 *
 * @module
 */
import type { BenchRecord, BenchReport } from '../src/harness/record.ts'

/**
 * Makes a record of the shape of `qwen3`.
 *
 * @param fields - What differs from a plain draw of one row from an f32 head on one thread in 20 ms.
 * @returns The record.
 */
export function makeRecord(fields: Partial<BenchRecord>): BenchRecord {
  return {
    op: fields.contender === 'read-ceiling' ? 'read' : 'sample',
    case: 'qwen3',
    vocabSize: 151_936,
    hiddenSize: 1024,
    batchSize: 1,
    worldSize: 1,
    dtype: 'f32',
    variant: 'plain',
    contender: 'flashsampling',
    threads: 1,
    medianUs: 20_000,
    p10Us: 19_000,
    p90Us: 23_000,
    samples: 30,
    bytes: 500_000_000,
    ...fields,
  }
}

/**
 * Makes a run.
 *
 * @param records - Its records.
 * @returns The run.
 */
export function makeReport(records: BenchRecord[]): BenchReport {
  return {
    schema: 1,
    device: 'Test <CPU>',
    driver: 'Linux 6',
    versions: { node: '20.20.2' },
    commit: 'abc1234',
    takenAt: '2026-11-01T10:00:00.000Z',
    readCeilingGBs: 40,
    readRates: [{ method: 'memchr', threads: 1, gigabytesPerSecond: 25, samples: 20 }],
    processors: 2,
    loadAverage: { before: 0.1, after: 1 },
    quick: false,
    records,
  }
}
