import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { makeRecord, makeReport } from '../../test/bench-report.ts'
import { makeFolder } from '../ui/make-folder.ts'
import { UserError } from '../ui/user-error.ts'
import { formatReport } from './record.ts'
import { renderReportFile } from './render-report.ts'

const folder = mkdtempSync(join(tmpdir(), 'flashsampling-report-'))
const file = join(folder, 'run.json')
writeFileSync(file, formatReport(makeReport([makeRecord({ medianUs: 21_340 })])))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('renderReportFile()', () => {
  it('writes an HTML file with the figures of the JSON file, in a folder that it makes', async () => {
    const target = join(folder, 'new/report.html')
    await renderReportFile(file, target)
    expect(readFileSync(target, 'utf8')).toContain('<td>21.34</td>')
  })

  it('says that a file does not exist', async () => {
    const missing = join(folder, 'missing.json')
    await expect(renderReportFile(missing, undefined)).rejects.toThrow(
      `Cannot read ${missing} as it does not exist: give a file that "run" has written`,
    )
  })
})

describe('makeFolder()', () => {
  it('refuses a path below a file', async () => {
    await expect(makeFolder(join(file, 'below'))).rejects.toThrow(UserError)
  })
})
