import { describe, expect, it } from 'vitest'
import { RowPrinter } from './row-printer.ts'

describe('RowPrinter', () => {
  it('streams the first row live and the others behind it, in order', () => {
    const writes: string[] = []
    const printer = new RowPrinter(['[0] ', '[1] ', '[2] '], (text) => writes.push(text))
    printer.push(0, 'a')
    printer.push(2, 'x')
    printer.push(1, 'm')
    printer.end(2)
    printer.push(0, 'b')
    expect(writes.join('')).toBe('[0] ab')
    printer.end(0)
    printer.push(1, 'n')
    expect(writes.join('')).toBe('[0] ab\n[1] mn')
    printer.end(1)
    expect(writes.join('')).toBe('[0] ab\n[1] mn\n[2] x\n')
  })
})
