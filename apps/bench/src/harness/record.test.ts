import { describe, expect, it } from 'vitest'
import { makeRecord, makeReport } from '../../test/bench-report.ts'
import { achievedGBs, ceilingFor, findRecord, formatReport, parseReport } from './record.ts'

const read = makeRecord({ contender: 'read-ceiling', medianUs: 20_000, bytes: 600_000_000 })
const own = makeRecord({ allocatedBytes: 4096 })
const report = makeReport([own, read, makeRecord({ batchSize: 8 }), makeRecord({ threads: 2 })])

describe('parseReport()', () => {
  it('gives back what formatReport() wrote', () => {
    expect(parseReport(formatReport(report), 'a.json')).toEqual(report)
  })

  it('reads a report without records', () => {
    expect(parseReport(formatReport(makeReport([])), 'a.json').records).toEqual([])
  })

  it.each([
    ['{', 'it is not JSON'],
    ['[]', '"schema" must be 1: current value is undefined'],
    [JSON.stringify({ ...report, schema: 2 }), '"schema" must be 1: current value is 2'],
    [JSON.stringify({ ...report, readCeilingGBs: 0 }), '"readCeilingGBs" must be a number > 0'],
    [
      JSON.stringify({ ...report, records: [{ ...own, medianUs: 'fast' }] }),
      '"records[0].medianUs" must be a number > 0: current value is "fast"',
    ],
    [
      JSON.stringify({ ...report, records: [own, { ...own, contender: undefined }] }),
      '"records[1].contender" must be a string',
    ],
  ])('refuses %.20s with the field and its value', (text, message) => {
    expect(() => parseReport(text, 'a.json')).toThrow(message)
  })
})

describe('formatReport()', () => {
  it('writes every record on a line of its own', () => {
    const lines = formatReport(report).split('\n')
    expect(lines.filter((line) => line.includes('"medianUs"'))).toHaveLength(report.records.length)
  })
})

describe('ceilingFor()', () => {
  it('takes the plain read of the same cell and number of threads', () => {
    // 600 MB in 20 ms.
    expect(ceilingFor(report, own)).toBeCloseTo(30, 9)
  })

  it('falls back to the rates at the start and end of the run, then to the highest one', () => {
    expect(ceilingFor(report, makeRecord({ batchSize: 8 }))).toBe(25)
    expect(ceilingFor(report, makeRecord({ threads: 2 }))).toBe(40)
  })
})

describe('achievedGBs()', () => {
  it('divides the bytes by the median', () => {
    expect(achievedGBs(own)).toBeCloseTo(25, 9)
  })
})

describe('findRecord()', () => {
  it('tells cells and numbers of threads apart', () => {
    expect(findRecord(report, own, 'flashsampling', 2)?.threads).toBe(2)
    expect(findRecord(report, { ...own, batchSize: 8 }, 'flashsampling', 1)?.batchSize).toBe(8)
    expect(findRecord(report, own, 'flashsampling', 3)).toBeUndefined()
    expect(findRecord(report, { ...own, dtype: 'bf16' }, 'flashsampling', 1)).toBeUndefined()
  })
})
