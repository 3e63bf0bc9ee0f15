import { describe, expect, it } from 'vitest'
import { makeRecord, makeReport } from '../../../test/bench-report.ts'
import { reportToHtml } from './html.ts'

const batches = [1, 2, 4].flatMap((batchSize) => [
  makeRecord({ batchSize, medianUs: 21_110 * batchSize }),
  makeRecord({ batchSize, medianUs: 32_220 * batchSize, contender: 'onnxruntime-node' }),
  makeRecord({ batchSize, contender: 'read-ceiling', bytes: 600_000_000, medianUs: 20_000 }),
])
const sizes = [16_384, 32_768].map((vocabSize) =>
  makeRecord({ case: `vocab-${vocabSize}`, vocabSize, medianUs: vocabSize / 7 }),
)
const report = makeReport([...batches, ...sizes])
const html = reportToHtml(report)

describe('reportToHtml()', () => {
  it('holds the figures of every record', () => {
    for (const record of report.records) {
      if (record.op === 'read') continue
      const ms = (record.medianUs / 1000).toFixed(record.medianUs < 10_000 ? 3 : 2)
      expect(html).toContain(`<td>${ms}</td>`)
    }
    expect(html).toContain('79 % (23.7 of 30.0 GB/s)')
  })

  it('draws time against batch size and against vocabulary size as inline SVG', () => {
    expect(html.match(/<svg/g)).toHaveLength(3)
    // Two contenders at three batch sizes; then one at three sizes, and the other at the size that was timed.
    expect(html.match(/<circle/g)).toHaveLength(10)
    expect(html).toContain('<title>flashsampling, 4: 84.44 ms (p10 19.00, p90 23.00)</title>')
  })

  it('draws the memory floor as a dashed line', () => {
    expect(html.match(/stroke-dasharray="5 4"/g)).toHaveLength(2)
  })

  it('refers to nothing outside of the file', () => {
    expect(html).not.toMatch(/<(link|script|img|iframe)\b/)
    expect(html).not.toMatch(/\b(src|href)=/)
    expect(html).not.toMatch(/url\((?!#)/)
    expect(html.replaceAll('http://www.w3.org/', '')).not.toMatch(/https?:/)
  })

  it('escapes what comes from the machine', () => {
    expect(html).toContain('Test &lt;CPU&gt;')
    expect(html).not.toContain('<CPU>')
  })
})
