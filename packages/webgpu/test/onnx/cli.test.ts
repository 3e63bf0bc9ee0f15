import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readOnnxLmHead } from '../../src/onnx/read-head.ts'
import { encodeModel } from './onnx-writer.ts'
import { makeTinyDecoder } from './tiny-decoder.ts'

const command = fileURLToPath(new URL('../../bin/flashsampling-onnx.mjs', import.meta.url))

function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [command, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flashsampling-onnx-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('flashsampling-onnx', () => {
  it('tells what a model offers', async () => {
    const path = join(folder, 'tiny.onnx')
    writeFileSync(path, makeTinyDecoder('cached', 'nbits4').bytes)
    const { code, stdout } = await run('inspect', path)
    expect(code).toBe(0)
    expect(stdout).toBe(
      'inputs   input_ids, past_keys, past_values\n' +
        'outputs  logits, keys, values\n' +
        'head     MatMulNBits nbits4 [320, 64], from /model/norm/output (float32) to logits\n',
    )
  })

  it('tells of a scale or a bias', async () => {
    const path = join(folder, 'm.onnx')
    const write = (tail: 'Add' | 'Mul', length: number): void =>
      writeFileSync(
        path,
        encodeModel({
          nodes: [
            { op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] },
            { op: tail, inputs: ['y', 'c'], outputs: ['logits'] },
          ],
          initializers: [
            { name: 'w', type: 'float32', dims: [8, 2], data: new Float32Array(16) },
            { name: 'c', type: 'float32', dims: [length], data: new Float32Array(length).fill(3) },
          ],
          inputs: [{ name: 'x', type: 'float32', dims: ['batch', 8] }],
          outputs: [{ name: 'logits', type: 'float32', dims: ['batch', 2] }],
        }),
      )
    write('Mul', 1)
    const scaled = await run('inspect', path)
    expect(scaled.stdout).toContain('head     MatMul f32 [2, 8] times 3, from x (float32)')
    write('Add', 2)
    const biased = await run('inspect', path)
    expect(biased.stdout).toContain('head     MatMul f32 [2, 8] with a bias, from x (float32)')
    const { stdout } = await run('cut', path)
    expect(stdout).toContain('hidden states: hidden_states, float32 [..., 16]; head: 2 tokens\n')
  })

  it('writes body and head, and overwrites only when told to', async () => {
    const path = join(folder, 'tiny.onnx')
    const { bytes } = makeTinyDecoder('window', 'f32')
    writeFileSync(path, bytes)
    const out = join(folder, 'parts')
    const first = await run('cut', path, '--out', out)
    expect(first).toMatchObject({ code: 0, stderr: '' })
    expect(readdirSync(out).sort()).toEqual(['tiny_body.onnx', 'tiny_head.onnx'])
    const head = await readOnnxLmHead(readFileSync(join(out, 'tiny_head.onnx')))
    expect(head).toEqual(await readOnnxLmHead(bytes))
    const { stdout } = await run('inspect', join(out, 'tiny_body.onnx'))
    expect(stdout).toContain('hidden   hidden_states, an output already\n')
    expect(await run('cut', path, '--out', out)).toMatchObject({
      code: 2,
      stderr: `error: ${join(out, 'tiny_body.onnx')} exists: remove it, or pass --force\n`,
    })
    expect(await run('cut', path, '--out', out, '--force')).toMatchObject({ code: 0 })
  })

  it('divides the weights of a file beside the model', async () => {
    const data = (offset: number) => ({ location: 'data/m.bin', offset, length: 16 })
    const model = encodeModel({
      nodes: [
        { op: 'MatMul', inputs: ['x', 'a'], outputs: ['y'] },
        { op: 'MatMul', inputs: ['y', 'b'], outputs: ['logits'] },
      ],
      initializers: [
        { name: 'a', type: 'float32', dims: [2, 2], data: data(0) },
        { name: 'b', type: 'float32', dims: [2, 2], data: data(16) },
      ],
      inputs: [{ name: 'x', type: 'float32', dims: ['batch', 2] }],
      outputs: [{ name: 'logits', type: 'float32', dims: ['batch', 2] }],
    })
    const path = join(folder, 'm.onnx')
    writeFileSync(path, model)
    const missing = await run('cut', path)
    expect(missing.code).toBe(1)
    expect(missing.stderr).toMatch(/^error: ENOENT: [^\n]+\n$/)
    mkdirSync(join(folder, 'data'))
    writeFileSync(
      join(folder, 'data/m.bin'),
      new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer),
    )
    expect(await run('cut', path, '--force')).toMatchObject({
      code: 1,
      stderr: `error: Cannot copy 16 bytes from 16 of ${join(folder, 'data/m.bin')} as it ends after 24\n`,
    })
    const all = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8).buffer)
    writeFileSync(join(folder, 'data/m.bin'), all)
    expect(await run('cut', path, '--force')).toMatchObject({ code: 0 })
    expect(readFileSync(join(folder, 'm_body.onnx_data'))).toEqual(Buffer.from(all.subarray(0, 16)))
    const head = await readOnnxLmHead(readFileSync(join(folder, 'm_head.onnx')), {
      loadExternalData: ({ location, offset, length }) =>
        readFileSync(join(folder, location)).subarray(offset, offset + length),
    })
    expect([...head.data]).toEqual([5, 7, 6, 8])
    expect(await run('cut', path, '--keep-data', '--out', join(folder, 'x'))).toMatchObject({
      code: 2,
    })
  })

  it('gathers weights that lie in several files', async () => {
    const data = (location: string) => ({ location, offset: 0, length: 16 })
    const path = join(folder, 'm.onnx')
    writeFileSync(
      path,
      encodeModel({
        nodes: [
          { op: 'MatMul', inputs: ['x', 'a'], outputs: ['y'] },
          { op: 'MatMul', inputs: ['y', 'b'], outputs: ['z'] },
          { op: 'MatMul', inputs: ['z', 'c'], outputs: ['logits'] },
        ],
        initializers: [
          { name: 'a', type: 'float32', dims: [2, 2], data: data('m.onnx_data') },
          { name: 'b', type: 'float32', dims: [2, 2], data: data('m.onnx_data_1') },
          { name: 'c', type: 'float32', dims: [2, 2], data: data('m.onnx_data_2') },
        ],
        inputs: [{ name: 'x', type: 'float32', dims: ['batch', 2] }],
        outputs: [{ name: 'logits', type: 'float32', dims: ['batch', 2] }],
      }),
    )
    const bytes = (first: number) =>
      new Uint8Array(Float32Array.of(first, first + 1, first + 2, first + 3).buffer)
    writeFileSync(join(folder, 'm.onnx_data'), bytes(1))
    writeFileSync(join(folder, 'm.onnx_data_1'), bytes(5))
    writeFileSync(join(folder, 'm.onnx_data_2'), bytes(9))
    expect(await run('cut', path)).toMatchObject({ code: 0 })
    const body = readFileSync(join(folder, 'm_body.onnx_data'))
    expect(body.subarray(0, 16)).toEqual(Buffer.from(bytes(1)))
    expect(body.subarray(4096)).toEqual(Buffer.from(bytes(5)))
    expect(readFileSync(join(folder, 'm_head.onnx_data'))).toEqual(Buffer.from(bytes(9)))
  })

  it('says in one line what is wrong', async () => {
    const missing = await run('inspect', join(folder, 'none.onnx'))
    expect(missing.code).toBe(1)
    expect(missing.stderr).toMatch(/^error: ENOENT: [^\n]+\n$/)
    const text = join(folder, 'page.onnx')
    writeFileSync(text, '<!doctype html>')
    const invalid = await run('cut', text)
    expect(invalid.code).toBe(1)
    expect(invalid.stderr).toMatch(/^error: Cannot read the ONNX model as [^\n]+\n$/)
    expect(await run()).toMatchObject({ code: 2 })
    expect(await run('cut', 'a.onnx', '--nonsense')).toMatchObject({ code: 2 })
    expect((await run('--help')).stdout).toMatch(/^Usage: flashsampling-onnx /)
  })
})
