import { mkdir, writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { useTemporaryDirectory } from '../../test/temporary-directory.ts'
import { tinyModel, writeGguf } from '../../test/tiny-model.ts'
import { UserError } from '../ui/user-error.ts'
import { openGgufFile } from './file-source.ts'
import type { GgufFile } from './gguf-file.ts'

const temporary = useTemporaryDirectory()

async function open(bytes: Uint8Array | string): Promise<GgufFile> {
  const path = temporary.file('model.gguf')
  await writeFile(path, bytes)
  return openGgufFile(path)
}

async function messageOfOpening(bytes: Uint8Array | string): Promise<string> {
  const error: unknown = await open(bytes).then(
    () => null,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(UserError)
  return (error as UserError).message
}

describe('GgufFile', () => {
  it('reads metadata and tensors back as they were written', async () => {
    const data = Uint8Array.from({ length: 40 }, (_, i) => i)
    const file = await open(
      writeGguf({ 'a.text': 'ü', 'a.count': 7, 'a.list': ['x', 'y'] }, [
        { name: 'first', shape: [3], type: 0, data: new Uint8Array(12) },
        { name: 'second', shape: [32, 2], type: 3, data },
      ]),
    )
    expect(file.metadata).toMatchObject({ 'a.text': 'ü', 'a.count': 7, 'a.list': ['x', 'y'] })
    const tensor = file.require('second', 2, 32)
    expect(tensor).toMatchObject({ dtype: 'q4_1', rows: 2, columns: 32, byteLength: 40 })
    expect(await file.read(tensor)).toEqual(data)
    await file.close()
  })

  it('says that a file does not exist', async () => {
    await expect(openGgufFile(temporary.file('nothing.gguf'))).rejects.toThrow(/no such file/)
  })

  it('refuses a directory', async () => {
    const path = temporary.directory()
    await mkdir(path)
    await expect(openGgufFile(path)).rejects.toThrow(/no file: name a \.gguf file/)
  })

  it('refuses files of another kind, empty ones included', async () => {
    for (const bytes of ['', 'GGU', 'PK\x03\x04 a zip archive of some length']) {
      expect(await messageOfOpening(bytes)).toMatch(/not a GGUF file/)
    }
  })

  it('refuses versions it does not know', async () => {
    const bytes = tinyModel()
    bytes[4] = 9
    expect(await messageOfOpening(bytes)).toMatch(/version is not 2 or 3.*current value is 9/)
  })

  it('names truncation wherever the file is cut', async () => {
    const bytes = tinyModel()
    for (const share of [0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.99]) {
      const cut = bytes.subarray(0, Math.floor(bytes.byteLength * share))
      expect(await messageOfOpening(cut), `cut at ${share}`).toMatch(/truncated|not a GGUF/)
    }
  })

  it('names a tensor type that core does not read, and those it does', async () => {
    const bytes = writeGguf({}, [
      { name: 'blk.0.attn_q.weight', shape: [256], type: 12, data: new Uint8Array(144) },
    ])
    expect(await messageOfOpening(bytes)).toMatch(
      /blk\.0\.attn_q\.weight is stored as Q4_K: use a file in F32, F16/,
    )
  })

  it('refuses a shape that its storage format cannot have', async () => {
    const bytes = writeGguf({}, [{ name: 'odd', shape: [33], type: 8, data: new Uint8Array(68) }])
    expect(await messageOfOpening(bytes)).toMatch(/odd has the impossible shape \[1, 33\] for q8_0/)
  })
})
