import { describe, expect, it } from 'vitest'
import { makeRecord, makeReport } from '../../test/bench-report.ts'
import { type SummaryLine, summarizeReport } from './summary.ts'

function lineOf(lines: readonly SummaryLine[], ...parts: string[]): SummaryLine {
  const found = lines.filter(({ title }) => parts.every((part) => title.includes(part)))
  expect(found).toHaveLength(1)
  return found[0] as SummaryLine
}

describe('summarizeReport()', () => {
  it('passes four times plain TypeScript on the q8_0 head and misses less', () => {
    const lines = summarizeReport(
      makeReport([
        makeRecord({ dtype: 'q8_0', medianUs: 10_000 }),
        makeRecord({ dtype: 'q8_0', medianUs: 40_000, contender: 'flashsampling-typescript' }),
        makeRecord({ dtype: 'q8_0', batchSize: 8, medianUs: 10_000 }),
        makeRecord({
          dtype: 'q8_0',
          batchSize: 8,
          medianUs: 39_900,
          contender: 'flashsampling-typescript',
        }),
      ]),
    )
    expect(lineOf(lines, 'plain TypeScript', 'Qwen3', 'B=1')).toMatchObject({
      status: 'pass',
      measured: '4.00x',
      isPromised: true,
    })
    expect(lineOf(lines, 'plain TypeScript', 'Qwen3', 'B=8').status).toBe('miss')
  })

  it('compares the f32 head with the plain read of the same rounds', () => {
    const read = { contender: 'read-ceiling', bytes: 600_000_000, medianUs: 20_000 }
    const passing = makeReport([makeRecord({}), makeRecord(read)])
    expect(lineOf(summarizeReport(passing), 'read ceiling', 'Qwen3', 'f32')).toMatchObject({
      status: 'pass',
      measured: '83 % (25.0 of 30.0 GB/s)',
    })
    const missing = makeReport([makeRecord({ medianUs: 22_000 }), makeRecord(read)])
    expect(lineOf(summarizeReport(missing), 'read ceiling', 'Qwen3', 'f32').status).toBe('miss')
  })

  it('compares with the fastest sampling around onnxruntime-node, at the same number of threads', () => {
    const lines = summarizeReport(
      makeReport([
        makeRecord({ medianUs: 20_000 }),
        makeRecord({ medianUs: 10_000, contender: 'onnxruntime-node', threads: 2 }),
        makeRecord({ medianUs: 26_000, contender: 'onnxruntime-node' }),
        makeRecord({ medianUs: 24_000, contender: 'onnxruntime-node-gumbel' }),
        makeRecord({ medianUs: 1000, contender: 'onnxruntime-node-matmul' }),
      ]),
    )
    expect(lineOf(lines, 'MatMul)', 'Qwen3', 'B=1', '1 thread')).toMatchObject({
      status: 'pass',
      measured: '1.20x as fast (20.00 ms against 24.00 ms, onnxruntime-node-gumbel)',
    })
    expect(lineOf(lines, 'MatMul)', 'Qwen3', 'B=1', '2 threads').status).toBe('not measured')
  })

  it('holds the memory of a draw of eight rows against 1 MiB', () => {
    const report = (allocatedBytes: number) =>
      makeReport([makeRecord({ dtype: 'q8_0', batchSize: 8, allocatedBytes })])
    const under = lineOf(summarizeReport(report(2 ** 20 - 1)), 'Memory', 'q8_0')
    expect(under).toMatchObject({ status: 'pass', measured: '1024 KiB' })
    expect(lineOf(summarizeReport(report(2 ** 20)), 'Memory', 'q8_0').status).toBe('miss')
  })

  it('keeps promised lines that were not measured and drops the others', () => {
    const lines = summarizeReport(makeReport([makeRecord({})]))
    expect(lines.filter(({ status }) => status === 'not measured').length).toBeGreaterThan(5)
    expect(lines.filter((line) => line.status === 'not measured' && !line.isPromised)).toEqual([])
  })
})
