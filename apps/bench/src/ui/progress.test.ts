import { describe, expect, it } from 'vitest'
import { Progress } from './progress.ts'

function recorder(isTTY: boolean): {
  isTTY: boolean
  columns: number
  text: string
  write: (text: string) => void
} {
  return {
    isTTY,
    columns: 60,
    text: '',
    write(text) {
      this.text += text
    },
  }
}

const byteFormat = (bytes: number): string => `${bytes} B`

describe('Progress', () => {
  it('draws one line that fits the terminal and erases it at the end', () => {
    const stream = recorder(true)
    const progress = new Progress({ label: 'Work', total: 10, stream, delayMs: 0 })
    progress.update(5)
    expect(stream.text).toBe(`\r\x1b[KWork ${'█'.repeat(12)}${'░'.repeat(12)}  50 %  5 of 10`)
    progress.done()
    expect(stream.text.endsWith('\r\x1b[K')).toBe(true)

    const narrow = recorder(true)
    new Progress({ label: 'x'.repeat(100), total: 1, stream: narrow, delayMs: 0 }).update(0)
    expect(narrow.text.length - '\r\x1b[K'.length).toBe(59)
  })

  it('writes plain lines, no control codes, where there is no terminal', () => {
    const stream = recorder(false)
    const progress = new Progress({
      label: 'Work',
      total: 10,
      format: byteFormat,
      stream,
      delayMs: 0,
    })
    for (let amount = 5; amount <= 10; amount++) progress.update(amount)
    progress.done()
    expect(stream.text).toMatch(/^Work: 50 % \(5 B of 10 B\)\nWork: done in \d+\.\d s\n$/)
  })

  it('writes nothing for work that is done before the delay', () => {
    for (const isTTY of [true, false]) {
      const stream = recorder(isTTY)
      const progress = new Progress({ label: 'Work', total: 2, stream, delayMs: 60_000 })
      progress.update(1)
      progress.done()
      expect(stream.text).toBe('')
    }
  })

  it('says nothing more about work that failed', () => {
    const stream = recorder(false)
    const progress = new Progress({ label: 'Work', total: 2, stream, delayMs: 0 })
    progress.update(1)
    const { text } = stream
    progress.stop()
    progress.done()
    expect(stream.text).toBe(text)
    const terminal = recorder(true)
    const bar = new Progress({ label: 'Work', total: 2, stream: terminal, delayMs: 0 })
    bar.update(1)
    bar.stop()
    expect(terminal.text.endsWith('\r\x1b[K')).toBe(true)
  })

  it('stays silent after the end and never counts beyond the total', () => {
    const stream = recorder(false)
    const progress = new Progress({ label: 'Work', total: 2, stream, delayMs: 0 })
    progress.update(3)
    progress.done()
    const { text } = stream
    progress.update(1)
    progress.done()
    expect(stream.text).toBe(text)
    expect(text).toContain('100 % (2 of 2)')
  })
})
